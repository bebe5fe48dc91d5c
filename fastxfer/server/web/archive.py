"""A directory as one stream: ZIP, TAR, or TAR with gzip, never whole in memory or on the disk."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import tarfile
import time
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import IO, Protocol

from aiohttp import web

from fastxfer.server import paths
from fastxfer.server.filesystem import FileInfo, FileKind, Reader
from fastxfer.server.hooks import Direction
from fastxfer.server.outlast import outlast
from fastxfer.server.web import pump
from fastxfer.server.web.context import Visit
from fastxfer.server.web.disposition import attachment
from fastxfer.server.web.errors import ApiError
from fastxfer.server.web.pump import Progress
from fastxfer.server.web.transfers import CountedTransfer
from fastxfer.server.web.walk import Found, walk

__all__ = ["FORMATS", "send_archive"]

LEFT_OUT = "NOT-INCLUDED.txt"
"""Entry at the end of an archive that tells what could not be packed."""
BLOCK = 256 * 1024
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


class Packer(Protocol):
    """Turns entries into the bytes of an archive."""

    def directory(self, name: str, info: FileInfo) -> bytes: ...
    def begin(self, name: str, info: FileInfo) -> bytes:
        """Start a file of ``info.size`` bytes."""

    def content(self, data: bytes) -> bytes: ...
    def end(self) -> bytes:
        """The file is complete."""

    def finish(self) -> bytes: ...
    def abandon(self) -> None:
        """The archive ends here, broken."""


class _Sink:
    """The file that zipfile believes to write."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


class ZipPacker:
    """ZIP by :mod:`zipfile`; sizes follow the content, beyond 4 GiB with ZIP64.

    Content is stored, not compressed: what is worth sending as an archive is mostly compressed already.
    """

    def __init__(self) -> None:
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", allowZip64=True)  # type: ignore[call-overload]
        self._file: IO[bytes] | None = None

    def directory(self, name: str, info: FileInfo) -> bytes:
        # Two directories of one name become one.
        if not self._has(_segments(name)):
            self._zip.writestr(self._entry(name, info), b"")
        return self._sink.take()

    def begin(self, name: str, info: FileInfo) -> bytes:
        self._file = self._zip.open(self._entry(name, info), "w", force_zip64=info.size >= zipfile.ZIP64_LIMIT)
        return self._sink.take()

    def content(self, data: bytes) -> bytes:
        assert self._file is not None
        self._file.write(data)
        return self._sink.take()

    def end(self) -> bytes:
        assert self._file is not None
        self._file.close()
        self._file = None
        return self._sink.take()

    def finish(self) -> bytes:
        self._zip.close()
        return self._sink.take()

    def abandon(self) -> None:
        # zipfile complains, when it is collected, of a file that was not closed.
        if self._file is not None:
            with contextlib.suppress(RuntimeError):
                self._file.close()
        self._zip.close()

    def _has(self, name: str) -> bool:
        try:
            self._zip.getinfo(name)
        except KeyError:
            return False
        return True

    def _free_name(self, name: str) -> str:
        """*name* as an archive can hold it, unlike every other: of two of one name only one would be unpacked."""
        wanted = free = _segments(name)
        number = 1
        while self._has(free):
            number += 1
            stem, dot, ending = wanted.rpartition(".")
            free = f"{stem} ({number}).{ending}" if stem and dot and "/" not in ending else f"{wanted} ({number})"
        return free

    def _entry(self, name: str, info: FileInfo) -> zipfile.ZipInfo:
        try:
            moment = time.localtime(info.mtime)[:6]
        except (OverflowError, ValueError, OSError):
            moment = _ZIP_EPOCH
        if not 1980 <= moment[0] <= 2107:
            moment = _ZIP_EPOCH
        entry = zipfile.ZipInfo(self._free_name(name), moment)
        kind = 0o040000 if info.is_dir else 0o100000
        entry.external_attr = (kind | info.mode & 0o777) << 16 | (0x10 if info.is_dir else 0)
        entry.file_size = info.size if info.is_file else 0
        return entry


class TarPacker:
    """POSIX (pax) TAR; with *compress* through gzip."""

    def __init__(self, *, compress: bool = False) -> None:
        self._gzip = zlib.compressobj(1, wbits=31) if compress else None
        self._size = 0

    def directory(self, name: str, info: FileInfo) -> bytes:
        return self._out(self._head(name, info, tarfile.DIRTYPE))

    def begin(self, name: str, info: FileInfo) -> bytes:
        self._size = info.size
        return self._out(self._head(name, info, tarfile.REGTYPE))

    def content(self, data: bytes) -> bytes:
        return self._out(data)

    def end(self) -> bytes:
        return self._out(bytes(-self._size % tarfile.BLOCKSIZE))

    def finish(self) -> bytes:
        end = self._out(bytes(2 * tarfile.BLOCKSIZE))
        return end + self._gzip.flush() if self._gzip is not None else end

    def abandon(self) -> None:
        """Nothing is held."""

    def _out(self, data: bytes) -> bytes:
        return self._gzip.compress(data) if self._gzip is not None else data

    @staticmethod
    def _head(name: str, info: FileInfo, kind: bytes) -> bytes:
        head = tarfile.TarInfo(name)
        head.type = kind
        head.size = info.size if info.is_file else 0
        head.mtime = max(info.mtime, 0)
        head.mode = info.mode & 0o777
        return head.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


