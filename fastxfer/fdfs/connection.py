"""Bare connections and a pool of them, by the names of the well-known client; :class:`Client` has its own beneath it.

For code that talks the protocol itself, with the functions of :mod:`fastxfer.fdfs.protocol`.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable

from fastxfer.fdfs.errors import ClientClosedError, InvalidArgumentError, NetworkError
from fastxfer.fdfs.outcome import take_error
from fastxfer.net.address import parse_address
from fastxfer.net.connection import Connection as Link
from fastxfer.net.connection import SocketOptions, connect

__all__ = ["Connection", "ConnectionPool"]


class Connection:
    """A connection to a tracker or storage server; each call is atomic among threads.

    Args:
        sock: a connected socket.
        addr: the server, ``host:port``.
    """

    def __init__(self, sock: socket.socket, addr: str) -> None:
        self.sock = sock
        self.addr = addr
        self.last_used = time.time()
        self._lock = threading.Lock()

    def send(self, data: bytes, timeout: float = 30.0) -> None:
        """Send all of *data*; :class:`NetworkError` where that takes longer than *timeout* seconds or fails."""
        with self._lock:
            try:
                self.sock.settimeout(timeout if timeout > 0 else None)
                self.sock.sendall(data)
            except OSError as error:
                raise NetworkError("write", self.addr, error) from error
            self.last_used = time.time()

    def receive(self, size: int, timeout: float = 30.0) -> bytes:
        """Up to *size* bytes, at least one; :class:`NetworkError` where none come."""
        with self._lock:
            return self._receive(size, timeout)

    def receive_full(self, size: int, timeout: float = 30.0) -> bytes:
        """Exactly *size* bytes; :class:`NetworkError` where they do not come within *timeout* seconds in all."""
        end = time.monotonic() + timeout
        pieces: list[bytes] = []
        missing = size
        with self._lock:
            while missing > 0:
                piece = self._receive(missing, max(0.001, end - time.monotonic()) if timeout > 0 else 0)
                pieces.append(piece)
                missing -= len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Close it. Idempotent."""
        self.sock.close()

    def is_alive(self) -> bool:
        """Whether it may carry a request: it is open, the peer has not closed it, and nothing has come unasked."""
        if self.sock.fileno() < 0:
            return False
        with self._lock:
            self.sock.settimeout(0)
            return Link(self.sock, parse_address(self.addr)).alive()

    def get_last_used(self) -> float:
        """When something was last sent or received, seconds since 1970."""
        return self.last_used

    def get_addr(self) -> str:
        """The server, ``host:port``."""
        return self.addr

    def _receive(self, size: int, timeout: float) -> bytes:
        try:
            self.sock.settimeout(timeout if timeout > 0 else None)
            data = self.sock.recv(size)
        except OSError as error:
            raise NetworkError("read", self.addr, error) from error
        if not data:
            raise NetworkError("read", self.addr, ConnectionError("Connection closed by peer"))
        self.last_used = time.time()
        return data


class ConnectionPool:
    """Keeps idle connections for use again. Safe to use from several threads.

    Args:
        addrs: servers, ``host:port``.
        max_conns: idle connections kept for each.
        connect_timeout: for opening one, seconds.
        idle_timeout: how long one is kept unused, seconds.
    """

    def __init__(
        self, addrs: Iterable[str], max_conns: int = 10, connect_timeout: float = 5.0, idle_timeout: float = 60.0
    ) -> None:
        self.addrs = list(addrs)
        self.max_conns = max_conns
        self.connect_timeout = connect_timeout
        self.idle_timeout = idle_timeout
        self.closed = False
        self._idle: dict[str, list[Connection]] = {addr: [] for addr in self.addrs}
        self._lock = threading.Lock()

    def get(self, addr: str | None = None) -> Connection:
        """A connection to *addr*, or to the first server: one that is kept and still lives, or a new one.

        Raises :class:`ClientClosedError`, or :class:`NetworkError` where none can be opened.
        """
        while True:
            with self._lock:
                if self.closed:
                    raise ClientClosedError
                if addr is None:
                    if not self.addrs:
                        raise InvalidArgumentError("No addresses available")
                    addr = self.addrs[0]
                idle = self._idle.setdefault(addr, [])
                link = idle.pop() if idle else None
            if link is None:
                return self._open(addr)
            if time.time() - link.get_last_used() < self.idle_timeout and link.is_alive():
                return link
            link.close()

    def put(self, conn: Connection | None) -> None:
        """Give a connection back: it is kept if it is in order and there is room, else closed."""
        if conn is None:
            return
        with self._lock:
            idle = self._idle.get(conn.get_addr())
            if not self.closed and idle is not None and len(idle) < self.max_conns and conn.is_alive():
                idle.append(conn)
                return
        conn.close()

    def add_addr(self, addr: str) -> None:
        """Add a server. Nothing happens where it is known."""
        with self._lock:
            if addr not in self._idle:
                self.addrs.append(addr)
                self._idle[addr] = []

    def close(self) -> None:
        """Close all that is kept. Idempotent."""
        with self._lock:
            self.closed = True
            for idle in self._idle.values():
                while idle:
                    idle.pop().close()

    def _open(self, addr: str) -> Connection:
        try:
            address = parse_address(addr)
        except ValueError as reason:
            raise InvalidArgumentError(str(reason)) from None
        try:
            return Connection(connect(address, self.connect_timeout, SocketOptions()).sock, addr)
        except OSError as error:
            raise take_error(address, error) from error
