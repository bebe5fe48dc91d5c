"""Transfers awaited from an event loop."""

from __future__ import annotations

import asyncio
from types import TracebackType

from fastxfer.core.engine import Engine
from fastxfer.core.xfer import Transfer

__all__ = ["TransferRunner"]


class TransferRunner:
    """Carries transfers to their end for the coroutines of one event loop (asyncio or uvloop).

    Make it where the loop runs, and close it there. A transfer that can end without waiting ends at once, in the
    caller's own turn; those that move memory only wait in the loop's own poll; those that touch files or move much
    are carried by native threads, which start with the first of them.

    Args:
        threads: how many native threads may be started.
    """

    def __init__(self, *, threads: int = 2) -> None:
        self._loop = asyncio.get_running_loop()
        self._threads = threads
        self._engine: Engine | None = None
        self._waiting: dict[Transfer, asyncio.Future[None]] = {}
        self._closed = False

    async def __aenter__(self) -> TransferRunner:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def active(self) -> int:
        """Transfers that are being carried."""
        return len(self._waiting)

    @property
    def closed(self) -> bool:
        return self._closed

    async def run(self, transfer: Transfer) -> None:
        """Carry *transfer* to its end; then look at its ``error``.

        When the awaiting task is cancelled the transfer is cancelled too, and CancelledError is raised only once
        nothing native touches its descriptors and buffers any more.

        Raises RuntimeError where the runner is closed or the transfer is already being carried.
        """
        if self._closed:
            raise RuntimeError("the runner is closed")
        if transfer.advance():
            return
        self._submit(transfer)
        ended = self._loop.create_future()
        self._waiting[transfer] = ended
        cancelled: asyncio.CancelledError | None = None
        while not ended.done():
            try:
                await asyncio.shield(ended)
            except asyncio.CancelledError as error:
                cancelled = error
                transfer.cancel()
        if cancelled is not None:
            raise cancelled

    async def aclose(self) -> None:
        """Cancel what is under way, wait for it, and stop the threads. Idempotent."""
        self._closed = True
        for transfer in list(self._waiting):
            transfer.cancel()
        if self._waiting:
            await asyncio.wait(list(self._waiting.values()))
        if self._engine is not None:
            self._loop.remove_reader(self._engine.fileno())
            self._engine.close()
            self._engine = None

    def _submit(self, transfer: Transfer) -> None:
        if self._engine is None:
            self._engine = Engine(self._threads)
            self._loop.add_reader(self._engine.fileno(), self._collect)
        self._engine.submit(transfer)

    def _collect(self) -> None:
        if self._engine is None:
            return
        for transfer in self._engine.completed():
            ended = self._waiting.pop(transfer)
            if not ended.done():
                ended.set_result(None)
