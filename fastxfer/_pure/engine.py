"""Pure twin of ``fastxfer._ext.engine``: a few Python threads, each with a selector of its own."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import threading
import time
from collections import deque
from typing import Final

from fastxfer._pure.xfer import WANT_READ, WANT_TIME, WANT_WRITE, Transfer

__all__ = ["Engine"]

_BUDGET: Final = 1 << 18
_MOST_THREADS: Final = 8
_EVENTS: Final = {
    WANT_READ: selectors.EVENT_READ,
    WANT_WRITE: selectors.EVENT_WRITE,
    WANT_READ | WANT_WRITE: selectors.EVENT_READ | selectors.EVENT_WRITE,
}


class _Outbox:
    """Where the workers lay what is finished, and the descriptor that tells of it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.bell, self.ear = socket.socketpair()
        self.bell.setblocking(False)
        self.ear.setblocking(False)
        self._finished: deque[Transfer] = deque()
        self._closed = False

    def put(self, transfer: Transfer) -> None:
        with self.lock:
            transfer._wake = None
            transfer._busy = ""
            if not self._finished and not self._closed:
                self.bell.send(b"\0")
            self._finished.append(transfer)

    def take(self) -> list[Transfer]:
        with self.lock:
            if self._finished and not self._closed:
                self.ear.recv(1)
            taken = list(self._finished)
            self._finished.clear()
            return taken

    def close(self) -> None:
        with self.lock:
            self._closed = True
            self.bell.close()
            self.ear.close()


class _Worker:
    """One thread that carries the transfers it was given."""

    def __init__(self, outbox: _Outbox) -> None:
        self._outbox = outbox
        self._selector = selectors.DefaultSelector()
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._inbox: deque[Transfer] = deque()
        self._ready: deque[Transfer] = deque()
        self._waiting: dict[int, deque[Transfer]] = {}
        self._held: set[Transfer] = set()
        self._stopping = False
        self.thread = threading.Thread(target=self._work, name="fastxfer-engine", daemon=True)

    def give(self, transfer: Transfer) -> None:
        self._inbox.append(transfer)
        self.ring()

    def stop(self) -> None:
        self._stopping = True
        self.ring()

    def ring(self) -> None:
        with contextlib.suppress(OSError):  # full: it will wake anyway; closed: nobody is left to wake
            self._bell.send(b"\0")

    def release(self) -> None:
        self._selector.close()
        self._bell.close()
        self._ear.close()

    def _work(self) -> None:
        while not self._stopping:
            self._poll()
            for _ in range(len(self._ready)):
                self._carry(self._ready.popleft())
        self._held.update(self._inbox)
        for transfer in self._held:
            transfer._finish(errno.ECANCELED, "")
            self._outbox.put(transfer)

    def _carry(self, transfer: Transfer) -> None:
        if transfer in self._held:
            transfer._step(_BUDGET)
            if transfer._done:
                self._held.discard(transfer)
                self._outbox.put(transfer)
            elif transfer._want == 0:
                self._ready.append(transfer)
            elif transfer._want != WANT_TIME:
                self._watch(transfer)

    def _watch(self, transfer: Transfer) -> None:
        fd = transfer._want_fd
        try:
            self._selector.register(fd, _EVENTS[transfer._want], transfer)
        except (OSError, ValueError, KeyError) as error:
            transfer._finish(getattr(error, "errno", None) or errno.EBADF, "socket")
            self._ready.append(transfer)

    def _unwatch(self, transfer: Transfer) -> None:
        with contextlib.suppress(KeyError, ValueError, OSError):  # it may wait for time, not for a descriptor
            self._selector.unregister(transfer._want_fd)

    def _poll(self) -> None:
        """Wait for something to do, and put those that can go on into ``_ready``."""
        now = time.monotonic()
        due = min((self._hour(transfer) for transfer in self._held), default=float("inf"))
        wait = 0.0 if self._ready or self._inbox else due - now
        for key, _ in self._selector.select(None if wait == float("inf") else max(0.0, wait)):
            if key.data is None:
                try:
                    while self._ear.recv(4096):
                        pass
                except BlockingIOError:
                    pass
            else:
                self._selector.unregister(key.fd)
                self._ready.append(key.data)
        queued = set(self._ready)
        now = time.monotonic()
        for transfer in self._held:
            if transfer not in queued and (transfer._cancelled or now >= self._hour(transfer)):
                self._unwatch(transfer)
                self._ready.append(transfer)
        while self._inbox:
            transfer = self._inbox.popleft()
            self._held.add(transfer)
            self._ready.append(transfer)

    @staticmethod
    def _hour(transfer: Transfer) -> float:
        return min(transfer._due(), transfer._want_at) if transfer._want == WANT_TIME else transfer._due()


class Engine:
    """Threads that drive transfers; see ``fastxfer/_ext/engine.pyi``."""

    def __init__(self, threads: int = 2) -> None:
        if not 0 <= threads <= _MOST_THREADS:
            raise ValueError(f"threads must be 0 to {_MOST_THREADS}: {threads}")
        self._pid = os.getpid()
        self._closed = False
        self._threads = threads
        self._active = 0
        self._given = 0
        self._outbox = _Outbox()
        self._workers = [_Worker(self._outbox) for _ in range(max(1, threads))]
        for worker in self._workers:
            worker.thread.start()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()

    @property
    def threads(self) -> int:
        return self._threads

    @property
    def active(self) -> int:
        return self._active

    @property
    def closed(self) -> bool:
        return self._closed or os.getpid() != self._pid

    def fileno(self) -> int:
        if self._closed:
            raise ValueError("the engine is closed")
        return self._outbox.ear.fileno()

    def submit(self, transfer: Transfer) -> None:
        with self._outbox.lock:
            if self.closed:
                raise RuntimeError("the engine is closed")
            transfer._claim("driven by an engine")
            transfer._started = transfer._started or time.monotonic()
            transfer._moved = transfer._moved or transfer._started
            worker = self._workers[self._given % len(self._workers)]
            transfer._wake = worker.ring
            self._given += 1
            self._active += 1
            worker.give(transfer)

    def completed(self) -> list[Transfer]:
        taken = self._outbox.take()
        with self._outbox.lock:
            self._active -= len(taken)
        return taken

    def close(self) -> None:
        with self._outbox.lock:
            if self._closed:
                return
            alive = not self.closed
            self._closed = True
        if alive:
            for worker in self._workers:
                worker.stop()
            for worker in self._workers:
                if worker.thread is not threading.current_thread():
                    worker.thread.join()
        for worker in self._workers:
            worker.release()
        self._outbox.close()
        self._active = 0
