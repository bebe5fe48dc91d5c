"""Connected, non-blocking TCP sockets."""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
import weakref
from dataclasses import dataclass
from typing import Protocol

from fastxfer.core.places import Link
from fastxfer.net.address import Address
from fastxfer.net.deadline import Deadline

__all__ = ["Connection", "Keeper", "SocketOptions", "connect", "no_address"]

_MSG_DONTWAIT = getattr(socket, "MSG_DONTWAIT", 0)


@dataclass(frozen=True)
class SocketOptions:
    """What is set on each new socket.

    Attributes:
        no_delay: TCP_NODELAY, so that small requests leave at once.
        congestion: TCP_CONGESTION (Linux), e.g. ``"cubic"``; None for the system's choice.
        send_buffer: SO_SNDBUF, bytes; None for the system's (self-tuning) choice.
        receive_buffer: SO_RCVBUF, bytes; None likewise.
        keep_alive: SO_KEEPALIVE.
    """

    no_delay: bool = True
    congestion: str | None = None
    send_buffer: int | None = None
    receive_buffer: int | None = None
    keep_alive: bool = True

    def apply(self, sock: socket.socket) -> None:
        """Set them. Before connecting, since buffer sizes decide the window scale."""
        if self.no_delay:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.keep_alive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self.send_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.send_buffer)
        if self.receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        if self.congestion is not None and sys.platform == "linux":
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, self.congestion.encode())


class Keeper(Protocol):
    """Who keeps count of connections."""

    def drop(self, address: Address, connection: Connection, /) -> None:
        """Close *connection*, whose place is free."""


class Connection(Link):
    """One connected socket and what a pool must know of it.

    Attributes:
        sock: the socket.
        keeper: whose place it takes, while it does.
    """

    __slots__ = ("keeper", "sock")

    def __init__(self, sock: socket.socket, address: Address) -> None:
        super().__init__(address, sock.fileno())
        self.sock = sock
        self.keeper: weakref.ref[Keeper] | None = None

    def __del__(self) -> None:
        # A signal handler's exception may come between any two lines, and so before those that give it back.
        kept = getattr(self, "keeper", None)
        keeper = None if kept is None else kept()
        if keeper is not None:
            keeper.drop(self.address, self)

    def alive(self) -> bool:
        """Whether it may carry a request: nothing has arrived unasked and the peer has not closed it."""
        try:
            self.sock.recv(1, socket.MSG_PEEK | _MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        self.keeper = None
        self.sock.close()


def connect(address: Address, timeout: float | None, options: SocketOptions) -> Connection:
    """Connect to *address*, trying each address that a host name has: one that is silent leaves time for the others.

    Raises the OSError of the last address tried: TimeoutError where it did not answer within its part of *timeout*.
    """
    deadline = Deadline(timeout)
    failure: OSError = no_address(address)
    try:
        targets = socket.getaddrinfo(address.host, address.port, 0, socket.SOCK_STREAM)
    except UnicodeError:
        raise failure from None
    for tried, (family, kind, protocol, _, target) in enumerate(targets):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            options.apply(sock)
            _finish_connecting(sock, sock.connect_ex(target), deadline.share(len(targets) - tried))
            return Connection(sock, address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
    raise failure


def no_address(address: Address) -> OSError:
    """What a host is that has no address, or is nothing that could have one."""
    return OSError(errno.EADDRNOTAVAIL, f"no address for {address.host!r}")


def _finish_connecting(sock: socket.socket, code: int, left: float | None) -> None:
    if code in (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR):
        _wait_writable(sock, left)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code == errno.ETIMEDOUT:
        raise TimeoutError(code, os.strerror(code))
    if code:
        raise OSError(code, os.strerror(code))


def _wait_writable(sock: socket.socket, left: float | None) -> None:
    if hasattr(select, "poll"):
        poller = select.poll()
        poller.register(sock, select.POLLOUT)
        ready = bool(poller.poll(None if left is None else left * 1000))
    else:
        _, writable, failed = select.select([], [sock], [sock], left)
        ready = bool(writable or failed)
    if not ready:
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
