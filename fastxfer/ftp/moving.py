"""Moving the bytes of one transfer between an open data connection and the near end."""

from __future__ import annotations

import contextlib
import errno
import os
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from fastxfer.core.transforms import TRANSFORMED, Chain, Deflate, Transform
from fastxfer.core.xfer import FRAMING_NONE, FRAMING_RAW, RateLimit, Transfer
from fastxfer.ftp.compression import Inflate
from fastxfer.ftp.config import Limits
from fastxfer.ftp.data_connection import DataConnection
from fastxfer.ftp.driver import Mover
from fastxfer.ftp.endpoints import (
    ChunkSink,
    ChunkSource,
    FileSink,
    FileSource,
    MemorySink,
    MemorySource,
    Sink,
    Source,
    local_error,
)
from fastxfer.ftp.errors import (
    ConnectionLostError,
    FTPError,
    LocalFileError,
    TimedOutError,
    TLSFailedError,
    TransferError,
    TruncatedError,
)
from fastxfer.ftp.session import Session
from fastxfer.net.progress import Progress
from fastxfer.net.stream import Stream
from fastxfer.net.tls_channel import TLSTruncatedError
from fastxfer.net.tls_pump import PumpLimitError, ReceivePump, SendPump

__all__ = ["Rates", "pieces", "receive", "send"]

_LINGER = 5.0
_LOCAL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""What a socket never says, so that it must have been the file."""


@dataclass
class Rates:
    """The client's limits on bytes per second."""

    upload: Sequence[RateLimit] = ()
    download: Sequence[RateLimit] = ()

    @classmethod
    def of(cls, limits: Limits) -> Rates:
        return cls(
            [RateLimit(limits.upload_rate)] if limits.upload_rate else (),
            [RateLimit(limits.download_rate)] if limits.download_rate else (),
        )


async def receive(
    session: Session,
    data: DataConnection,
    sink: Sink,
    rates: Rates,
    *,
    progress: Progress | None = None,
    transform: Transform | None = None,
    limit: int | None = None,
    most: int | None = None,
    strict: bool = True,
) -> None:
    """Bytes from the data connection into *sink*, whose position moves, until the server ends.

    *limit* ends it after so many bytes, which the caller must then treat as an aborted transfer. More than *most* are
    an error as soon as that is seen (where bytes pass through Python; else the caller compares in the end). *strict*
    makes a TLS stream that ends without close_notify an error; who knows the size can do without.

    Raises FTPError; bytes received before stay counted.
    """
    if data.body and isinstance(sink, (FileSink, MemorySink)):
        _store_received(data, sink, session)
        if progress is not None:
            progress.advance(len(data.body))
    if data.failure is not None:
        raise _socket_error(data.failure, session, sink.position) from data.failure
    if data.ended and not isinstance(sink, ChunkSink):
        return
    if isinstance(sink, ChunkSink):
        await _receive_chunks(session, data, sink, rates, progress, transform, limit, strict)
        return
    transform = _changed_on_arrival(session, transform)
    timeouts = session.config.timeouts
    sock = data.stream.socket
    start = sink.position
    mover: Mover
    if data.channel is None and transform is None:
        into: dict[str, Any] = (
            {"recv_fd": sink.fd, "recv_offset": start}
            if isinstance(sink, FileSink)
            else {"recv_limit": max(0, sink.limit - start), "recv_expected": -1 if most is None else most}
        )
        if limit is not None:
            into["recv_count"] = limit
        mover = Transfer(sock.fileno(), framing=FRAMING_RAW, idle_timeout=timeouts.data, limits=rates.download, **into)
    else:
        if isinstance(sink, FileSink):
            os.lseek(sink.fd, start, os.SEEK_SET)
        mover = ReceivePump(
            sock,
            data.channel,
            fd=sink.fd if isinstance(sink, FileSink) else -1,
            limit=most if isinstance(sink, FileSink) else min(sink.limit - start, most or sink.limit),
            count=limit,
            idle_timeout=timeouts.data,
            transform=transform,
            pacers=rates.download,
        )
    if progress is not None:
        progress.follow(mover, receiving=True)
    try:
        await _carry(session, data, mover)
        if isinstance(mover, Transfer) and mover.error:
            raise _transfer_error(mover, start + mover.received)
    except TLSTruncatedError as error:
        if strict:
            raise _truncated(session, start + mover.received) from error
    except EOFError as error:
        raise TruncatedError(str(error), server=session.server, bytes_done=start + mover.received) from error
    except FTPError:
        raise
    except OSError as error:
        raise _socket_error(error, session, start + mover.received) from error
    finally:
        if isinstance(sink, FileSink):
            sink.position = start + mover.received
        elif not isinstance(mover, SendPump):
            sink.add(mover.body)
        if progress is not None:
            progress.unfollow(keep=True)


