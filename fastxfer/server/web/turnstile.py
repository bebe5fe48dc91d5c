"""Changes that a file must be in a certain state for: one after the other, whichever worker makes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from fastxfer.server.web.errors import ApiError

if TYPE_CHECKING:
    from fastxfer.server.sharedbooks import WorkerBooks

__all__ = ["Turnstile"]

PATIENCE = 30.0
"""Seconds: longer than any change should take that others wait for."""
FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.05
"""Seconds between two tries to be the one worker; each is twice as long as the one before."""


class Turnstile:
    """Lets one change after the other through.

    Args:
        books: of the workers; None where there is one process only.
    """

    def __init__(self, books: WorkerBooks | None) -> None:
        self._books = books.books if books is not None else None
        self._lock = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """Nobody else is between its look at a file and the change of it meanwhile.

        Raises:
            ApiError: 503 where another worker does not come to an end.
        """
        async with self._lock:
            books = self._books
            if books is None:
                yield
                return
            deadline = asyncio.get_running_loop().time() + PATIENCE
            pause = FIRST_PAUSE
            while not books.begin_change():
                if asyncio.get_running_loop().time() > deadline:
                    raise ApiError(503, "The server is busy", {"Retry-After": "5"})
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            try:
                yield
            finally:
                books.end_change()