FORMATS: dict[str, Callable[[], Packer]] = {
    "zip": ZipPacker,
    "tar": TarPacker,
    "tar.gz": lambda: TarPacker(compress=True),
}
_TYPES = {"zip": "application/zip", "tar": "application/x-tar", "tar.gz": "application/gzip"}


async def send_archive(
    request: web.Request, visit: Visit, path: str, kind: str, names: Sequence[str]
) -> web.StreamResponse:
    """Stream the directory *path*, or what *names* choose of it.

    What cannot be read is named in the entry :data:`LEFT_OUT`. A file that becomes shorter while it is packed breaks
    the connection off, so that a damaged archive cannot pass for a whole one.
    """
    if kind not in FORMATS:
        raise ApiError(400, f"archive must be one of: {', '.join(FORMATS)}")
    found = walk(visit, path, names)
    # The first step shows whether the directory can be listed, while another status can still be sent.
    first = await anext(found, None)
    name = f"{paths.basename(path) or 'files'}.{kind}"
    headers = {"Content-Type": _TYPES[kind], "Content-Disposition": attachment(name)}
    if request.method == "HEAD":
        return web.Response(headers=headers)
    async with CountedTransfer(visit, Direction.DOWNLOAD, path) as progress:
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        packer = FORMATS[kind]()
        try:
            left_out = []
            if first is not None and not await _pack(visit, response, packer, first, progress):
                left_out.append(first.name)
            async for entry in found:
                if not await _pack(visit, response, packer, entry, progress):
                    left_out.append(entry.name)
            if left_out:
                await _pack_text(response, packer, "\n".join(["Could not be read:", *map(_one_line, left_out), ""]))
            await response.write_eof(packer.finish())
        except BaseException:
            packer.abandon()
            if request.transport is not None:
                request.transport.abort()
            raise
        return response


async def _pack(visit: Visit, response: web.StreamResponse, packer: Packer, entry: Found, progress: Progress) -> bool:
    """Add *entry*; False if it cannot be read."""
    if entry.info.is_dir:
        await response.write(packer.directory(entry.name, entry.info))
        return entry.readable
    if not entry.readable:
        return False
    try:
        reader = await visit.account.open_read(entry.path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    async with reader:
        info = reader.info
        await response.write(packer.begin(entry.name, info))
        async for block in _blocks(reader, info.size):
            progress.moved += len(block)
            packed = packer.content(block) if len(block) <= pump.SMALL else await _packed(packer, block)
            if packed:
                await _write(visit, response, packed)
            await visit.shared.paces.spend(visit.account.download_limits, len(block))
        await response.write(packer.end())
    return True


async def _blocks(reader: Reader, size: int) -> AsyncIterator[bytes]:
    """The first *size* bytes: a file that grows meanwhile must not grow past its announced size."""
    offset = 0
    while offset < size:
        block = await pump.read_block(reader, offset, min(BLOCK, size - offset))
        if not block:
            raise OSError(errno.EIO, "the file became shorter while it was packed")
        offset += len(block)
        yield block


async def _packed(packer: Packer, block: bytes) -> bytes:
    return await outlast(asyncio.get_running_loop().run_in_executor(None, packer.content, block))


async def _write(visit: Visit, response: web.StreamResponse, data: bytes) -> None:
    stall = visit.shared.service.config.timeouts.data_stall or None
    try:
        await asyncio.wait_for(response.write(data), stall)
    except asyncio.TimeoutError:
        raise ConnectionAbortedError("the client took nothing for too long") from None


async def _pack_text(response: web.StreamResponse, packer: Packer, text: str) -> None:
    data = text.encode()
    info = FileInfo(LEFT_OUT, FileKind.FILE, len(data), time.time())
    await response.write(packer.begin(LEFT_OUT, info) + packer.content(data) + packer.end())


def _one_line(name: str) -> str:
    """*name* without what could begin another line."""
    return "".join(char if char.isprintable() else "?" for char in _printable(name))


def _segments(name: str) -> str:
    """*name* as ZIP can hold it: a backslash is just a character here, but parts segments for many who unpack."""
    return _printable(name).replace("\\", "_")


def _printable(name: str) -> str:
    """*name* without the bytes that no text can carry."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
