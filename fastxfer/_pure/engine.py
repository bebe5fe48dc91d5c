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

from fastxfer._pure.transfer_state import WANT_READ, WANT_TIME, WANT_WRITE
from fastxfer._pure.xfer import Transfer

__all__ = ["Engine"]

_BUDGET: Final = 1 << 18
_NEVER: Final = float("inf")
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
            transfer._let_go()
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
            self._finished.clear()
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
        self._watched: dict[Transfer, int] = {}
        self._held: dict[Transfer, float] = {}  # and when each is due
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
        self._held.update(dict.fromkeys(self._inbox, _NEVER))
        for transfer in self._held:
            transfer._abandon(errno.ECANCELED)
            self._outbox.put(transfer)

    def _carry(self, transfer: Transfer) -> None:
        try:
            want, fd, due = transfer._step(_BUDGET)
        except MemoryError:  # the others go on
            transfer._abandon(errno.ENOMEM)
        if transfer.done:
            del self._held[transfer]
            self._outbox.put(transfer)
            return
        self._held[transfer] = due
        if want == 0:
            self._ready.append(transfer)
        elif want != WANT_TIME:
            self._watch(transfer, fd, want)

    def _watch(self, transfer: Transfer, fd: int, want: int) -> None:
        try:
            self._selector.register(fd, _EVENTS[want], transfer)
            self._watched[transfer] = fd
        except (OSError, ValueError, KeyError) as error:
            transfer._abandon(getattr(error, "errno", None) or errno.EBADF)
            self._ready.append(transfer)

    def _unwatch(self, transfer: Transfer) -> None:
        fd = self._watched.pop(transfer, None)
        if fd is not None:
            self._selector.unregister(fd)

    def _poll(self) -> None:
        """Wait for something to do, and put those that can go on into ``_ready``."""
        wait: float | None = 0.0
        if not self._ready and not self._inbox:
            due = min(self._held.values(), default=_NEVER)
            wait = None if due == _NEVER else max(0.0, due - time.monotonic())
        for key, _ in self._selector.select(wait):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    while self._ear.recv(4096):
                        pass
            else:
                self._unwatch(key.data)
                self._ready.append(key.data)
        queued = set(self._ready)
        now = time.monotonic()
        for transfer, due in self._held.items():
            if transfer not in queued and (now >= due or transfer._cancelled):
                self._unwatch(transfer)
                self._ready.append(transfer)
        while self._inbox:
            transfer = self._inbox.popleft()
            self._held[transfer] = _NEVER
            self._ready.append(transfer)


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
        try:
            for worker in self._workers:
                worker.thread.start()
        except RuntimeError as error:
            self._closed = True
            self._end([worker for worker in self._workers if worker.thread.ident is not None])
            raise OSError(errno.EAGAIN, str(error)) from None

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
            worker = self._workers[self._given % len(self._workers)]
            transfer._drive(worker.ring)
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
        self._end(self._workers if alive else [])
        self._active = 0

    def _end(self, running: list[_Worker]) -> None:
        for worker in running:
            worker.stop()
        for worker in running:
            if worker.thread is not threading.current_thread():
                worker.thread.join()
        for worker in self._workers:
            worker.release()
        self._outbox.close()
