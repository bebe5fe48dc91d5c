"""Stopping a transfer from another thread."""

from __future__ import annotations

import threading
from typing import Protocol

__all__ = ["CancelToken"]


class _Cancellable(Protocol):
    def cancel(self) -> object: ...


class CancelToken:
    """Give one to any number of operations; :meth:`cancel`, from any thread, ends them all and all later ones."""

    def __init__(self) -> None:
        # Reentrant: a signal handler may cancel what its own thread is just about to watch.
        self._lock = threading.RLock()
        self._cancelled = threading.Event()
        self._running: set[_Cancellable] = set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """End what runs under this token. Idempotent."""
        with self._lock:
            self._cancelled.set()
            running = list(self._running)
            self._running.clear()
        for transfer in running:
            transfer.cancel()

    def wait(self, seconds: float | None = None) -> bool:
        """Sleep until cancelled or *seconds* have passed; whether it is cancelled."""
        return self._cancelled.wait(seconds)

    def watch(self, transfer: _Cancellable) -> None:
        """Have *transfer* cancelled with this token: at once if it already is."""
        with self._lock:
            self._running.add(transfer)
            if not self._cancelled.is_set():
                return
            self._running.discard(transfer)
        transfer.cancel()

    def release(self, transfer: _Cancellable) -> None:
        """Forget *transfer*, which has ended."""
        with self._lock:
            self._running.discard(transfer)
