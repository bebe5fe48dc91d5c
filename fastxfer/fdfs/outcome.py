"""What a driver makes of a connection's end: which exception it is, and whether the connection may be used again."""

from __future__ import annotations

import errno
import os
from typing import TypeVar

from fastxfer.core.xfer import FRAMING_FASTDFS, FRAMING_RAW, Transfer
from fastxfer.fdfs.commands import Command
from fastxfer.fdfs.config import Settings
from fastxfer.fdfs.errors import (
    ClientClosedError,
    ConnectionTimeoutError,
    FastDFSError,
    InvalidResponseError,
    NetworkError,
    NetworkTimeoutError,
    PoolTimeoutError,
    TransferCancelledError,
    command_name,
)
from fastxfer.fdfs.steps import Move, Moved, Pipeline
from fastxfer.net.address import Address
from fastxfer.net.pool import PoolClosed, PoolTimeout

__all__ = [
    "begin_call",
    "begin_pipeline",
    "call_error",
    "finish",
    "keep_after_call",
    "keep_after_move",
    "meaning",
    "meaningless",
    "move_error",
    "pipeline_error",
    "start",
    "take_error",
]

T = TypeVar("T")

_EINVAL = 22
"""After this status a storage server closes the connection (whatever the client's platform calls 22)."""

_HARMED_BY_A_PART = (21, 24)
"""Slave upload and append: what a server does to clean up after a part of one may come too late, and undo the next."""

_SAFE_BODY = 8192
"""After an error to a longer request the server may take the rest of it for requests."""

_PIPELINE_LIMIT = 1 << 24
"""Bytes of replies to one pipeline at most."""

_MALFORMED = (errno.EPROTO, errno.EMSGSIZE)


def take_error(address: Address, error: PoolClosed | OSError) -> FastDFSError:
    """The exception for a connection that could not be had: the pool was closed or full, or none could be opened."""
    if isinstance(error, PoolClosed):
        return ClientClosedError()
    server = str(address)
    if isinstance(error, PoolTimeout):
        return PoolTimeoutError(server, error)
    if isinstance(error, TimeoutError):
        return ConnectionTimeoutError(server)
    if error.errno is not None and error.errno > 0:
        # Event loops have words of their own.
        error = OSError(error.errno, os.strerror(error.errno))
    return NetworkError("connect", server, error)


def call_error(code: int, address: Address, request: bytes, reused: bool) -> FastDFSError:
    """The exception for an exchange that ended with errno *code*."""
    error = _plain_error(code, str(address), "exchange")
    error.command = command_name(request[8])
    if isinstance(error, NetworkError):
        error.reused = reused
        # EPIPE: the send failed, so the request never left.
        error.maybe_done = code != errno.EPIPE
    return error


def move_error(transfer: Moved, step: Move, reused: bool) -> Exception:
    """The exception for a *transfer* that ended with an error."""
    code = transfer.error
    if transfer.error_side == "file":
        # The local file's fault: what it lacks or the disk lacks. The plan knows its path.
        return OSError(code, os.strerror(code))
    total = len(step.head) + step.body_size
    sending = transfer.sent < total
    error = _plain_error(code, str(step.address), "write" if sending else "read")
    error.command = command_name(step.head[8])
    error.bytes_done = transfer.received if step.receiving else max(0, transfer.sent - len(step.head))
    if isinstance(error, NetworkError):
        error.reused = reused
        error.maybe_done = not sending or (transfer.sent > 0 and step.command.code in _HARMED_BY_A_PART)
        error.transfer = transfer
    return error


def start(step: Move, fd: int, settings: Settings) -> Transfer:
    """The transfer for *step* over the socket *fd*, watched by its control."""
    control = step.control
    timeout = None if control is None else control.deadline.remaining()
    transfer = Transfer(
        fd,
        send=step.head,
        send_from=step.data,
        send_fd=step.send_fd,
        send_offset=step.send_offset,
        send_count=step.send_count,
        framing=FRAMING_FASTDFS,
        recv_into=step.recv_into,
        recv_fd=step.recv_fd,
        recv_offset=step.recv_offset,
        recv_count=step.recv_count,
        recv_limit=step.recv_limit,
        crc=step.crc,
        timeout=timeout,
        idle_timeout=settings.config.network_timeout,
        spin=settings.config.spin or 0,
        limits=settings.limits,
    )
    if control is not None:
        if control.progress is not None:
            control.progress.follow(transfer, receiving=step.receiving, overhead=len(step.head))
        if control.cancel is not None:
            control.cancel.watch(transfer)
    return transfer


def finish(step: Move, transfer: Transfer) -> None:
    """*transfer* is over, however it ended."""
    control = step.control
    if control is not None:
        if control.progress is not None:
            control.progress.unfollow(keep=not transfer.error and transfer.status == 0)
        if control.cancel is not None:
            control.cancel.release(transfer)


def begin_pipeline(step: Pipeline, fd: int, timeout: float) -> Transfer:
    """The transfer that sends all requests of *step* and receives until the tracker closes the connection."""
    return Transfer(fd, send=step.requests, framing=FRAMING_RAW, recv_limit=_PIPELINE_LIMIT, timeout=timeout)


def meaning(command: Command[T], body: bytes, address: Address) -> T:
    """What a reply of status 0 means; :class:`InvalidResponseError` where that is nothing."""
    try:
        return command.decode(body)
    except ValueError as reason:
        raise meaningless(command, address, reason) from None


def meaningless(command: Command[T], address: Address, reason: ValueError) -> Exception:
    """The exception for a reply that *command* could not read, for *reason*."""
    if isinstance(reason, FastDFSError):
        return reason
    error = InvalidResponseError(str(reason))
    error.server, error.command = str(address), command_name(command.code)
    return error


def begin_call(request: bytes, limit: int, fd: int, timeout: float) -> Transfer:
    """The transfer for a small exchange that is awaited."""
    return Transfer(fd, send=request, framing=FRAMING_FASTDFS, recv_limit=limit, timeout=timeout)


def keep_after_call(status: int, request: bytes) -> bool:
    """Whether the connection may be used again after a whole reply with *status*."""
    return status == 0 or (status != _EINVAL and len(request) <= _SAFE_BODY)


def keep_after_move(transfer: Moved, step: Move) -> bool:
    """Whether the connection may be used again after *transfer*."""
    if transfer.error or transfer.early:
        return False
    return transfer.status == 0 or (transfer.status != _EINVAL and step.body_size <= _SAFE_BODY)


def _plain_error(code: int, server: str, operation: str) -> FastDFSError:
    error: FastDFSError
    if code == errno.ETIMEDOUT:
        return NetworkTimeoutError(operation, server)
    if code == errno.ECANCELED:
        error = TransferCancelledError()
    elif code in _MALFORMED:
        what = "not a reply, or of a length it cannot have" if code == errno.EPROTO else "longer than it can be"
        error = InvalidResponseError(what)
    else:
        return NetworkError(operation, server, OSError(code, os.strerror(code)))
    error.server = server
    return error


def pipeline_error(transfer: Transfer, step: Pipeline) -> FastDFSError:
    """The exception for a pipeline that ended with an error."""
    return _plain_error(transfer.error, str(step.address), "read")
