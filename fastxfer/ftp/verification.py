"""Comparing both ends of a transfer: by size, and by checksum where the server computes one."""

from __future__ import annotations

import hashlib
import os
import re

from fastxfer.core.crc32 import crc32
from fastxfer.core.ftpwire import parse_size
from fastxfer.ftp.base import ClientBase, RemotePath
from fastxfer.ftp.endpoints import FileSink, FileSource, MemorySink, MemorySource, Sink, Source
from fastxfer.ftp.errors import InvalidArgumentError, UnsupportedError, VerificationError
from fastxfer.ftp.pool import Link

__all__ = ["Verification"]

_PREFERRED = ("sha256", "sha512", "sha1", "md5", "crc32")
_LENGTHS = {"crc32": 8, "md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
_HASH_NAMES = {"crc32": "CRC32", "md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256", "sha512": "SHA-512"}
_BLOCK = 1 << 20


class Verification(ClientBase):
    """Sizes and checksums."""

    def checksums(self) -> list[str]:
        """The checksum algorithms that the server offers, best first. Known once connected."""
        offered = self._profile.hashes()
        return [name for name in _PREFERRED if name in offered]

    async def checksum(self, path: RemotePath, algorithm: str | None = None) -> tuple[str, str]:
        """A remote file's checksum, computed by the server: the algorithm, and the digits in lower case.

        Uses HASH (draft-bryan-ftpext-hash) or XCRC, XMD5, XSHA1, XSHA256, XSHA512, MD5. *algorithm* is ``"crc32"``,
        ``"md5"``, ``"sha1"``, ``"sha256"``, ``"sha512"`` or None for the best that the server has.

        Raises UnsupportedError where it has none.
        """
        remote = self._path(path)
        if algorithm is not None and algorithm not in _LENGTHS:
            raise InvalidArgumentError(f"unknown checksum {algorithm!r}: it is one of {', '.join(_LENGTHS)}")

        async def compute(link: Link) -> tuple[str, str]:
            offered = self._profile.hashes()
            name = algorithm or next((name for name in _PREFERRED if name in offered), "")
            command = offered.get(name)
            if command is None:
                raise UnsupportedError(
                    504, f"the server offers no {algorithm or 'checksum'}", server=link.session.server, path=remote
                )
            if command == "HASH":
                await link.session.command(f"OPTS HASH {_HASH_NAMES[name]}")
            reply = await link.session.command(f"{command} {remote}", remote)
            # Some put the file name, itself perhaps all hexadecimal digits, beside it: the length tells.
            found = re.search(rf"(?<![0-9A-Fa-f])[0-9A-Fa-f]{{{_LENGTHS[name]}}}(?![0-9A-Fa-f])", reply.text)
            if found is None and name == "crc32":
                # Leading zeros are left out by some.
                found = re.search(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{1,8}(?![0-9A-Za-z])", reply.text)
            if found is None:
                raise VerificationError(
                    f"no checksum in the reply: {reply.text[:200]!r}", server=link.session.server, path=remote
                )
            return name, found.group().lower().rjust(_LENGTHS[name], "0")

        return await self._run(compute)

    async def size(self, path: RemotePath) -> int:
        """A remote file's size in bytes (SIZE, RFC 3659). Raises ReplyError, for directories too."""
        remote = self._path(path)

        async def ask(link: Link) -> int:
            if link.session.type != "I":
                await link.session.command("TYPE I")
                link.session.type = "I"
            reply = await link.session.command(f"SIZE {remote}", remote)
            try:
                return parse_size(reply.text)
            except ValueError as error:
                raise VerificationError(str(error), server=link.session.server, path=remote) from error

        return await self._run(ask)

    async def _verify_local(self, remote: str, local: Sink | Source, verify: str | bool, known_size: int | None) -> str:
        """Compare a remote file with *local*; what was compared. Raises VerificationError."""
        algorithm = verify if isinstance(verify, str) else None
        if algorithm is None:
            algorithm = next(iter(self.checksums()), "size")
        if algorithm == "size" or isinstance(local, (MemorySink, MemorySource, FileSink, FileSource)) is False:
            if algorithm != "size":
                raise InvalidArgumentError("a stream can be verified by size only", path=remote)
            size = known_size if isinstance(local, (FileSink, MemorySink)) and known_size is not None else None
            theirs = size if size is not None else await self.size(remote)
            ours = _local_size(local)
            if ours is not None and theirs != ours:
                raise VerificationError(f"{theirs} bytes there, {ours} here", path=remote, bytes_done=ours)
            return "size"
        name, digits = await self.checksum(remote, algorithm)
        ours_digits = await self._driver.call(local_checksum, local, name)
        if ours_digits != digits:
            raise VerificationError(f"{name} is {digits} there and {ours_digits} here", path=remote)
        return name


def _local_size(local: Sink | Source) -> int | None:
    if isinstance(local, (FileSource, FileSink)):
        return os.fstat(local.fd).st_size
    if isinstance(local, MemorySink):
        return local.position
    if isinstance(local, MemorySource):
        return local.size
    return None


def local_checksum(local: Sink | Source, algorithm: str) -> str:
    """The checksum of a local file or of memory, digits in lower case."""
    digest = None if algorithm == "crc32" else hashlib.new(algorithm, usedforsecurity=False)
    crc = 0
    if isinstance(local, MemorySink):
        blocks = iter([local.data])
    elif isinstance(local, MemorySource):
        blocks = iter([bytes(local.view)])
    elif isinstance(local, (FileSink, FileSource)):
        os.lseek(local.fd, 0, os.SEEK_SET)
        fd = local.fd
        blocks = iter(lambda: os.read(fd, _BLOCK), b"")
    else:
        raise TypeError(f"cannot read a {type(local).__name__} again")
    for block in blocks:
        if digest is None:
            crc = crc32(block, crc)
        else:
            digest.update(block)
    return f"{crc:08x}" if digest is None else digest.hexdigest()
