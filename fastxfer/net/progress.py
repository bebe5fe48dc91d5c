"""How far a transfer has come, readable while it runs, without a call per chunk."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

__all__ = ["Progress"]

_TICK = 0.1
"""Seconds between two looks of the thread that calls the callbacks."""


class _Counter(Protocol):
    @property
    def sent(self) -> int: ...
    @property
    def received(self) -> int: ...


class Progress:
    """Follows one operation. Read its properties from any thread, or give it a callback.

    Args:
        callback: called with this object about ten times a second while bytes move (from another thread), and once
            when the operation has succeeded (from the operation's own). An exception in it is logged and ends
            the calls.
        total: bytes expected, where known beforehand.
    """

    def __init__(self, callback: Callable[[Progress], object] | None = None, total: int | None = None) -> None:
        self.total = total
        self._callback = callback
        self._finished_bytes = 0
        self._counter: _Counter | None = None
        self._receiving = False
        self._overhead = 0
        self._parts: list[Progress] = []
        self._began = time.monotonic()
        self._ended: float | None = None

    @property
    def transferred(self) -> int:
        """Bytes of the body moved so far. Goes back where a failed attempt is begun again."""
        counter, done = self._counter, self._finished_bytes
        if self._parts:
            done += sum(part.transferred for part in self._parts)
        if counter is None:
            return done
        moved = counter.received if self._receiving else max(0, counter.sent - self._overhead)
        return done + moved

    @property
    def elapsed(self) -> float:
        """Seconds since the operation began."""
        return (self._ended or time.monotonic()) - self._began

    @property
    def rate(self) -> float:
        """Bytes per second so far."""
        elapsed = self.elapsed
        return self.transferred / elapsed if elapsed > 0 else 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds left at this rate; None while unknown."""
        rate = self.rate
        if self.total is None or rate <= 0:
            return None
        return max(0, self.total - self.transferred) / rate

    @property
    def done(self) -> bool:
        return self._ended is not None

    def part(self) -> Progress:
        """For one of several transfers that run at once: what it moves counts here too."""
        part = Progress()
        self._parts.append(part)
        if self._callback is not None:
            _ticker.add(self)
        return part

    def follow(self, counter: _Counter, *, receiving: bool, overhead: int = 0) -> None:
        """Read the live *counter* of a transfer; *overhead* bytes of what it sends are not body."""
        self._receiving, self._overhead, self._counter = receiving, overhead, counter
        if self._callback is not None:
            _ticker.add(self)

    def unfollow(self, *, keep: bool) -> None:
        """The transfer has ended; its bytes count on if *keep*, else they are forgotten (it will be begun again)."""
        done = self.transferred if keep else self._finished_bytes
        self._counter = None
        self._finished_bytes = done

    def advance(self, count: int) -> None:
        """Count *count* bytes moved by other means than a followed transfer."""
        self._finished_bytes += count
        if self._callback is not None:
            _ticker.add(self)

    def finish(self) -> None:
        """The operation has succeeded: stop the clock and call the callback a last time."""
        self._ended = time.monotonic()
        _ticker.remove(self)
        self.report()

    def abandon(self) -> None:
        """The operation has failed: no further calls."""
        _ticker.remove(self)

    def report(self) -> None:
        """Call the callback now."""
        callback = self._callback
        if callback is None:
            return
        try:
            callback(self)
        except Exception:
            # What it reports of goes on, or has succeeded: that must not be lost.
            self._callback = None
            _ticker.remove(self)
            logging.getLogger("fastxfer").exception("a progress callback failed; it is not called again")


class _Ticker:
    """One daemon thread that calls the callbacks of all running operations; it ends when there are none."""

    def __init__(self) -> None:
        # Reentrant, as all locks of clients: a signal handler or a destructor may use one in the middle of its own use.
        self._lock = threading.RLock()
        self._active: weakref.WeakSet[Progress] = weakref.WeakSet()
        self._thread: threading.Thread | None = None

    def add(self, progress: Progress) -> None:
        with self._lock:
            self._active.add(progress)
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="fastxfer-progress", daemon=True)
                # Without a thread to be had there are no calls but the last.
                with contextlib.suppress(RuntimeError):
                    thread.start()
                    self._thread = thread

    def remove(self, progress: Progress) -> None:
        with self._lock:
            self._active.discard(progress)

    def _run(self) -> None:
        while True:
            time.sleep(_TICK)
            with self._lock:
                active = list(self._active)
                if not active:
                    self._thread = None
                    return
            for progress in active:
                progress.report()


_ticker = _Ticker()
