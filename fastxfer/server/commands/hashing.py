"""Check sums of files on the server: HASH, XCRC, XMD5, XSHA1, XSHA256, XSHA512, MD5."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Awaitable, Callable
from typing import Protocol

from fastxfer.core.crc32 import crc32
from fastxfer.server.commands.table import command
from fastxfer.server.filesystem import Reader
from fastxfer.server.replies import BAD_SYNTAX, reply
from fastxfer.server.session import Session

__all__ = ["ALGORITHMS"]

BLOCK = 1 << 20
ON_LOOP = 1 << 16
"""Files up to this size are hashed at once, larger ones in threads."""
TURN = 8 << 20
"""Bytes after which a large file makes way for the next one."""
_BAD_RANGE = reply(501, "Not a range of the file.")


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def _md5() -> _Digest:
    return hashlib.md5(usedforsecurity=False)


def _sha1() -> _Digest:
    return hashlib.sha1(usedforsecurity=False)


ALGORITHMS: dict[str, Callable[[], _Digest]] = {
    "SHA-256": hashlib.sha256,
    "SHA-512": hashlib.sha512,
    "SHA-1": _sha1,
    "MD5": _md5,
    "CRC32": _Crc32,
}
"""Names of draft-bryan-ftp-hash → makers."""


def _digest_descriptor(descriptor: int, start: int, end: int, digest: _Digest) -> None:
    while start < end:
        data = os.pread(descriptor, min(BLOCK, end - start), start)
        if not data:
            raise OSError(errno.EIO, "The file became shorter")
        digest.update(data)
        start += len(data)


async def _digest(session: Session, reader: Reader, start: int, end: int, digest: _Digest) -> str:
    descriptor = reader.fileno()
    if descriptor >= 0:
        if end - start <= ON_LOOP:
            _digest_descriptor(descriptor, start, end, digest)
            start = end
        while start < end:
            stop = min(start + TURN, end)
            await session.runtime.run_in_turn(_digest_descriptor, descriptor, start, stop, digest)
            start = stop
    while start < end:
        data = await reader.read(start, min(BLOCK, end - start))
        if not data:
            raise OSError(errno.EIO, "The file became shorter")
        digest.update(data)
        start += len(data)
    return digest.hexdigest()


@command("HASH", "draft-bryan-ftp-hash section 3", syntax="path")
async def hash_(session: Session, argument: str) -> bytes:
    """The hash of a file, or of the range that RANG has set, by the algorithm that OPTS HASH has chosen."""
    path = session.path(argument)
    wanted, session.range = session.range, None
    name = session.hash_algorithm
    async with await session.account.open_read(path) as reader:
        start, end = (wanted[0], min(wanted[1] + 1, reader.size)) if wanted is not None else (0, reader.size)
        if wanted is not None and start >= end:
            return _BAD_RANGE
        value = await _digest(session, reader, start, end, ALGORITHMS[name]())
    return reply(213, f"{name} {start}-{max(end - 1, 0)} {value} {argument}")


def _parse(argument: str) -> tuple[str, list[int]]:
    """``path``, ``"path" start end`` or ``path start end``: the path, and what numbers follow."""
    if argument.startswith('"') and (close := argument.find('"', 1)) > 0:
        name, rest = argument[1:close], argument[close + 1 :].split()
    else:
        words = argument.split(" ")
        count = 0
        while count < min(2, len(words) - 1) and words[-1 - count].isascii() and words[-1 - count].isdigit():
            count += 1
        # A single number at the end is as likely part of the name.
        count = count if count == 2 else 0
        name, rest = " ".join(words[: len(words) - count]), words[len(words) - count :]
    if not all(word.isascii() and word.isdigit() and len(word) < 20 for word in rest) or len(rest) > 2:
        raise ValueError("not numbers")
    return name, [int(word) for word in rest]


def _of_algorithm(algorithm: str, upper: bool) -> Callable[[Session, str], Awaitable[bytes]]:
    async def run(session: Session, argument: str) -> bytes:
        try:
            name, numbers = _parse(argument)
        except ValueError:
            return BAD_SYNTAX
        async with await session.account.open_read(session.path(name)) as reader:
            start = numbers[0] if numbers else 0
            end = numbers[1] if len(numbers) > 1 else reader.size
            if not start <= end <= reader.size:
                return _BAD_RANGE
            value = await _digest(session, reader, start, end, ALGORITHMS[algorithm]())
        return reply(250, value.upper() if upper else value)

    run.__doc__ = f"The {algorithm} of a file, or of its bytes from *start* to before *end*."
    return run


for _verb, _algorithm in (
    ("XCRC", "CRC32"),
    ("XMD5", "MD5"),
    ("XSHA1", "SHA-1"),
    ("XSHA256", "SHA-256"),
    ("XSHA512", "SHA-512"),
):
    command(_verb, "no RFC: as in ProFTPD's mod_digest", syntax="path [start end]")(
        _of_algorithm(_algorithm, upper=_verb == "XCRC")
    )


@command("MD5", "draft-twine-ftpmd5-00", syntax="path")
async def md5(session: Session, argument: str) -> bytes:
    """The MD5 of a file."""
    async with await session.account.open_read(session.path(argument)) as reader:
        return reply(251, f"{argument} {await _digest(session, reader, 0, reader.size, _md5())}")
