"""Waiting for raw sockets on an event loop, without a transport in between."""

from __future__ import annotations

import asyncio
import socket

__all__ = ["set_congestion", "wait_readable", "wait_writable"]


async def wait_readable(loop: asyncio.AbstractEventLoop, fd: int, seconds: float | None = None) -> bool:
    """Wait until *fd* can be read or has failed; False after *seconds*."""
    ready = loop.create_future()
    timer = None if seconds is None else loop.call_later(seconds, _set, ready, False)
    loop.add_reader(fd, _set, ready, True)
    try:
        result: bool = await ready
        return result
    finally:
        loop.remove_reader(fd)
        if timer is not None:
            timer.cancel()


async def wait_writable(loop: asyncio.AbstractEventLoop, fd: int, seconds: float | None = None) -> bool:
    """Wait until *fd* can be written or has failed; False after *seconds*."""
    ready = loop.create_future()
    timer = None if seconds is None else loop.call_later(seconds, _set, ready, False)
    loop.add_writer(fd, _set, ready, True)
    try:
        result: bool = await ready
        return result
    finally:
        loop.remove_writer(fd)
        if timer is not None:
            timer.cancel()


def _set(ready: asyncio.Future[bool], result: bool) -> None:
    if not ready.done():
        ready.set_result(result)


def set_congestion(sock: socket.socket, algorithm: str) -> None:
    """Choose the congestion control of *sock*. OSError where the system has none of that name."""
    option = getattr(socket, "TCP_CONGESTION", None)
    if option is not None:
        sock.setsockopt(socket.IPPROTO_TCP, option, algorithm.encode("ascii"))
