"""How to wait for replies that come soon: napping and polling, or asleep."""

from __future__ import annotations

import os

from fastxfer.core.places import Spin

__all__ = ["adaptive_spin", "available_cores"]


def adaptive_spin() -> Spin:
    """What learns how to wait on the cores that this process may use."""
    return Spin(available_cores())


def available_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count() or 1
