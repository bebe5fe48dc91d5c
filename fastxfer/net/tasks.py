"""Waiting for tasks that have been told to end."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

__all__ = ["all_ended"]


async def all_ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Wait, come what may, until none of *tasks* runs any more: what they use is about to be closed.

    A cancellation meanwhile is raised afterwards. What the tasks raised is taken note of and dropped.
    """
    cancelled = None
    while pending := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancelled = error
    for task in tasks:
        if not task.cancelled():
            task.exception()
    if cancelled is not None:
        raise cancelled
