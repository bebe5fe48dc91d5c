"""Sockets on an event loop: waiting for raw ones without a transport in between, and closing listening ones."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

__all__ = ["set_congestion", "stop_accepting", "wait_readable", "wait_writable"]

ACCEPT_TURNS = 3
"""Turns of the event loop after which every connection that it has accepted has reached its protocol."""


async def stop_accepting(servers: Iterable[asyncio.AbstractServer]) -> None:
    """Close the listening sockets of *servers*; whoever was accepted before has reached a protocol in the end.

    asyncio makes the transport of a connection one turn after it has accepted it. Where the server is closed between
    the two, Python up to 3.12 fails in an assertion there and leaves the socket open.
    """
    servers = list(servers)
    loop = asyncio.get_running_loop()
    for server in servers:
        for sock in getattr(server, "sockets", ()):
            loop.remove_reader(sock.fileno())
    await asyncio.sleep(0)
    for server in servers:
        server.close()
    for _ in range(ACCEPT_TURNS):
        await asyncio.sleep(0)


async def wait_readable(loop: asyncio.AbstractEventLoop, fd: int) -> None:
    """Wait until *fd* can be read or has failed."""
    ready = loop.create_future()
    loop.add_reader(fd, _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(fd)


async def wait_writable(loop: asyncio.AbstractEventLoop, fd: int) -> None:
    """Wait until *fd* can be written or has failed."""
    ready = loop.create_future()
    loop.add_writer(fd, _set, ready)
    try:
        await ready
    finally:
        loop.remove_writer(fd)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def set_congestion(sock: socket.socket, algorithm: str) -> None:
    """Choose the congestion control of *sock*. OSError where the system has none of that name."""
    option = getattr(socket, "TCP_CONGESTION", None)
    if option is not None:
        sock.setsockopt(socket.IPPROTO_TCP, option, algorithm.encode("ascii"))
