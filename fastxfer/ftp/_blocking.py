"""The outside world in the calling thread."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastxfer.core.ftpexchange import Exchange
from fastxfer.core.xfer import Transfer
from fastxfer.ftp.driver import PATIENCE, Driver, Gate, Mover
from fastxfer.net.stream import Stream, run_blocking
from fastxfer.net.tls_pump import wait_ready

__all__ = ["BlockingDriver"]

T = TypeVar("T")


class BlockingStream(Stream):
    """A stream whose wait is ``poll``, after an optional short spin."""

    def __init__(self, sock: socket.socket, spin: int = 0) -> None:
        super().__init__(sock)
        self._spin = spin / 1e6
        self._poll: dict[bool, Any] = {}

    async def wait(self, *, reading: bool, seconds: float | None) -> None:
        poll = self._poll.get(reading) or self._new_poll(reading)
        if self._spin:
            end = time.perf_counter() + self._spin
            while time.perf_counter() < end:
                if poll is not None and poll.poll(0):
                    return
        if poll is None:
            ready = wait_ready(self.socket.fileno(), reading=reading, seconds=seconds)
        else:
            ready = bool(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))
        if not ready:
            raise TimeoutError("timed out")

    async def rest(self) -> None:
        time.sleep(0.01)  # noqa: ASYNC251 - blocking is what this stream is for

    def _new_poll(self, reading: bool) -> Any:
        if not hasattr(select, "poll"):
            return None
        poll = select.poll()
        poll.register(self.socket.fileno(), select.POLLIN if reading else select.POLLOUT)
        self._poll[reading] = poll
        return poll


class _ThreadGate:
    """A semaphore by which releases wake one waiter each."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._tickets = 0

    async def wait(self, seconds: float | None) -> bool:
        with self._condition:
            if not self._condition.wait_for(lambda: self._tickets > 0, seconds):
                return False
            self._tickets -= 1
            return True

    def wake(self) -> None:
        with self._condition:
            self._tickets += 1
            self._condition.notify()


class BlockingDriver(Driver):
    """Everything happens, and waits, in the calling thread.

    Args:
        spin: microseconds of busy polling before sleeping for a reply.
    """

    def __init__(self, spin: int = 0) -> None:
        self._spin = spin

    def stream(self, sock: socket.socket) -> Stream:
        return BlockingStream(sock, self._spin)

    async def resolve(self, host: str, port: int, family: int) -> list[tuple[Any, ...]]:
        return list(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))

    async def socks_connect(self, proxy: str, host: str, port: int, seconds: float | None) -> socket.socket:
        from fastxfer.ftp.proxy import socks_connect

        return socks_connect(proxy, host, port, seconds)

    async def wait_readable(self, sock: socket.socket, seconds: float | None) -> None:
        if not wait_ready(sock.fileno(), reading=True, seconds=seconds):
            raise TimeoutError("timed out")

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - blocking is what this driver is for

    async def carry(self, mover: Mover) -> None:
        if isinstance(mover, Transfer) and mover.advance():
            return
        mover.run()

    async def carry_exchange(self, exchange: Exchange) -> None:
        try:
            exchange.run(PATIENCE, self._spin)
        finally:
            exchange.stop()

    @asynccontextmanager
    async def beating(self, seconds: float, beat: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        stopping = threading.Event()

        def tick() -> None:
            while not stopping.wait(seconds):
                run_blocking(_awaited(beat))

        # The calling thread moves bytes; the control connection is nobody's meanwhile.
        thread = threading.Thread(target=tick, name="fastxfer-ftp-noop", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        return function(*arguments)

    def gate(self) -> Gate:
        return _ThreadGate()


async def _awaited(beat: Callable[[], Awaitable[None]]) -> None:
    await beat()
