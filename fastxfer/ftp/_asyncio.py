"""The outside world on an asyncio (or uvloop) event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastxfer.core.ftpexchange import Exchange, Watch
from fastxfer.core.xfer import Transfer
from fastxfer.ftp.driver import PATIENCE, Driver, Gate, Mover
from fastxfer.net.aio import TransferRunner
from fastxfer.net.stream import Stream
from fastxfer.net.tls_pump import wait_ready

__all__ = ["AsyncDriver"]

T = TypeVar("T")

_LOOK = 0.1
"""Seconds between two looks whether a loop in another thread is still there."""
_PUMP_THREADS = min(32, 4 * (os.cpu_count() or 1) + 8)
"""Threads for TLS and transformed transfers; further ones wait their turn with the data connection open."""


class AsyncStream(Stream):
    """A stream that waits on the event loop; its reader stays registered from wait to wait."""

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(sock)
        self._loop = loop
        self._reader: asyncio.Future[None] | None = None
        self._registered = False

    async def wait(self, *, reading: bool, seconds: float | None) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        fd = self.socket.fileno()
        try:
            if not reading:
                self._loop.add_writer(fd, _settle, future)
            elif not self._registered:
                self._loop.add_reader(fd, self._readable)
                self._registered = True
        except NotImplementedError:
            # Windows' proactor loop does not watch sockets.
            if not await asyncio.to_thread(wait_ready, fd, reading=reading, seconds=seconds):
                raise TimeoutError("timed out") from None
            return
        if reading:
            self._reader = future
        timer = None if seconds is None else self._loop.call_later(seconds, _expire, future)
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()
            if reading:
                self._reader = None
            elif not self._closed:
                self._loop.remove_writer(fd)

    async def rest(self) -> None:
        await asyncio.sleep(0.01)

    def _readable(self) -> None:
        if self._reader is not None:
            _settle(self._reader)
        else:
            # Nobody wants it yet: not to be called again and again for it.
            self._unregister()

    def _unregister(self) -> None:
        if self._registered:
            self._registered = False
            self._loop.remove_reader(self.socket.fileno())

    def _forget(self) -> None:
        if self._loop.is_closed():
            return
        self._unregister()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _expire(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(TimeoutError("timed out"))


class _LoopGate:
    """A semaphore on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        self._semaphore = asyncio.Semaphore(0)
        self._loop = loop
        self._thread = thread

    async def wait(self, seconds: float | None) -> bool:
        try:
            await asyncio.wait_for(self._semaphore.acquire(), seconds)
        except asyncio.TimeoutError:
            return False
        return True

    def wake(self) -> None:
        if threading.get_ident() == self._thread:
            self._semaphore.release()
            return
        # A loop that is closed has nobody waiting.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._semaphore.release)


class AsyncDriver(Driver):
    """Made where the loop runs; :meth:`aclose` gives its threads back."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._runner = TransferRunner()
        self._executor: ThreadPoolExecutor | None = None
        self._watch: Watch | None = None
        self._exchanging: dict[Exchange, asyncio.Future[None]] = {}
        self._look: asyncio.TimerHandle | None = None

    async def aclose(self) -> None:
        await self._runner.aclose()
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self._watch is not None:
            self._loop.remove_reader(self._watch.fileno())
            self._end(self._watch.active)
            self._watch.close()
            self._watch = None
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    def stream(self, sock: socket.socket) -> Stream:
        return AsyncStream(sock, self._loop)

    def at_home(self, function: Callable[[], None]) -> None:
        if threading.get_ident() == self._thread:
            function()
            return
        done = threading.Event()

        def call() -> None:
            function()
            done.set()

        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            function()
            return
        # A loop that has stopped calls nothing any more.
        while not done.wait(_LOOK):
            if self._loop.is_closed() and not done.is_set():
                function()
                return

    async def resolve(self, host: str, port: int, family: int) -> list[tuple[Any, ...]]:
        return list(await self._loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM))

    async def socks_connect(self, proxy: str, host: str, port: int, seconds: float | None) -> socket.socket:
        from fastxfer.ftp.proxy import socks_connect_async

        return await socks_connect_async(proxy, host, port, seconds)

    async def wait_readable(self, sock: socket.socket, seconds: float | None) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(sock.fileno(), _settle, future)
        try:
            await asyncio.wait_for(future, seconds)
        except asyncio.TimeoutError:
            raise TimeoutError("timed out") from None
        finally:
            self._loop.remove_reader(sock.fileno())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def carry(self, mover: Mover) -> None:
        if isinstance(mover, Transfer):
            await self._runner.run(mover)
            return
        ended = self._loop.run_in_executor(self._threads(), mover.run)
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            mover.cancel()
            # Only when its thread has let go may the descriptors be closed.
            while not ended.done():
                await asyncio.wait([ended])
            ended.exception()
            raise

    def exchange(self, control: socket.socket, family: int, peer: tuple[Any, ...]) -> Exchange | None:
        made = super().exchange(control, family, peer)
        if made is not None:
            if self._watch is None:
                watch = Watch()
                try:
                    self._loop.add_reader(watch.fileno(), self._advance)
                except NotImplementedError:
                    watch.close()
                    return None
                self._watch = watch
            self._watch.join(made)
        return made

    async def carry_exchange(self, exchange: Exchange) -> None:
        watch = self._watch
        assert watch is not None
        watch.submit(exchange)
        ended = self._exchanging[exchange] = self._loop.create_future()
        if self._look is None:
            self._look = self._loop.call_later(PATIENCE / 2, self._look_round)
        try:
            await ended
        finally:
            if self._exchanging.pop(exchange, None) is not None:
                watch.withdraw(exchange)

    def _advance(self) -> None:
        if self._watch is not None:
            self._end(self._watch.ready())

    def _look_round(self) -> None:
        """Go on by steps with the exchanges that have fallen silent."""
        self._look = None
        if self._watch is not None:
            self._end(self._watch.silent(PATIENCE))
            if self._watch.active:
                self._look = self._loop.call_later(PATIENCE / 2, self._look_round)

    def _end(self, exchanges: Iterable[Exchange]) -> None:
        for exchange in exchanges:
            ended = self._exchanging.pop(exchange, None)
            if ended is not None:
                _settle(ended)

    @asynccontextmanager
    async def beating(self, seconds: float, beat: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        stopping = asyncio.Event()

        async def tick() -> None:
            while True:
                try:
                    await asyncio.wait_for(stopping.wait(), seconds)
                except asyncio.TimeoutError:
                    await beat()
                else:
                    return

        task = asyncio.create_task(tick())
        try:
            yield
        finally:
            # A beat that is being sent must be sent whole.
            stopping.set()
            await asyncio.shield(task)

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        return await self._loop.run_in_executor(self._threads(), function, *arguments)

    def gate(self) -> Gate:
        return _LoopGate(self._loop, self._thread)

    def _threads(self) -> ThreadPoolExecutor:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(_PUMP_THREADS, thread_name_prefix="fastxfer-ftp")
        return self._executor
