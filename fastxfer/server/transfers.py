"""Moving one file over a data connection: by the native engine where nothing changes on the way, else by pumps."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from fastxfer.core.transforms import TRANSFORMED, Transform
from fastxfer.core.xfer import FRAMING_RAW, RateLimit, Transfer
from fastxfer.net.tls_pump import PumpLimitError, ReceivePump, SendPump
from fastxfer.server import replies
from fastxfer.server.datastream import DataStream
from fastxfer.server.filesystem import NO_ROOM, Reader, Writer
from fastxfer.server.hooks import Direction, TransferInfo
from fastxfer.server.outlast import outlast
from fastxfer.server.replies import ReplyError, reply
from fastxfer.server.transforms import receiving_transform, sending_transform

if TYPE_CHECKING:
    from fastxfer.server.session import Session

__all__ = ["Progress", "error_of", "failed", "receive_file", "record", "send_file"]

logger = logging.getLogger("fastxfer.server")

CHUNK = 262144
WATCH_INTERVAL = 0.1
"""Seconds between looks at an upload whose size is limited."""


class _Counting(Protocol):
    @property
    def sent(self) -> int: ...
    @property
    def received(self) -> int: ...
    def cancel(self) -> None: ...


class Progress:
    """A transfer under way, as STAT and ABOR see it."""

    __slots__ = ("aborted", "counter", "direction", "encrypted", "error", "moved", "offset", "path", "started")

    def __init__(self, direction: Direction, path: str, offset: int, encrypted: bool) -> None:
        self.direction = direction
        self.path = path
        self.offset = offset
        self.encrypted = encrypted
        self.started = time.monotonic()
        self.aborted = False
        self.moved = 0
        self.error = ""
        self.counter: _Counting | None = None

    def bytes(self) -> int:
        """Bytes moved so far."""
        counter = self.counter
        if counter is None:
            return self.moved
        return counter.sent if self.direction is Direction.DOWNLOAD else counter.received

    def settle(self) -> None:
        """Keep the count, let go of what counted."""
        self.moved = self.bytes()
        self.counter = None


async def send_file(
    session: Session, path: str, reader: Reader, offset: int, sock: socket.socket | None = None, moved: int = 0
) -> None:
    """Send what *reader* has from *offset* on, with all replies. Closes nothing but the data connection.

    *sock* is the connection, if it was taken already, over which *moved* bytes have gone.
    """
    progress = Progress(Direction.DOWNLOAD, path, offset, session.private)
    await _begin(session, progress)
    size = reader.size
    opening = b"%b%d%b" % (replies.SENDING, size - offset, replies.BYTES)
    plain = reader.fileno() >= 0 and not (session.private or session.type_ascii or session.mode_z)
    write = session.control.write
    data = session.runtime.data(session)
    tidy = data.close
    try:
        sock = sock or data.take_now()
        if sock is None:
            write(opening)
            opening = b""
            sock = await data.take()
        if plain:
            timeouts = session.config.timeouts
            transfer = Transfer(
                sock.fileno(),
                send_fd=reader.fileno(),
                send_offset=offset + moved,
                send_count=size - offset - moved,
                timeout=timeouts.transfer or None,
                idle_timeout=timeouts.data_stall or None,
                limits=session.download_limits,
                may_block=True,
            )
            progress.counter = transfer
            if not transfer.advance():
                write(opening)
                opening = b""
                await session.runtime.runner.run(transfer)
            if transfer.error:
                raise error_of(transfer)
        else:
            write(opening)
            opening = b""
            await _send_changed(session, progress, sock, reader, offset)
        sock.close()
        write(opening + replies.TRANSFER_COMPLETE)
        tidy = data.keep
    except BaseException as error:
        write(opening + failed(session, progress, error))
    finally:
        # The client has its answer already, and goes on while we tidy up.
        tidy()
        if sock is not None:
            sock.close()
        await _end(session, progress)


async def receive_file(session: Session, path: str, writer: Writer, append: bool, opening: bytes) -> None:
    """Fill *writer* from the data connection and end it, with all replies."""
    progress = Progress(Direction.APPEND if append else Direction.UPLOAD, path, writer.offset, session.private)
    write = session.control.write
    data = session.runtime.data(session)
    tidy = data.close
    sock: socket.socket | None = None
    begun = False
    try:
        await _begin(session, progress)
        begun = True
        sock = data.take_now()
        write(opening)
        if sock is None:
            sock = await data.take()
        if writer.fileno() >= 0 and not (session.private or session.type_ascii or session.mode_z):
            await _receive_plain(session, progress, sock, writer)
        else:
            await _receive_changed(session, progress, sock, writer)
        progress.settle()
        await writer.commit(sync=session.config.uploads.fsync)
        write(replies.TRANSFER_COMPLETE)
        tidy = data.keep
    except BaseException as error:
        keep = not (isinstance(error, OSError) and error.errno in NO_ROOM)
        with contextlib.suppress(OSError):
            await writer.abort(keep=keep)
        if not begun:
            raise
        write(failed(session, progress, error))
    finally:
        tidy()
        if sock is not None:
            sock.close()
        if begun:
            await _end(session, progress)


async def _begin(session: Session, progress: Progress) -> None:
    service = session.service
    if service.asks_transfers:
        try:
            await service.hooks.on_transfer_start(_info(session, progress, ok=False))
        except PermissionError as error:
            logger.info("transfer of %r refused by a hook: %s", progress.path, error)
            raise
        except Exception:
            logger.exception("on_transfer_start failed")
    session.runtime.begins(session, progress)
    session.runtime.count_active(1)


async def _end(session: Session, progress: Progress) -> None:
    progress.settle()
    session.progress = None
    session.runtime.count_active(-1)
    service = session.service
    if service.records_transfers:
        info = _info(session, progress, ok=not progress.error)
        service.transfer_ended(info)
        await service.call("on_transfer_end", info.session, info)


def _info(session: Session, progress: Progress, *, ok: bool) -> TransferInfo:
    return TransferInfo(
        session=session.info(),
        direction=progress.direction,
        path=progress.path,
        offset=progress.offset,
        moved=progress.bytes(),
        duration=time.monotonic() - progress.started,
        ok=ok,
        error=progress.error,
        ascii=session.type_ascii,
        encrypted=progress.encrypted,
    )


def failed(session: Session, progress: Progress, error: BaseException) -> bytes:
    """The reply for *error*; what is no failure of the transfer is raised again."""
    if isinstance(error, asyncio.CancelledError):
        progress.error = "aborted by the client" if progress.aborted else "the control connection was closed"
        if not progress.aborted:
            raise error
        task = asyncio.current_task()
        if task is not None and hasattr(task, "uncancel"):
            task.uncancel()
        session.aborted = True
        return replies.TRANSFER_ABORTED
    progress.error = str(error) or type(error).__name__
    if progress.aborted and isinstance(error, OSError) and error.errno == errno.ECANCELED:
        progress.error = "aborted by the client"
        session.aborted = True
        return replies.TRANSFER_ABORTED
    if isinstance(error, OSError) and error.errno == errno.ECANCELED:
        progress.error = "the control connection was closed"
    if isinstance(error, ReplyError):
        return error.reply
    if not isinstance(error, OSError):
        raise error
    logger.info("transfer of %r with %s failed: %s", progress.path, session.address, error)
    # The errno of an SSLError is OpenSSL's, not the system's.
    if error.errno is None or isinstance(error, (_DataError, ConnectionError, TimeoutError, ssl.SSLError)):
        if error.errno == errno.ETIMEDOUT:
            return reply(426, "The data connection stalled; transfer aborted.")
        return replies.TRANSFER_ABORTED
    return replies.from_os_error(error)


class _DataError(OSError):
    """The data connection failed, not the file."""


def record(session: Session, progress: Progress) -> None:
    """Enter what has ended into logs and metrics; hooks are not told."""
    service = session.service
    if service.records_transfers:
        service.transfer_ended(_info(session, progress, ok=not progress.error))


def error_of(transfer: Transfer) -> OSError:
    """Why *transfer* has failed, told apart by whether the file or the connection did."""
    number = transfer.error
    kind = OSError if transfer.error_side == "file" else _DataError
    return kind(number, os.strerror(number))


async def _receive_plain(session: Session, progress: Progress, sock: socket.socket, writer: Writer) -> None:
    transfer = Transfer(
        sock.fileno(),
        framing=FRAMING_RAW,
        recv_fd=writer.fileno(),
        recv_offset=writer.offset,
        timeout=session.config.timeouts.transfer or None,
        idle_timeout=session.config.timeouts.data_stall or None,
        limits=session.upload_limits,
    )
    progress.counter = transfer
    carrying = session.runtime.runner.run(transfer)
    if session.account.limited:
        await _carry_limited(carrying, writer, transfer.cancel)
    else:
        await carrying
    if transfer.error:
        raise error_of(transfer)


async def _carry_limited(carrying: Coroutine[Any, Any, Any], writer: Writer, cancel: Callable[[], None]) -> None:
    """Carry an upload into the descriptor of *writer* to its end; *cancel* it soon after it has become too large."""
    task = asyncio.ensure_future(carrying)
    refusal: OSError | None = None
    try:
        while not (await asyncio.wait([task], timeout=WATCH_INTERVAL))[0]:
            if refusal is None:
                refusal = _refusal(writer)
                if refusal is not None:
                    cancel()
    except asyncio.CancelledError:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await outlast(task)
        raise
    failure = task.exception()
    refusal = refusal or _refusal(writer)
    if refusal is not None:
        raise refusal
    if failure is not None:
        raise failure


def _refusal(writer: Writer) -> OSError | None:
    """Why what *writer* has is too much."""
    try:
        writer.claim(os.fstat(writer.fileno()).st_size)
    except OSError as error:
        return error
    return None


async def _send_changed(session: Session, progress: Progress, sock: socket.socket, reader: Reader, offset: int) -> None:
    """Send through TLS or a transformation, or from a file that has no descriptor."""
    transform = sending_transform(session)
    if reader.fileno() >= 0:
        os.lseek(reader.fileno(), offset, os.SEEK_SET)
        channel = session.runtime.data_channel(session)
        pump = SendPump(
            sock,
            channel,
            fd=reader.fileno(),
            count=reader.size - offset,
            idle_timeout=session.config.timeouts.data_stall or None,
            timeout=session.config.timeouts.transfer or None,
            transform=transform,
            pacers=session.download_limits,
        )
        progress.counter = pump
        await session.runtime.run_pump(session, pump, channel)
        return
    stream = DataStream.of(session, sock)
    await session.runtime.data_handshake(session, stream)
    while (left := reader.size - offset) > 0:
        data = await reader.read(offset, min(left, CHUNK))
        if not data:
            raise OSError(errno.EIO, "The file became shorter while it was sent")
        offset += len(data)
        await stream.send(transform.update(data) if transform is not None else data)
        progress.moved += len(data)
        await pace(session.download_limits, len(data))
    if transform is not None:
        await stream.send(transform.finish())
    await stream.finish()


async def _receive_changed(session: Session, progress: Progress, sock: socket.socket, writer: Writer) -> None:
    """Receive through TLS or a transformation, or into a file that has no descriptor."""
    transform = receiving_transform(session)
    if writer.fileno() >= 0:
        largest = writer.largest()
        os.lseek(writer.fileno(), writer.offset, os.SEEK_SET)
        channel = session.runtime.data_channel(session)
        pump = ReceivePump(
            sock,
            channel,
            fd=writer.fileno(),
            limit=None if largest is None else max(largest - writer.offset, 0),
            idle_timeout=session.config.timeouts.data_stall or None,
            timeout=session.config.timeouts.transfer or None,
            transform=transform,
            pacers=session.upload_limits,
        )
        progress.counter = pump
        try:
            carrying = session.runtime.run_pump(session, pump, channel)
            if session.account.limited:
                await _carry_limited(carrying, writer, pump.cancel)
            else:
                await carrying
        except PumpLimitError as error:
            raise OSError(errno.EDQUOT, "The upload is larger than allowed") from error
        return
    stream = DataStream.of(session, sock)
    await session.runtime.data_handshake(session, stream)
    while True:
        data = await stream.receive(CHUNK)
        moved = len(data)
        for piece in _changed(transform, data):
            if piece:
                await writer.write(piece)
        if not moved:
            stream.acknowledge()
            return
        progress.moved += moved
        await pace(session.upload_limits, moved)


def _changed(transform: Transform | None, data: bytes) -> Iterator[bytes]:
    """What *data*, which is empty at the end of the stream, becomes."""
    if transform is None:
        yield data
    elif not data:
        yield transform.finish()
    else:
        for start in range(0, len(data), TRANSFORMED):
            yield transform.update(data[start : start + TRANSFORMED])


async def pace(limits: Sequence[RateLimit], count: int) -> None:
    """Wait until *count* bytes that were moved are within every limit."""
    pause = max((limit.reserve(count) for limit in limits), default=0.0)
    if pause > 0:
        await asyncio.sleep(pause)
