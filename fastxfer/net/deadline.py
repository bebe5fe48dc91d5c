"""A point in time by which something must be done."""

from __future__ import annotations

import time
from math import inf

__all__ = ["Deadline"]


class Deadline:
    """A moment on the monotonic clock, or never.

    Args:
        seconds: from now; None for never.
    """

    __slots__ = ("_at",)

    def __init__(self, seconds: float | None) -> None:
        self._at = None if seconds is None or seconds == inf else time.monotonic() + seconds

    @property
    def expired(self) -> bool:
        return self._at is not None and time.monotonic() >= self._at

    def remaining(self) -> float | None:
        """Seconds left, never negative; None where there is no end."""
        return None if self._at is None else max(0.0, self._at - time.monotonic())

    def share(self, ways: int) -> float | None:
        """What remains, divided among *ways* things that are still to be tried."""
        left = self.remaining()
        return None if left is None else left / ways

    def at_most(self, seconds: float | None) -> float | None:
        """The shorter of *seconds* and what remains; None where neither sets an end."""
        left = self.remaining()
        if left is None:
            return seconds
        return left if seconds is None else min(seconds, left)
