"""Memory of the C library's allocator: taken from one place, and given back once a rush of clients is over."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable

__all__ = ["Rush", "give_memory_back", "use_one_arena"]

RUSH = 64
"""Fewer sessions than these leave nothing behind that would be worth the time."""
QUIET_LOOKS = 5
M_ARENA_MAX = -8
"""As in malloc.h."""


def _load(name: str) -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        function: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        # musl has neither of those that are wanted here.
        return None
    return function


_trim = _load("malloc_trim")
_mallopt = _load("mallopt")


def use_one_arena() -> bool:
    """Let all threads of this process take memory from one arena (mallopt(3)); whether that was done.

    glibc gives threads arenas of their own, up to eight for each processor, and each keeps in pieces what its busiest
    moment took: after a thousand clients with TLS that is most of a server's memory. It must be done before there are
    threads. ``MALLOC_ARENA_MAX`` or ``GLIBC_TUNABLES`` in the environment goes before.
    """
    if _mallopt is None or "MALLOC_ARENA_MAX" in os.environ or "arena_max" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    return bool(_mallopt(M_ARENA_MAX, 1))


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
