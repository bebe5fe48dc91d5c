"""Holding bytes back to a rate, for loops in Python; native loops have :class:`fastxfer.core.xfer.RateLimit`."""

from __future__ import annotations

import threading
import time
from typing import Protocol

__all__ = ["Pacer", "Pacing"]

_CREDIT = 0.05
"""Seconds of unused rate that may be caught up with."""


class Pacing(Protocol):
    """What holds bytes back: a :class:`Pacer`, or the token bucket of the native loops."""

    def reserve(self, count: int, /) -> float:
        """Book *count* bytes; how many seconds to wait before the next."""


class Pacer:
    """A rate shared by any number of transfers and threads.

    Args:
        bytes_per_second: the rate; greater than 0.
    """

    def __init__(self, bytes_per_second: float) -> None:
        if not bytes_per_second > 0:
            raise ValueError(f"bytes_per_second must be positive: {bytes_per_second}")
        self.bytes_per_second = float(bytes_per_second)
        self._lock = threading.Lock()
        self._free_at = time.monotonic()

    def reserve(self, count: int) -> float:
        """Book *count* bytes that have been or will be moved; how many seconds to wait before the next."""
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now - _CREDIT) + count / self.bytes_per_second
            return max(0.0, self._free_at - now)
