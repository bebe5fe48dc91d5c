"""Giving memory back to the system once a rush of clients is over."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

__all__ = ["Rush", "give_memory_back"]

RUSH = 64
"""Fewer sessions than these leave nothing behind that would be worth the time."""
QUIET_LOOKS = 5


def _load() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        # musl has none.
        return None
    return trim


_trim = _load()


def give_memory_back() -> bool:
    """Return free memory of the C library's allocator to the system (malloc_trim(3)); whether it knows how.

    Takes some milliseconds for each hundred megabytes, without the GIL.
    """
    if _trim is None:
        return False
    _trim(0)
    return True


class Rush:
    """Notices that a rush is over."""

    def __init__(self) -> None:
        self._peak = 0
        self._quiet = 0

    def over(self, sessions: int) -> bool:
        """Look at the number of *sessions* again: whether it was high, and has been less than half for some looks."""
        self._peak = max(self._peak, sessions)
        if self._peak < RUSH or sessions > self._peak // 2:
            self._quiet = 0
            return False
        self._quiet += 1
        if self._quiet < QUIET_LOOKS:
            return False
        self._peak = sessions
        self._quiet = 0
        return True
