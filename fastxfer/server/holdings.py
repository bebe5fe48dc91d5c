"""Counting what a directory of the machine holds, unfinished uploads included."""

from __future__ import annotations

import os
from collections.abc import Callable

from fastxfer.server.beneath import open_beneath

__all__ = ["measure"]


def measure(top: int, stopped: Callable[[], bool] = lambda: False) -> tuple[int, int]:
    """Bytes of the regular files, and number of all entries, below the directory *top* (a descriptor).

    Symbolic links are entries of no bytes and are not followed. Whatever cannot be read is passed over.
    """
    total = count = 0
    pending = ["."]
    while pending and not stopped():
        path = pending.pop()
        try:
            directory = open_beneath(top, path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(f"{path}/{entry.name}")
                    elif entry.is_file(follow_symlinks=False):
                        total += _size(entry)
        except OSError:
            continue
        finally:
            os.close(directory)
    return total, count


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return 0