async def _carry(session: Session, data: DataConnection, mover: Mover) -> None:
    if session.config.limits.transfer_keepalive is None:
        await session.driver.carry(mover)
        return
    async with _beating(session, data):
        await session.driver.carry(mover)


def _beating(session: Session, data: DataConnection) -> AbstractAsyncContextManager[None]:
    """Keep the control connection from being forgotten: NOOP now and then, if that is wanted."""
    seconds = session.config.limits.transfer_keepalive
    if seconds is None:
        return _nothing()

    async def beat() -> None:
        data.noops += 1
        # The end of the transfer tells as well that the control connection broke.
        with contextlib.suppress(FTPError):
            await session.send(["NOOP"])

    return session.driver.beating(seconds, beat)


@contextlib.asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield


def _store_received(data: DataConnection, sink: FileSink | MemorySink, session: Session) -> None:
    """Store what came while the data connection was being opened."""
    if isinstance(sink, MemorySink):
        if sink.position + len(data.body) > sink.limit:
            raise TransferError("the file is longer than what may be read into memory", bytes_done=sink.position)
        sink.add(data.body)
        return
    view = memoryview(data.body)
    while view:
        try:
            count = os.pwrite(sink.fd, view, sink.position)
        except OSError as error:
            raise local_error(error, "local file") from error
        sink.position += count
        view = view[count:]


async def _receive_chunks(
    session: Session,
    data: DataConnection,
    sink: ChunkSink,
    rates: Rates,
    progress: Progress | None,
    transform: Transform | None,
    limit: int | None,
    strict: bool,
) -> None:
    left = limit
    async for piece in pieces(session, data, rates, transform=transform, strict=strict):
        if left is not None:
            piece = piece[:left]
            left -= len(piece)
        await sink.write(piece)
        if progress is not None:
            progress.advance(len(piece))
        if left == 0:
            return


async def pieces(
    session: Session,
    data: DataConnection,
    rates: Rates,
    *,
    transform: Transform | None = None,
    strict: bool = True,
) -> AsyncIterator[bytes]:
    """What comes over a data connection, decrypted, decompressed and transformed, piece by piece. Raises FTPError."""
    change = _changed_on_arrival(session, transform)
    seconds = session.config.timeouts.data
    done = 0
    try:
        if data.channel is not None and data.stream.channel is None:
            await data.stream.start_tls(data.channel, seconds)
        async with _beating(session, data):
            while piece := await _next_piece(data, seconds):
                for part in _changed(piece, change):
                    done += len(part)
                    yield part
                await _pace(session, rates.download, len(piece))
        if change is not None and (rest := change.finish()):
            yield rest
    except TLSTruncatedError as error:
        if strict:
            raise _truncated(session, done) from error
    except EOFError as error:
        raise TruncatedError(str(error), server=session.server, bytes_done=done) from error
    except FTPError:
        raise
    except OSError as error:
        raise _socket_error(error, session, done) from error


def _changed(piece: bytes, change: Transform | None) -> Iterator[bytes]:
    """What *piece* becomes, little by little: what is compressed may become a thousand times as long."""
    if change is None:
        yield piece
        return
    for start in range(0, len(piece), TRANSFORMED):
        if part := change.update(piece[start : start + TRANSFORMED]):
            yield part


async def _next_piece(data: DataConnection, seconds: float | None) -> bytes:
    if data.body:
        piece, data.body = data.body, b""
        return piece
    return b"" if data.ended else await data.stream.receive(seconds)


def _changed_on_arrival(session: Session, transform: Transform | None) -> Transform | None:
    if not session.compressed:
        return transform
    return Inflate() if transform is None else Chain(Inflate(), transform)


def _changed_on_leaving(session: Session, transform: Transform | None) -> Transform | None:
    if not session.compressed:
        return transform
    return Deflate() if transform is None else Chain(transform, Deflate())


