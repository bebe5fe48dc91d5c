"""Removing what uploads that broke off have left, once nobody can be expected to resume it any more."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

from fastxfer.server.filesystem import Filesystem
from fastxfer.server.localfiles import PARTIAL, remove_partial
from fastxfer.server.treewalk import entries_below

__all__ = ["sweep", "sweep_regularly"]

logger = logging.getLogger("fastxfer.server")

SWEEPS_PER_AGE = 8
SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 3600.0
FIRST_PAUSE = 60.0
"""Seconds; servers that are started often must come to sweep too."""


def sweep(top: int, age: float, stopped: Callable[[], bool] = lambda: False) -> int:
    """Remove unfinished uploads below the directory *top* (a descriptor) that nobody has written for *age* seconds.

    Those being written are locked, and stay. Symbolic links are not followed. Whatever cannot be read is passed over.

    Returns:
        How many were removed.
    """
    latest = time.time() - age
    removed = 0
    for path, directory, entry in entries_below(top, stopped):
        if PARTIAL.fullmatch(entry.name) and _remove(directory, entry.name, latest):
            logger.info("unfinished upload removed: %r", f"{path}/{entry.name}")
            removed += 1
    return removed


def _remove(directory: int, name: str, latest: float) -> bool:
    """Remove the unfinished upload *name* if it was last written before *latest* and is not being written now."""
    try:
        remove_partial(name, directory, latest)
    except OSError:
        return False
    return True


async def sweep_regularly(filesystem: Filesystem, age: float) -> None:
    """Have *filesystem* swept again and again, until cancelled.

    Args:
        filesystem: the whole tree.
        age: seconds for which unfinished uploads are kept.
    """
    pause = min(max(age / SWEEPS_PER_AGE, SHORTEST_PAUSE), LONGEST_PAUSE)
    following = min(pause, FIRST_PAUSE)
    while True:
        # Not all workers at the same moment.
        await asyncio.sleep(following * random.uniform(0.75, 1.25))
        following = pause
        try:
            await filesystem.sweep_unfinished(age)
        except OSError as error:
            logger.warning("unfinished uploads could not be swept: %s", error)
