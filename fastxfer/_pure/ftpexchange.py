"""Small files over FTP in one go, in Python: the twin of ``_ext/ftpexchange.pyx``."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import socket
import time
from collections.abc import Callable, Iterable

__all__ = ["Exchange", "Watch"]

_MOST_REPLIES = 8192
_BLOCK = 65536
_LINE = re.compile(rb"([1-5]\d\d)([ -])")
_SIZE = re.compile(rb"213 +(\d{1,18}) *\r?$")
_PORT = re.compile(rb"\(([!-/:-~])\1\1(\d{1,5})\1\)")


class Exchange:
    """The exchanges of one control connection, one after the other."""

    def __init__(self, control: int, family: int, host: str, flow: int = 0, scope: int = 0) -> None:
        if control < 0:
            raise ValueError(f"not a descriptor: {control}")
        if family not in (socket.AF_INET, socket.AF_INET6):
            raise ValueError(f"not an internet address family: {family}")
        socket.inet_pton(family, host)
        self._control = control
        self._family = family
        self._peer = (host, flow, scope)
        self._watch: Watch | None = None
        self._data: socket.socket | None = None
        self._next: socket.socket | None = None
        self._next_at = 0.0
        self._payload: bytes | None = None
        self._finals = self._seen = 0
        self._at = (0, -1, -1)
        self._limit = 0
        self._size_at = self._file = -1
        self._size: int | None = None
        self._agreed = self._stored = self._leave_next = False
        self._consented = self._promised = self._named = False
        self._then = b""
        self._named_at = -1
        self.then_sent = 0
        self.owes = False
        self._parsed = 0
        self._multi = b""
        self.moved_at = 0.0
        self.done = True
        self.replies = b""
        self.body = b""
        self.connected = False
        self.ended = False
        self.sent = 0
        self.data_error = 0

    def begin(
        self,
        request: bytes,
        finals: int,
        transfer_at: int = -1,
        address_at: int = -1,
        next_at: int = -1,
        payload: bytes | None = None,
        limit: int = 65536,
        size_at: int = -1,
        file: int = -1,
        leave_next: bool = False,
        then: bytes | None = None,
        named_at: int = -1,
    ) -> int:
        if not self.done:
            raise RuntimeError("an exchange is under way")
        if transfer_at >= finals or finals < 1:
            raise ValueError(f"the transfer is none of {finals} commands: {transfer_at}")
        if transfer_at >= 0 and (address_at < 0) == (self._next is None):
            raise ValueError("a data connection is either there or to be asked for")
        if transfer_at < 0 and (address_at >= 0 or next_at >= 0 or payload is not None):
            raise ValueError("a data connection is of no use without a transfer")
        if self.owes and address_at != 0:
            raise ValueError("the first reply is EPSV's of the exchange before")
        if file >= 0 and (transfer_at < 0 or payload is not None):
            raise ValueError("only what is received can be written to a file")
        if payload is not None and not isinstance(payload, bytes):
            raise TypeError(f"the payload must be bytes, not {type(payload).__name__}")
        if then is not None and (payload is None or not then or named_at >= finals or transfer_at + 1 == finals):
            raise ValueError("commands can follow an upload only, and are answered")
        try:
            count = self._with_control(lambda control: control.send(request))
        except OSError:
            return 0
        if count != len(request):
            return count
        self._finals, self._seen, self._at = finals, 0, (transfer_at, address_at, next_at)
        self._payload, self._limit = payload, limit
        self._size_at, self._file, self._leave_next = size_at, file, leave_next
        self._then, self._named_at, self.then_sent = then or b"", named_at, 0
        self._size, self._agreed, self._stored = None, False, False
        self._consented = self._promised = self._named = False
        if not self.owes:
            self._multi = b""
        owed, self.owes = self.owes, False
        self.replies = self.replies[self._parsed :] if owed else b""
        self._parsed = 0
        self.body, self.sent, self.data_error = b"", 0, 0
        self.done = self.connected = False
        self.ended = transfer_at < 0
        self.moved_at = time.monotonic()
        if self._data is not None:
            self._data.close()
        self._data = None
        if transfer_at >= 0:
            self._data, self._next = self._next, None
        if owed:
            # Who watches has been told of it already, perhaps.
            self._on_control()
        elif self._data is not None:
            self._data_opened()
        return count

    def resume(self) -> None:
        if not self.owes:
            raise RuntimeError("no reply is owed")
        self.done = self._leave_next = False
        self.moved_at = time.monotonic()
        self._on_control()

    def take_rest(self) -> bytes:
        self.owes = False
        return self.replies[self._parsed :]

    def run(self, patience: float, spin: int = 0) -> None:
        busy = time.monotonic() + spin / 1e6
        while not self.done:
            poll = select.poll()
            if self._seen < self._finals:
                poll.register(self._control, select.POLLIN)
            if self._data is not None and not self.ended:
                poll.register(self._data, select.POLLIN if self._payload is None else select.POLLOUT)
            left = max(0.0, self.moved_at + patience - time.monotonic())
            found = poll.poll(0 if time.monotonic() < busy else left * 1000)
            ready = [fd for fd, _ in found]
            if self._data is not None and self._data.fileno() in ready:
                self._on_data()
            if self._control in ready:
                self._on_control()
            if not ready and not left:
                self.done = True

    def stop(self) -> None:
        self.done = True

    @property
    def quiet(self) -> bool:
        def peek(control: socket.socket) -> int:
            return len(control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))

        try:
            self._with_control(peek)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    @property
    def received(self) -> int:
        return len(self.body)

    @property
    def ordinary(self) -> bool:
        transfer_at, _, next_at = self._at
        answered = (
            self._seen == self._finals and self._parsed == len(self.replies) and (next_at < 0 or self._next is not None)
        )
        return (
            self.done
            and (answered or self.owes)
            and self.ended
            and not self.data_error
            and (transfer_at < 0 or self._agreed)
            and (self._size_at < 0 or self._size == len(self.body))
            and (self._file < 0 or self._stored)
            and (self._named_at < 0 or self._named)
        )

    @property
    def next_age(self) -> float:
        return -1.0 if self._next is None else time.monotonic() - self._next_at

    def detach(self) -> int:
        data, self._data = self._data, None
        return -1 if data is None else data.detach()

    def adopt_next(self, fd: int, age: float = 0.0) -> None:
        if self._next is not None:
            os.close(fd)
            raise ValueError("there is a next data connection already")
        self._next = socket.socket(self._family, socket.SOCK_STREAM, 0, fd)
        self._next_at = time.monotonic() - age

    def detach_next(self) -> int:
        data, self._next = self._next, None
        return -1 if data is None else data.detach()

    def close(self) -> None:
        if self._watch is not None:
            self._watch._forget(self)
        self.done = True
        self.owes = False
        for sock in (self._data, self._next):
            if sock is not None:
                sock.close()
        self._data = self._next = None

    def _with_control(self, work: Callable[[socket.socket], int]) -> int:
        control = socket.socket(self._family, socket.SOCK_STREAM, 0, self._control)
        try:
            return work(control)
        finally:
            control.detach()

    def _settle(self) -> None:
        next_at = self._at[2]
        left = self._leave_next and next_at == self._finals - 1 and self._seen == next_at
        if self.ended and (left or self._seen == self._finals):
            self.owes = left
            self.done = True

    def _failed(self, error: OSError) -> None:
        self.data_error = error.errno or errno.EIO
        self.done = True

    def _open(self, port: int) -> socket.socket:
        host, flow, scope = self._peer
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        sock.setblocking(False)
        address = (host, port, flow, scope) if self._family == socket.AF_INET6 else (host, port)
        code = sock.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            raise OSError(code, os.strerror(code))
        return sock

    def _data_opened(self) -> None:
        if self._payload is not None:
            self._on_data()
        if self._watch is not None and self._data is not None and not self.done:
            self._watch._add(self, self._data.fileno(), receiving=self._payload is None)

    def _on_data(self) -> None:
        if self.done or self._data is None or self.ended:
            return
        self.moved_at = time.monotonic()
        try:
            if self._payload is None:
                self._receive(self._data)
            else:
                # Nothing at all is sent, too: a connection that is closed before it is open never was one.
                while not self.connected or self.sent < len(self._payload):
                    self.sent += self._data.send(self._payload[self.sent :])
                    self.connected = True
                self.ended = True
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                self._failed(error)
            return
        if self.ended:
            self._data.close()
            self._data = None
            if self._file >= 0:
                self._store()
            self._settle()

    def _receive(self, data: socket.socket) -> None:
        while not self.ended and not self.done:
            piece = data.recv(_BLOCK)
            self.connected = True
            self.body += piece
            self.ended = not piece
            self.done = len(self.body) > self._limit and not self.ended

    def _store(self) -> None:
        done = 0
        try:
            while done < len(self.body):
                done += os.pwrite(self._file, self.body[done:], done)
        except OSError:
            # The caller meets the same error when it writes what is not in the file.
            return
        self._stored = True

    def _on_control(self) -> None:
        if self.done:
            return
        control = socket.socket(self._family, socket.SOCK_STREAM, 0, self._control)
        try:
            piece = control.recv(_MOST_REPLIES - len(self.replies))
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        finally:
            control.detach()
        if not piece:
            # The next to read finds out as well.
            self.done = True
            return
        before = self._seen
        self.replies += piece
        while not self.done and self._seen < self._finals and (end := self.replies.find(b"\n", self._parsed)) >= 0:
            line, self._parsed = self.replies[self._parsed : end], end + 1
            self._take_line(line)
        if self._seen > before:
            # Pieces of replies, or those that only promise others, could go on for long.
            self.moved_at = time.monotonic()
        if len(self.replies) == _MOST_REPLIES and self._seen < self._finals:
            self.done = True
        if not self.done:
            self._settle()

    def _take_line(self, line: bytes) -> None:
        found = _LINE.match(line)
        if self._multi:
            if found is None or found[1] != self._multi or found[2] != b" ":
                return
            self._multi = b""
        elif found is None:
            self.done = True
            return
        elif found[2] == b"-":
            self._multi = found[1]
            return
        assert found is not None
        if int(found[1]) >= 200:
            self._take_final(int(found[1]), line)
        elif self._seen == self._at[0]:
            self._consented = True

    def _send_then(self) -> None:
        # A server that goes on talking is not understood.
        if self.ended and self._parsed == len(self.replies):
            with contextlib.suppress(OSError):
                self.then_sent = self._with_control(lambda control: control.send(self._then))
        self.done = self.then_sent != len(self._then)

    def _take_final(self, code: int, line: bytes) -> None:
        transfer_at, address_at, next_at = self._at
        index, self._seen = self._seen, self._seen + 1
        if index == transfer_at:
            # What comes before the consent to an upload is not about it.
            self._agreed = code < 300 and (self._consented or self._payload is None)
            self.done = not self._agreed
            if self._agreed and self._then:
                self._send_then()
        if index == self._named_at - 1:
            self._promised = code == 350
        if index == self._named_at:
            self._named = self._promised and code < 300
        if index == self._size_at and code == 213 and (told := _SIZE.match(line)):
            self._size = int(told[1])
        if index not in (next_at, address_at):
            return
        named = _PORT.search(line) if code == 229 else None
        port = int(named[2]) if named else 0
        if index == next_at:
            if 0 < port < 65536:
                with contextlib.suppress(OSError):
                    self._next = self._open(port)
                self._next_at = time.monotonic()
        elif 0 < port < 65536:
            try:
                self._data = self._open(port)
            except OSError as error:
                self._failed(error)
                return
            self._data_opened()
        else:
            self.done = True


class Watch:
    """Exchanges that are carried on when an event loop says that something came."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._fds: dict[int, tuple[Exchange, bool]] = {}
        self._members: set[Exchange] = set()
        self.active: set[Exchange] = set()

    def fileno(self) -> int:
        return self._poll.fileno()

    def join(self, exchange: Exchange) -> None:
        if exchange._watch is self:
            return
        if exchange._watch is not None or self._poll.closed:
            raise RuntimeError("the exchange is watched elsewhere, or the watch is closed")
        exchange._watch = self
        self._members.add(exchange)
        self._fds[exchange._control] = (exchange, False)
        self._poll.register(exchange._control, select.EPOLLIN | select.EPOLLET)

    def submit(self, exchange: Exchange) -> None:
        self.join(exchange)
        self.active.add(exchange)

    def ready(self) -> list[Exchange]:
        events = self._poll.poll(0)
        for wanted in (True, False):
            for fd, _ in events:
                exchange, is_data = self._fds.get(fd, (None, False))
                if exchange is not None and is_data == wanted:
                    exchange._on_data() if is_data else exchange._on_control()
        return self._finish(exchange for exchange in self.active if exchange.done)

    def silent(self, patience: float) -> list[Exchange]:
        since = time.monotonic() - patience
        found = [exchange for exchange in self.active if exchange.moved_at <= since]
        for exchange in found:
            exchange.done = True
        return self._finish(found)

    def withdraw(self, exchange: Exchange) -> None:
        exchange.done = True
        self.active.discard(exchange)

    def close(self) -> None:
        for exchange in list(self._members):
            self._forget(exchange)
        self._poll.close()

    def _finish(self, exchanges: Iterable[Exchange]) -> list[Exchange]:
        found = list(exchanges)
        self.active.difference_update(found)
        return found

    def _add(self, exchange: Exchange, fd: int, *, receiving: bool) -> None:
        self._fds[fd] = (exchange, True)
        self._poll.register(fd, (select.EPOLLIN | select.EPOLLRDHUP if receiving else select.EPOLLOUT) | select.EPOLLET)

    def _forget(self, exchange: Exchange) -> None:
        for fd in [fd for fd, (owner, _) in self._fds.items() if owner is exchange]:
            del self._fds[fd]
        with contextlib.suppress(OSError):
            self._poll.unregister(exchange._control)
        exchange._watch = None
        self._members.discard(exchange)
        self.active.discard(exchange)
