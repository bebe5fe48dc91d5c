"""When to poll busily for a reply before sleeping."""

from __future__ import annotations

import os

from fastxfer.core.places import Spin

__all__ = ["adaptive_spin", "available_cores"]


def adaptive_spin() -> Spin:
    """What learns whether polling pays on the cores that this process may use."""
    return Spin(available_cores())


def available_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count() or 1
