"""Every entry below a directory of the machine, for threads that look at whole trees."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

from fastxfer.server.beneath import open_beneath

__all__ = ["entries_below"]


def entries_below(top: int, stopped: Callable[[], bool]) -> Iterator[tuple[str, int, os.DirEntry[str]]]:
    """The entries below the directory *top* (a descriptor), until *stopped* says that no more are wanted.

    Symbolic links are entries and are not followed. Whatever cannot be read is passed over.

    Yields:
        The path of a directory seen from *top*, its descriptor, which is good until the next step, and an entry.
    """
    pending = ["."]
    while pending and not stopped():
        path = pending.pop()
        try:
            directory = open_beneath(top, path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            with contextlib.suppress(OSError), os.scandir(directory) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(f"{path}/{entry.name}")
                    yield path, directory, entry
        finally:
            os.close(directory)
