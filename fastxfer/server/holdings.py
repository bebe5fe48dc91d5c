"""Counting what a directory of the machine holds, unfinished uploads included."""

from __future__ import annotations

import os
from collections.abc import Callable

from fastxfer.server.treewalk import entries_below

__all__ = ["measure"]


def measure(top: int, stopped: Callable[[], bool] = lambda: False) -> tuple[int, int]:
    """Bytes of the regular files, and number of all entries, below the directory *top* (a descriptor).

    Symbolic links are entries of no bytes and are not followed. Whatever cannot be read is passed over.
    """
    total = count = 0
    for _, _, entry in entries_below(top, stopped):
        count += 1
        total += _size(entry)
    return total, count


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size if entry.is_file(follow_symlinks=False) else 0
    except OSError:
        return 0
