"""The threads that serve connections: each has a selector, timers, and calls posted to it by other threads."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

logger = logging.getLogger("fastxfer.fdfs.node")

SWEEP_INTERVAL = 0.5
"""Seconds between two looks for connections that have stalled."""


class Stallable(Protocol):
    """Something that may wait for its peer no longer than until ``deadline`` (monotonic seconds; None: for ever)."""

    deadline: float | None

    def stalled(self) -> None: ...


class Worker:
    """One thread around one selector. What is registered with it is touched by its thread only."""

    def __init__(self, name: str, scratch_size: int) -> None:
        self.scratch = memoryview(bytearray(scratch_size))
        self.members: set[Stallable] = set()
        self._selector = selectors.DefaultSelector()
        self._calls: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._stopping = False
        self._waker, self._wakeup = socket.socketpair()
        self._waker.setblocking(False)
        self._wakeup.setblocking(False)
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._drain_wakeup)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what is still registered is left to its owner to close beforehand."""
        self._stopping = True
        self._wake()
        self._thread.join()
        self._selector.close()
        self._waker.close()
        self._wakeup.close()

    def call(self, function: Callable[[], None]) -> None:
        """Have the worker's thread call *function* soon."""
        self._calls.append(function)
        self._wake()

    def call_and_wait(self, function: Callable[[], None]) -> None:
        """Have the worker's thread call *function*, and wait until it has."""
        if threading.current_thread() is self._thread:
            function()
            return
        done = threading.Event()

        def run() -> None:
            try:
                function()
            finally:
                done.set()

        self.call(run)
        while not done.wait(0.5) and self._thread.is_alive():
            pass

    def later(self, seconds: float, function: Callable[[], None]) -> None:
        """Call *function* after some seconds; to be called in the worker's thread."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), function))

    def register(self, sock: socket.socket, events: int, callback: Callable[[int], None]) -> None:
        self._selector.register(sock, events, callback)

    def modify(self, sock: socket.socket, events: int, callback: Callable[[int], None]) -> None:
        self._selector.modify(sock, events, callback)

    def unregister(self, sock: socket.socket) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(sock)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            self._waker.send(b"\0")

    def _drain_wakeup(self, mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wakeup.recv(4096)

    def _run(self) -> None:
        next_sweep = time.monotonic() + SWEEP_INTERVAL
        while not self._stopping:
            timeout = next_sweep - time.monotonic()
            if self._timers:
                timeout = min(timeout, self._timers[0][0] - time.monotonic())
            for key, mask in self._selector.select(max(0.0, timeout)):
                self._guarded(key.data, mask)
            while self._calls:
                self._guarded(self._calls.popleft())
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                self._guarded(heapq.heappop(self._timers)[2])
            if now >= next_sweep:
                next_sweep = now + SWEEP_INTERVAL
                for member in [each for each in self.members if each.deadline is not None and each.deadline <= now]:
                    self._guarded(member.stalled)

    @staticmethod
    def _guarded(function: Callable[..., None], *arguments: int) -> None:
        try:
            function(*arguments)
        except Exception:
            logger.exception("unexpected error in the node")
