"""Waiting for raw sockets on an event loop, without a transport in between."""

from __future__ import annotations

import asyncio
import socket

__all__ = ["set_congestion", "wait_readable", "wait_writable"]


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
