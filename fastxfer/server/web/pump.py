"""Bytes from a file to the client and from the client to a file."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from fastxfer.core.xfer import FRAMING_RAW, Transfer
from fastxfer.net.kept_memory import keep_memory
from fastxfer.server.outlast import outlast
from fastxfer.server.web.connection import connection_of
from fastxfer.server.web.errors import ApiError

if TYPE_CHECKING:
    from fastxfer.core.xfer import RateLimit
    from fastxfer.server.filesystem import Reader, Writer
    from fastxfer.server.web.context import Shared

__all__ = ["SMALL", "ChunkSource", "Progress", "read_block", "receive", "send"]

SEND_BLOCK = 256 * 1024
WRITE_BLOCK = 512 * 1024
MOST_PIECES = 64
"""Pieces that are written as they came; more are joined first."""
SMALL = 64 * 1024
"""Reads and last writes up to this size are made on the spot: they take less time than a thread's turn."""
LARGE = 16 * 1024 * 1024
"""What is left of a body goes past aiohttp from this size on: the client has to connect again after it."""


@dataclass
class Progress:
    """How far a transfer has come."""

    moved: int = 0
    """Bytes of the file that went over the connection."""


class ChunkSource(Protocol):
    """Where a body comes from: the request's stream, or one part of a multipart body."""

    async def next_chunk(self) -> bytes:
        """More bytes; empty at the end."""

    def is_here(self) -> bool:
        """Whether all that is left has come already, so that the next chunk need not be waited for."""

    def outside(self) -> int:
        """How many bytes are still to come over the connection, where all that came has been given; else 0."""


async def read_block(reader: Reader, offset: int, size: int) -> bytes:
    """Up to *size* bytes of *reader*, without keeping the event loop from its work."""
    descriptor = reader.fileno()
    if descriptor >= 0 and size > SMALL:
        return await outlast(asyncio.get_running_loop().run_in_executor(None, os.pread, descriptor, size, offset))
    return await reader.read(offset, size)


async def send(
    shared: Shared,
    request: web.Request,
    response: web.StreamResponse,
    reader: Reader,
    offset: int,
    count: int,
    limits: Sequence[RateLimit],
    progress: Progress,
) -> None:
    """Send *count* bytes of *reader*, beginning at *offset*, as (part of) the body of the prepared *response*.

    Raises:
        ConnectionError: the client went away, took nothing for too long, or the file became shorter; the connection
            is then broken off, since the client was promised more.
    """
    stall = shared.service.config.timeouts.data_stall or None
    transport = _native_transport(request, reader) if count > SMALL else None
    if transport is not None:
        await _send_native(shared, request, transport, reader, offset, count, limits, progress)
        return
    while count > 0:
        block = await read_block(reader, offset, min(count, SEND_BLOCK))
        if not block:
            _break_off(request)
            raise ConnectionAbortedError("the file became shorter while it was sent")
        try:
            await asyncio.wait_for(response.write(block), stall)
        except asyncio.TimeoutError:
            _break_off(request)
            raise ConnectionAbortedError("the client took nothing for too long") from None
        offset += len(block)
        count -= len(block)
        progress.moved += len(block)
        await shared.paces.spend(limits, len(block))


async def receive(
    shared: Shared,
    request: web.Request,
    source: ChunkSource,
    writer: Writer,
    limits: Sequence[RateLimit],
    progress: Progress,
) -> None:
    """Write all that *source* gives. While one block is written the next is received; much goes by native code.

    Where the source breaks off, what came before is written all the same, so that the upload can go on from there.

    Raises:
        ApiError: 408 when nothing came for too long.
        OSError: EFBIG or EDQUOT when more comes than *writer* may take, and what writing raises.
        ConnectionError: the client went away.
    """
    stall = shared.service.config.timeouts.data_stall or None
    keep_memory()
    blocks = _Blocks(writer)
    transport = _native_transport(request, writer)
    try:
        while True:
            rest = source.outside() if transport is not None and not transport.is_closing() else 0
            if transport is not None and rest >= LARGE:
                await _receive_native(shared, request, transport, blocks, writer, rest, limits, progress)
                break
            try:
                chunk = await (
                    source.next_chunk() if source.is_here() else asyncio.wait_for(source.next_chunk(), stall)
                )
            except asyncio.TimeoutError:
                raise ApiError(408, "The body did not come") from None
            if not chunk:
                break
            progress.moved += len(chunk)
            writer.claim(writer.offset + progress.moved)
            await blocks.add(chunk)
            await shared.paces.spend(limits, len(chunk))
    finally:
        await blocks.finish()