async def send(
    session: Session,
    data: DataConnection,
    source: Source,
    offset: int,
    rates: Rates,
    *,
    progress: Progress | None = None,
    transform: Transform | None = None,
) -> int:
    """Bytes of *source* from *offset* on into the data connection, then its end: how many bytes of the source.

    Raises FTPError with ``bytes_done`` where it stopped.
    """
    if isinstance(source, ChunkSource):
        return await _send_chunks(session, data, source, rates, progress, transform)
    transform = _changed_on_leaving(session, transform)
    seconds = session.config.timeouts.sending
    sock = data.stream.socket
    mover: Mover
    if data.channel is None and transform is None:
        what: dict[str, Any] = (
            {"send": source.view[offset:]}
            if isinstance(source, MemorySource)
            else {
                "send_fd": source.fd,
                "send_offset": offset,
                "send_count": source.base + (source.size or 0) - offset,
            }
        )
        mover = Transfer(sock.fileno(), framing=FRAMING_NONE, idle_timeout=seconds, limits=rates.upload, **what)
    else:
        if isinstance(source, FileSource):
            os.lseek(source.fd, offset, os.SEEK_SET)
        mover = SendPump(
            sock,
            data.channel,
            fd=source.fd if isinstance(source, FileSource) else -1,
            data=source.view[offset:] if isinstance(source, MemorySource) else b"",
            idle_timeout=seconds,
            transform=transform,
            pacers=rates.upload,
            eager=True,
        )
    if progress is not None:
        progress.follow(mover, receiving=False)
    try:
        await _carry(session, data, mover)
        if isinstance(mover, Transfer) and mover.error:
            raise _transfer_error(mover, offset + mover.sent)
    except FTPError:
        raise
    except OSError as error:
        raise _socket_error(error, session, offset + mover.sent) from error
    finally:
        if progress is not None:
            progress.unfollow(keep=True)
    return mover.sent


async def _send_chunks(
    session: Session,
    data: DataConnection,
    source: ChunkSource,
    rates: Rates,
    progress: Progress | None,
    transform: Transform | None,
) -> int:
    transform = _changed_on_leaving(session, transform)
    stream = data.stream
    seconds = session.config.timeouts.sending
    try:
        if data.channel is not None:
            await stream.start_tls(data.channel, seconds)
    except OSError as error:
        raise _socket_error(error, session, 0) from error
    async with _beating(session, data):
        return await _pump_chunks(session, stream, source, rates, progress, transform)


async def _pump_chunks(
    session: Session,
    stream: Stream,
    source: ChunkSource,
    rates: Rates,
    progress: Progress | None,
    transform: Transform | None,
) -> int:
    seconds = session.config.timeouts.sending
    sent = 0
    while True:
        # Errors of the source itself pass through as they are.
        piece = await source.read()
        count = len(memoryview(piece))
        try:
            if not count:
                if transform is not None and (rest := transform.finish()):
                    await stream.send(rest, seconds)
                await stream.send_eof(seconds)
                if stream.channel is not None:
                    await stream.drain(_LINGER)
                return sent
            await stream.send(piece if transform is None else transform.update(piece), seconds)
        except OSError as error:
            raise _socket_error(error, session, sent) from error
        sent += count
        if progress is not None:
            progress.advance(count)
        await _pace(session, rates.upload, count)


async def _pace(session: Session, limits: Sequence[RateLimit], count: int) -> None:
    pause = max((limit.reserve(count) for limit in limits), default=0.0)
    if pause > 0:
        await session.driver.sleep(pause)


def _truncated(session: Session, done: int) -> TruncatedError:
    return TruncatedError(
        "the server ended TLS on the data connection without close_notify: the file may be cut short",
        server=session.server,
        bytes_done=done,
    )


def _transfer_error(transfer: Transfer, done: int) -> FTPError:
    """What the errno of a native transfer means."""
    code = transfer.error
    message = os.strerror(code)
    if transfer.error_side == "file":
        if code == errno.EIO and transfer.sent:
            message = "the file became shorter while it was being sent"
        failure = LocalFileError(f"local file: {message}", bytes_done=done)
        failure.errno = code
        return failure
    if code == errno.ETIMEDOUT:
        return TimedOutError("no data moved on the data connection in time", bytes_done=done)
    if code == errno.EMSGSIZE:
        return TransferError("the file is longer than what may be read into memory", bytes_done=done)
    return ConnectionLostError(f"the data connection broke: {message}", bytes_done=done)


def _socket_error(error: OSError, session: Session, done: int) -> FTPError:
    if isinstance(error, TimeoutError):
        return TimedOutError("no data moved on the data connection in time", server=session.server, bytes_done=done)
    if isinstance(error, PumpLimitError):
        return TransferError(str(error), server=session.server, bytes_done=done)
    if isinstance(error, ssl.SSLCertVerificationError) or (isinstance(error, ssl.SSLError) and not done):
        return TLSFailedError(f"TLS on the data connection: {error}", server=session.server, bytes_done=done)
    if error.errno in _LOCAL:
        failure = LocalFileError(f"local file: {error.strerror}", server=session.server, bytes_done=done)
        failure.errno = error.errno
        return failure
    return ConnectionLostError(f"the data connection broke: {error}", server=session.server, bytes_done=done)
