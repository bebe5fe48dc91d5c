"""Waiting for work that uses what the waiting side is about to give back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

__all__ = ["outlast"]

T = TypeVar("T")


def _nothing() -> None:
    """Nobody need be told."""


async def outlast(work: asyncio.Future[T], cancelled: Callable[[], object] = _nothing) -> T:
    """The result of *work*, which uses descriptors or buffers of its caller: nothing makes this end before it.

    A number of a descriptor that was closed too early may be another file's by the time a thread writes to it. So where
    the awaiting task is cancelled, *cancelled* is called, which may tell *work* to end soon, and CancelledError is
    raised once it has ended, however often the task is cancelled meanwhile.
    """
    interrupted = False
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            if not interrupted:
                interrupted = True
                cancelled()
    if interrupted:
        if not work.cancelled():
            work.exception()
        raise asyncio.CancelledError
    return work.result()