class _Blocks:
    """Gathers chunks into large blocks and has each written while the next one comes."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._position = writer.offset
        self._waiting: list[bytes] = []
        self._size = 0
        self._writing: asyncio.Task[None] | None = None

    async def add(self, chunk: bytes) -> None:
        self._waiting.append(chunk)
        self._size += len(chunk)
        if self._size >= WRITE_BLOCK:
            await self._settle()
            self._start()

    async def finish(self) -> None:
        """Write what is left. Returns only once no thread uses the descriptor any more."""
        await self._settle()
        descriptor = self._writer.fileno()
        if descriptor >= 0 and self._size <= SMALL:
            _write_all(descriptor, *self._taken())
        elif self._size:
            self._start()
            await self._settle()

    def _start(self) -> None:
        self._writing = asyncio.ensure_future(_write(self._writer, *self._taken()))

    def _taken(self) -> tuple[list[bytes], int]:
        """What has been gathered, and where in the file it goes."""
        taken = self._waiting, self._position
        self._waiting = []
        self._position += self._size
        self._size = 0
        return taken

    async def _settle(self) -> None:
        task, self._writing = self._writing, None
        if task is not None:
            await outlast(task)


def _native_transport(request: web.Request, file: Reader | Writer) -> asyncio.Transport | None:
    """The connection, where native code may move bytes between it and *file*."""
    transport = request.transport
    if (
        transport is None
        or file.fileno() < 0
        or transport.is_closing()
        or transport.get_extra_info("sslcontext") is not None
        # What the loop still holds back must go first.
        or transport.get_write_buffer_size()
    ):
        return None
    return transport


async def _send_native(
    shared: Shared,
    request: web.Request,
    transport: asyncio.Transport,
    reader: Reader,
    offset: int,
    count: int,
    limits: Sequence[RateLimit],
    progress: Progress,
) -> None:
    # A descriptor of our own: when the client goes away the loop closes its own, whose number may be given anew.
    descriptor = os.dup(transport.get_extra_info("socket").fileno())
    try:
        transfer = Transfer(
            descriptor,
            send_fd=reader.fileno(),
            send_offset=offset,
            send_count=count,
            idle_timeout=shared.service.config.timeouts.data_stall or None,
            limits=limits,
        )
        try:
            await shared.runner.run(transfer)
        except BaseException:
            _break_off(request)
            raise
        finally:
            progress.moved += transfer.sent
    finally:
        os.close(descriptor)
    if transfer.error:
        _break_off(request)
        raise ConnectionAbortedError(transfer.error, os.strerror(transfer.error))


async def _receive_native(
    shared: Shared,
    request: web.Request,
    transport: asyncio.Transport,
    blocks: _Blocks,
    writer: Writer,
    count: int,
    limits: Sequence[RateLimit],
    progress: Progress,
) -> None:
    """Take the last *count* bytes of the body. Since aiohttp learns nothing of them, the connection ends with it."""
    transport.pause_reading()
    try:
        await blocks.finish()
        before = progress.moved
        writer.claim(writer.offset + before + count)
        if transport.is_closing():
            raise ConnectionResetError("the client went away")
        connection_of(request).bypassed = True
        # A descriptor of our own, as in sending.
        descriptor = os.dup(transport.get_extra_info("socket").fileno())
        try:
            transfer = Transfer(
                descriptor,
                framing=FRAMING_RAW,
                recv_fd=writer.fileno(),
                recv_offset=writer.offset + before,
                recv_count=count,
                idle_timeout=shared.service.config.timeouts.data_stall or None,
                limits=limits,
            )
            try:
                await shared.runner.run(transfer)
            finally:
                progress.moved = before + transfer.received
        finally:
            os.close(descriptor)
        if transfer.error and transfer.error_side == "file":
            raise OSError(transfer.error, os.strerror(transfer.error))
        if transfer.error == errno.ETIMEDOUT:
            raise ApiError(408, "The body did not come")
        if transfer.error:
            raise ConnectionResetError("the client went away")
    except BaseException:
        if not transport.is_closing():
            # Some of the rest is taken, so that a client that only sends sees the answer.
            transport.resume_reading()
        raise
    request.content.feed_eof()


async def _write(writer: Writer, pieces: list[bytes], position: int) -> None:
    descriptor = writer.fileno()
    if descriptor < 0:
        await writer.write(b"".join(pieces))
        return
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, _write_all, descriptor, pieces, position)


def _write_all(descriptor: int, pieces: list[bytes], position: int) -> None:
    done = 0
    if 1 < len(pieces) <= MOST_PIECES and hasattr(os, "pwritev"):
        done = os.pwritev(descriptor, pieces, position)
        if done == sum(map(len, pieces)):
            return
    view = memoryview(b"".join(pieces))
    while done < len(view):
        done += os.pwrite(descriptor, view[done:], position + done)


def _break_off(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
