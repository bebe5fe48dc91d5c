"""Rate limits for bytes that pass through Python. The native engine keeps to the same limits by itself."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastxfer.core.xfer import RateLimit

__all__ = ["Pace", "Paces"]

MAX_REMEMBERED = 1024


class Pace:
    """When the next byte may go, under one limit that several transfers share."""

    __slots__ = ("_free_at", "_limit")

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._free_at = 0.0

    def spend(self, count: int, now: float) -> float:
        """Enter *count* bytes; the seconds to wait before the next ones."""
        rate = self._limit.bytes_per_second
        if rate <= 0:
            return 0.0
        self._free_at = max(self._free_at, now) + count / rate
        return self._free_at - now


class Paces:
    """The pace of each limit, found again by every transfer that the limit applies to."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, tuple[RateLimit, Pace]] = OrderedDict()

    async def spend(self, limits: Sequence[RateLimit], count: int) -> None:
        """Wait as long as *count* bytes take under all *limits*."""
        if not limits:
            return
        now = asyncio.get_running_loop().time()
        wait = max(self._of(limit).spend(count, now) for limit in limits)
        if wait > 0.001:
            await asyncio.sleep(wait)

    def _of(self, limit: RateLimit) -> Pace:
        # The limit is kept with its pace, so that its id is not given to another.
        known = self._known.get(id(limit))
        if known is None:
            known = self._known[id(limit)] = (limit, Pace(limit))
            while len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
        return known[1]
