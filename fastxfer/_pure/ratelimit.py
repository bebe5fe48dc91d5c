"""Token bucket of the pure twins: see ``RateLimit`` in ``fastxfer/_ext/xfer.pyi``."""

from __future__ import annotations

import threading
import time

_SLICE = 0.05
_SMALLEST = 1024
_LARGEST = 262144


class RateLimit:
    """A token bucket, shareable between transfers and threads."""

    def __init__(self, bytes_per_second: float, burst: int = 0) -> None:
        self._lock = threading.Lock()
        self.bytes_per_second = bytes_per_second
        if burst < 0:
            raise ValueError(f"burst must not be negative: {burst}")
        self._burst = burst or self._slice()
        self._tokens = float(self._burst)
        self._stamp = time.monotonic()

    @property
    def bytes_per_second(self) -> float:
        return self._rate

    @bytes_per_second.setter
    def bytes_per_second(self, value: float) -> None:
        if not value > 0:
            raise ValueError(f"bytes_per_second must be positive: {value}")
        self._rate = float(value)

    @property
    def burst(self) -> int:
        return self._burst

    def _slice(self) -> int:
        """What one transfer may take at a time: some 50 ms' worth, so that sharers take turns."""
        return int(max(_SMALLEST, min(_LARGEST, self._rate * _SLICE)))

    def _reserve(self, want: int, now: float) -> tuple[int, float]:
        """Take up to *want* tokens, on credit if need be: how many, and when they may be spent.

        Reserving on credit serves the waiting in the order they came, with one wake-up each.
        """
        with self._lock:
            grant = min(want, self._slice(), self._burst)
            return grant, self._take(grant, now)

    def reserve(self, count: int) -> float:
        if count < 0:
            raise ValueError(f"count must not be negative: {count}")
        now = time.monotonic()
        with self._lock:
            return self._take(count, now) - now

    def _take(self, count: int, now: float) -> float:
        if now > self._stamp:
            self._tokens = min(float(self._burst), self._tokens + (now - self._stamp) * self._rate)
            self._stamp = now
        self._tokens -= count
        return now if self._tokens >= 0 else now - self._tokens / self._rate

    def _refund(self, tokens: int) -> None:
        with self._lock:
            self._tokens += tokens
