"""One client's connection to a server of the node: frames requests, carries out actions, moves bodies."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import time

from fastxfer.core.crc32 import crc32, crc32_combine
from fastxfer.core.xfer import FRAMING_NONE, FRAMING_RAW, Transfer
from fastxfer.fdfs.node.actions import (
    HEADER,
    REPLY_COMMAND,
    Action,
    Close,
    ReceiveFile,
    Reply,
    Request,
    SendFile,
    Service,
)
from fastxfer.fdfs.node.faults import Fault, Faults
from fastxfer.fdfs.node.files import read_at, write_at
from fastxfer.fdfs.node.statuses import EINVAL, EIO, Refused, status_of
from fastxfer.fdfs.node.worker import Worker, logger

STEP = 1 << 20
"""Bytes that one connection may move before the others of its worker get their turn."""
INLINE = 64 * 1024
"""Files up to this size are read and sent together with the header in one system call, bytes."""
_NO_LINGER = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


class Connection:
    """A connection; all its methods run in the thread of its worker."""

    def __init__(
        self, sock: socket.socket, peer: str, worker: Worker, service: Service, faults: Faults, timeout: float
    ) -> None:
        self.deadline: float | None = None
        self.service = service
        self._socket = sock
        self._peer = peer
        self._worker = worker
        self._faults = faults
        self._timeout = timeout
        self._fault: Fault | None = None
        self._pending = bytearray()
        self._out: memoryview | None = None
        self._close_after = False
        self._transfer: Transfer | None = None
        self._sending: SendFile | None = None
        self._receiving: ReceiveFile | None = None
        self._first_crc = 0
        self._rest_size = 0
        self._events = selectors.EVENT_READ
        self._closed = False

    def open(self) -> None:
        self._worker.members.add(self)
        self._worker.register(self._socket, self._events, self._on_event)
        self.deadline = time.monotonic() + self._timeout
        self.service.opened()

    def close(self, *, reset: bool = False) -> None:
        """Close it; with *reset* as a server does that was killed. A body that was not whole is thrown away."""
        if self._closed:
            return
        self._closed = True
        self._worker.members.discard(self)
        self._worker.unregister(self._socket)
        if self._transfer is not None:
            # It lets go of the descriptor when it looks the next time.
            self._transfer.cancel()
            self._transfer.advance()
        if reset:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        if self._sending is not None:
            os.close(self._sending.fd)
        if self._receiving is not None:
            self._receiving.abort()
        self._sending = self._receiving = self._transfer = None
        self._socket.close()
        self.service.closed()

    def stalled(self) -> None:
        logger.info("%s: %s stalled in the middle of a request", self.service.name, self._peer)
        self.close(reset=self._sending is not None)

    def _on_event(self, mask: int) -> None:
        try:
            if self._transfer is not None:
                self._advance()
            elif self._out is not None:
                self._flush()
            else:
                self._read()
        except (OSError, ValueError) as error:
            logger.debug("%s: connection of %s lost: %s", self.service.name, self._peer, error)
            self.close()
        except BaseException:
            self.close()
            raise

    def _want(self, events: int) -> None:
        if events != self._events and not self._closed:
            self._events = events
            self._worker.modify(self._socket, events, self._on_event)

    # Requests

    def _read(self) -> None:
        room = self.service.buffer_size - len(self._pending)
        try:
            count = self._socket.recv_into(self._worker.scratch, max(room, 1))
        except (BlockingIOError, InterruptedError):
            return
        if not count:
            self.close()
            return
        if self._pending:
            self._pending += self._worker.scratch[:count]
            data = bytes(self._pending)
            self._pending.clear()
        else:
            data = bytes(self._worker.scratch[:count])
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        """Look at the requests in *data*; what is not whole is kept."""
        while len(data) >= HEADER.size:
            length, command, flags = HEADER.unpack_from(data)
            if self.service.length_bits == 32:
                length = (length + 0x80000000) % 0x100000000 - 0x80000000
            if length < 0:
                self.close()
                return
            window = min(HEADER.size + length, self.service.buffer_size)
            if len(data) < window:
                break
            rest = data[window:]
            request = Request(command, flags, length, data[HEADER.size : window], self._peer)
            self.deadline = None
            if not self._dispatch(request):
                self._pending[:] = rest
                return
            if rest and not self.service.pipelines:
                logger.warning(
                    "%s: %s wrote a request before it had read the last reply; a FastDFS storage leaves it "
                    "unanswered until more bytes come, and so does this node",
                    self.service.name,
                    self._peer,
                )
                self._pending[:] = rest
                return
            data = rest
        if data:
            self._pending[:] = data
            self.deadline = time.monotonic() + self._timeout

    def _ready(self) -> bool:
        """Whether the next request may be looked at."""
        return not self._closed and self._transfer is None and self._out is None and self._events != 0

    def _dispatch(self, request: Request) -> bool:
        """Carry a request out as far as that goes without waiting; True when the next may be looked at."""
        fault = self._faults.match(self.service.name, request.command)
        if fault is None:
            self._carry_out(request, self._handle(request))
        elif fault.close:
            self.close()
        elif fault.stall:
            self._pause()
        elif fault.delay:
            self._pause()
            self._worker.later(fault.delay, lambda: self._resume(request, fault))
        else:
            self._fail(request, fault)
        return self._ready()

    def _pause(self) -> None:
        """Stop looking at the socket."""
        self._worker.unregister(self._socket)
        self._events = 0

    def _resume(self, request: Request, fault: Fault) -> None:
        if self._closed:
            return
        self._events = selectors.EVENT_READ
        self._worker.register(self._socket, self._events, self._on_event)
        try:
            self._fail(request, fault)
            if self._ready():
                self._next()
        except OSError:
            self.close()

    def _fail(self, request: Request, fault: Fault) -> None:
        if fault.reply is not None:
            self._send(fault.reply)
        elif fault.status is not None:
            self._answer(Reply(fault.status), early=not request.whole)
        else:
            self._fault = fault
            self._carry_out(request, self._handle(request))

    def _handle(self, request: Request) -> Action:
        try:
            return self.service.handle(request)
        except Refused as refusal:
            logger.debug(
                "%s: command %d of %s refused with %d: %s",
                self.service.name,
                request.command,
                request.peer,
                refusal.status,
                refusal.reason,
            )
            return Reply(refusal.status)
        except OSError as error:
            logger.debug("%s: command %d of %s: %s", self.service.name, request.command, request.peer, error)
            return Reply(status_of(error))
        except Exception:
            logger.exception("%s: command %d failed", self.service.name, request.command)
            return Reply(EIO)

    # Actions

    def _carry_out(self, request: Request, action: Action) -> None:
        if isinstance(action, Reply):
            self._answer(action, early=not request.whole)
        elif isinstance(action, SendFile):
            self._send_file(action)
        elif isinstance(action, ReceiveFile):
            self._receive_file(request, action)
        else:
            assert isinstance(action, Close)
            self.close()

    def _answer(self, reply: Reply, *, early: bool = False) -> None:
        if reply.status == EINVAL and not reply.body and self.service.closes_on_einval:
            self._close_after = True
        if early and not self.service.parses_refused_body:
            self._close_after = True
        self._send(reply.encode())

    def _send(self, data: bytes) -> None:
        fault, self._fault = self._fault, None
        if fault is not None:
            data = data if fault.answer is None else fault.answer
            if fault.corrupt is not None and len(data) > HEADER.size + fault.corrupt:
                spoilt = bytearray(data)
                spoilt[HEADER.size + fault.corrupt] ^= 0xFF
                data = bytes(spoilt)
            if fault.cut is not None:
                data = data[: fault.cut]
                self._close_after = True
        self._out = memoryview(data)
        self._flush()

    def _flush(self) -> None:
        assert self._out is not None
        try:
            while self._out:
                self._out = self._out[self._socket.send(self._out) :]
        except (BlockingIOError, InterruptedError):
            self.deadline = time.monotonic() + self._timeout
            self._want(selectors.EVENT_WRITE)
            return
        was_waiting = self._events == selectors.EVENT_WRITE
        self._out = None
        self._finished(look_further=was_waiting)

    def _finished(self, *, look_further: bool) -> None:
        """A reply is out."""
        self.deadline = None
        if self._close_after:
            self.close()
            return
        self._want(selectors.EVENT_READ)
        if look_further:
            self._next()

    def _next(self) -> None:
        """Look at what had been read behind the last request, where the server answers pipelined requests."""
        if self._pending and self.service.pipelines:
            data = bytes(self._pending)
            self._pending.clear()
            self._parse(data)

    def _send_file(self, action: SendFile) -> None:
        header = HEADER.pack(action.count, REPLY_COMMAND, 0)
        if action.count <= INLINE or self._fault is not None:
            try:
                data = read_at(action.fd, action.count, action.offset)
            finally:
                os.close(action.fd)
            if len(data) < action.count:
                self._close_after = True
            self._send(header + data)
            return
        self._sending = action
        self._transfer = Transfer(
            self._socket.fileno(),
            send=header,
            send_fd=action.fd,
            send_offset=action.offset,
            send_count=action.count,
            framing=FRAMING_NONE,
        )
        self._advance()

    def _receive_file(self, request: Request, action: ReceiveFile) -> None:
        self._receiving = action
        first = memoryview(request.body)[action.head_size :]
        try:
            write_at(action.fd, first, 0)
        except OSError as error:
            self._abort_receiving(status_of(error))
            return
        self._first_crc = crc32(first)
        self._rest_size = request.length - len(request.body)
        if not self._rest_size:
            self._received(self._first_crc)
            return
        self._transfer = Transfer(
            self._socket.fileno(),
            framing=FRAMING_RAW,
            recv_fd=action.fd,
            recv_offset=len(first),
            recv_count=self._rest_size,
            crc=True,
        )
        self._advance()

    def _advance(self) -> None:
        transfer = self._transfer
        assert transfer is not None
        if not transfer.advance(STEP):
            self.deadline = time.monotonic() + self._timeout
            self._want(selectors.EVENT_WRITE if self._sending else selectors.EVENT_READ)
            return
        self._transfer = None
        if self._sending is not None:
            os.close(self._sending.fd)
            self._sending = None
            if transfer.error:
                self.close()
            else:
                self._finished(look_further=True)
        elif transfer.error and transfer.error_side == "file":
            self._abort_receiving(status_of(OSError(transfer.error, os.strerror(transfer.error))))
        elif transfer.error:
            self.close()
        else:
            self._received(crc32_combine(self._first_crc, transfer.crc32, self._rest_size))

    def _received(self, crc: int) -> None:
        action, self._receiving = self._receiving, None
        assert action is not None
        try:
            reply = action.finish(crc)
        except Refused as refusal:
            reply = Reply(refusal.status)
        except OSError as error:
            reply = Reply(status_of(error))
        self._answer(reply)

    def _abort_receiving(self, status: int) -> None:
        """The body cannot be kept: answer early."""
        action, self._receiving = self._receiving, None
        assert action is not None
        action.abort()
        self._answer(Reply(status), early=True)
