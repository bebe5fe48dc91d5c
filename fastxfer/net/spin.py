"""When to poll busily for a reply before sleeping."""

from __future__ import annotations

import os

__all__ = ["AdaptiveSpin"]

_SPIN = 45
"""Microseconds to poll; a sleep and the wake-up from it cost about as much."""

_IN_TIME = (_SPIN + 5) / 1e6
"""Seconds within which a reply came while polling. What takes longer costs more processor time than the sleep does."""

_PAUSE = 500
_LONGEST_PAUSE = 8000
"""Exchanges without polling after it has not paid; then it is tried again. Twice as many each time that it does not."""

_BREATH = 1
"""Exchanges without polling after each that was polled for: all of them polled for would double what an exchange costs
in processor time, where every other one still saves most of the sleeping."""

_LEARNING = 0.1


class AdaptiveSpin:
    """Learns, for one kind of exchange, whether replies come soon enough that polling for them pays.

    It never pays where other exchanges want the cores. Safe to use from several threads: what is lost is only accuracy.
    """

    __slots__ = ("_cores", "_next_pause", "_pause", "_score")

    def __init__(self) -> None:
        self._cores = available_cores()
        self._pause = 0
        self._next_pause = _PAUSE
        self._score = 1.0

    def budget(self, busy: int) -> int:
        """Microseconds to poll for the next reply while *busy* exchanges are under way."""
        if busy >= self._cores:
            return 0
        if self._pause > 0:
            self._pause -= 1
            return 0
        self._pause = _BREATH
        return _SPIN

    def learn(self, seconds: float) -> None:
        """An exchange that was polled for took so long."""
        self._score += ((seconds < _IN_TIME) - self._score) * _LEARNING
        if self._score < 0.5:
            # A few more failures than successes suffice next time.
            self._score, self._pause = 0.7, self._next_pause
            self._next_pause = min(_LONGEST_PAUSE, 2 * self._next_pause)
        elif self._score > 0.9:
            self._next_pause = _PAUSE


def available_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count() or 1
