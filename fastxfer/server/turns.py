"""Logins that are judged at the same time: no more from one address than it has guesses left."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from fastxfer.server.guard import LoginRefusedError, peer_key

if TYPE_CHECKING:
    from fastxfer.server.guard import Guard

__all__ = ["Turns"]


class Turns:
    """Lets logins be judged one after the other where judging all at once could pass a ban that is about to come."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._judged: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def taken(self) -> bool:
        """Whether anybody is being judged."""
        return bool(self._judged)

    @contextlib.asynccontextmanager
    async def turn(self, address: str) -> AsyncIterator[None]:
        """Wait until a login from *address* may be judged; its failure must be noted before the end.

        Raises:
            LoginRefusedError: the address is banned, or was while its turn had not come.
        """
        key = peer_key(address)
        await self._begin(address, key)
        try:
            yield
        finally:
            self._end(address, key)

    async def _begin(self, address: str, key: str) -> None:
        guard = self._guard
        while True:
            if guard.banned(address):
                raise LoginRefusedError("banned")
            judged = self._judged.get(key, 0)
            if judged < guard.guesses_left(address):
                self._judged[key] = judged + 1
                return
            turn = asyncio.get_running_loop().create_future()
            queue = self._waiting.setdefault(key, deque())
            queue.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn in queue:
                    queue.remove(turn)
                # The turn may have been given to this one already.
                self._wake(address, key)
                raise

    def _end(self, address: str, key: str) -> None:
        judged = self._judged.pop(key) - 1
        if judged:
            self._judged[key] = judged
        self._wake(address, key)

    def _wake(self, address: str, key: str) -> None:
        """Let as many look again as there are turns; all where there is a ban that they have to be told of."""
        queue = self._waiting.get(key)
        if queue is None:
            return
        free = len(queue)
        if not self._guard.banned(address):
            free = self._guard.guesses_left(address) - self._judged.get(key, 0)
        while queue and free > 0:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1
        if not queue:
            del self._waiting[key]
