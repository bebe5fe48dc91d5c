"""Bytes from a file to the client and from the client to a file."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from fastxfer.core.xfer import Transfer

if TYPE_CHECKING:
    from fastxfer.core.xfer import RateLimit
    from fastxfer.server.filesystem import Reader, Writer
    from fastxfer.server.web.context import Shared

__all__ = ["ChunkSource", "read_block", "receive", "send"]

SEND_BLOCK = 256 * 1024
WRITE_BLOCK = 1 << 20
SMALL = 64 * 1024
"""Reads up to this size are made on the spot: they take less time than a thread's turn."""


class ChunkSource(Protocol):
    """Where a body comes from: the request's stream, or one part of a multipart body."""

    async def next_chunk(self) -> bytes:
        """More bytes; empty at the end."""


async def read_block(reader: Reader, offset: int, size: int) -> bytes:
    """Up to *size* bytes of *reader*, without keeping the event loop from its work."""
    descriptor = reader.fileno()
    if descriptor >= 0 and size > SMALL:
        return await asyncio.get_running_loop().run_in_executor(None, os.pread, descriptor, size, offset)
    return await reader.read(offset, size)


async def send(
    shared: Shared,
    request: web.Request,
    response: web.StreamResponse,
    reader: Reader,
    offset: int,
    count: int,
    limits: Sequence[RateLimit],
) -> None:
    """Send *count* bytes of *reader*, beginning at *offset*, as (part of) the body of the prepared *response*.

    Raises:
        ConnectionError: the client went away, took nothing for too long, or the file became shorter; the connection
            is then broken off, since the client was promised more.
    """
    stall = shared.service.config.timeouts.data_stall or None
    if count > SMALL and _goes_native(request, reader):
        await _send_native(shared, request, reader, offset, count, limits, stall)
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
        await shared.paces.spend(limits, len(block))


async def receive(
    shared: Shared, source: ChunkSource, writer: Writer, limits: Sequence[RateLimit], *, room: int
) -> int:
    """Write all that *source* gives; how many bytes that was.

    While one block is written the next is received.

    Raises:
        OSError: EFBIG when there is more than *room*; ETIMEDOUT when nothing came for too long; and what writing
            raises.
        ConnectionError: the client went away.
    """
    stall = shared.service.config.timeouts.data_stall or None
    position = writer.offset
    moved = 0
    waiting: list[bytes] = []
    waiting_size = 0
    writing: asyncio.Future[None] | None = None
    try:
        while True:
            try:
                chunk = await asyncio.wait_for(source.next_chunk(), stall)
            except asyncio.TimeoutError:
                raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None
            if chunk:
                moved += len(chunk)
                if moved > room:
                    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
                waiting.append(chunk)
                waiting_size += len(chunk)
            if waiting_size >= WRITE_BLOCK or (waiting and not chunk):
                if writing is not None:
                    await writing
                writing = asyncio.ensure_future(_write(writer, b"".join(waiting), position))
                position += waiting_size
                waiting.clear()
                waiting_size = 0
            if not chunk:
                break
            await shared.paces.spend(limits, len(chunk))
        if writing is not None:
            await writing
    except BaseException:
        if writing is not None:
            # A thread may still be using the descriptor.
            await asyncio.gather(asyncio.shield(writing), return_exceptions=True)
        raise
    return moved


def _goes_native(request: web.Request, reader: Reader) -> bool:
    transport = request.transport
    return (
        transport is not None
        and reader.fileno() >= 0
        and not transport.is_closing()
        and transport.get_extra_info("sslcontext") is None
        # What the loop still holds back must go first.
        and transport.get_write_buffer_size() == 0
    )


async def _send_native(
    shared: Shared,
    request: web.Request,
    reader: Reader,
    offset: int,
    count: int,
    limits: Sequence[RateLimit],
    stall: float | None,
) -> None:
    transport = request.transport
    assert transport is not None
    # A descriptor of our own: when the client goes away the loop closes its own, whose number may be given anew.
    descriptor = os.dup(transport.get_extra_info("socket").fileno())
    try:
        transfer = Transfer(
            descriptor,
            send_fd=reader.fileno(),
            send_offset=offset,
            send_count=count,
            idle_timeout=stall,
            limits=limits,
        )
        await shared.runner.run(transfer)
    except BaseException:
        _break_off(request)
        raise
    finally:
        os.close(descriptor)
    if transfer.error:
        _break_off(request)
        raise ConnectionAbortedError(transfer.error, os.strerror(transfer.error))


async def _write(writer: Writer, data: bytes, position: int) -> None:
    descriptor = writer.fileno()
    if descriptor < 0:
        await writer.write(data)
        return
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, _write_all, descriptor, data, position)


def _write_all(descriptor: int, data: bytes, position: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, position)
        position += count
        view = view[count:]


def _break_off(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
