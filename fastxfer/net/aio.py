"""Transfers awaited from an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Callable
from types import TracebackType

from fastxfer.core.engine import Engine
from fastxfer.core.xfer import Transfer

__all__ = ["TransferRunner"]

_AT_ONCE = 8
"""After so many transfers that ended without a wait the loop gets its turn: else one task could keep it for ever."""
_LOOK_AGAIN = 0.005
"""Seconds between looks at cancelled transfers whose end nobody awaits."""


class _Call:
    """Stands where a future would, and calls a function instead of waking a task."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def done(self) -> bool:
        return False

    def set_result(self, result: None) -> None:
        self._function()


class TransferRunner:
    """Carries transfers to their end for the coroutines of one event loop (asyncio or uvloop).

    Make it where the loop runs, and close it there. What can be done at once is done in the caller's own turn. A small
    transfer that waits for its peer then costs the loop one entry in a poll set of its own: one wake-up of the loop may
    finish many. What is big, or would have to wait for a disk, is carried by native threads, which start with the first
    that needs them.

    Args:
        threads: how many native threads drive big transfers, 1 to 8.
        small_files: read and write files up to 64 KiB in the loop's thread (on systems that can tell, reads only what
            the page cache has). False leaves every file to the threads.

    Attributes:
        closed: it carries no more transfers.
    """

    def __init__(self, *, threads: int = 2, small_files: bool = True) -> None:
        if threads < 1:
            raise ValueError(f"threads must be at least 1: {threads}")
        self._loop = asyncio.get_running_loop()
        self._threads = threads
        self._small_files = small_files
        self._light: Engine | None = None
        self._heavy: Engine | None = None
        self._waiting: dict[Transfer, asyncio.Future[None] | _Call] = {}
        self.closed = False
        self._at_once = 0

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

    async def run(self, transfer: Transfer) -> None:
        """Carry *transfer* to its end; then look at its ``error``.

        When the awaiting task is cancelled the transfer is cancelled too, and CancelledError is raised only once
        nothing native touches its descriptors and buffers any more.

        Raises RuntimeError where the runner is closed or the transfer is already being carried.
        """
        if self.closed:
            raise RuntimeError("the runner is closed")
        big = (transfer._uses_file and not self._small_files) or transfer._start()
        if transfer.done:
            self._at_once += 1
            if self._at_once == _AT_ONCE:
                self._at_once = 0
                await asyncio.sleep(0)
            return
        if not self._submit(transfer, self._big_engine if big else self._small_engine):
            return
        ended = self._loop.create_future()
        self._waiting[transfer] = ended
        try:
            await ended
        except asyncio.CancelledError:
            await self._cancel(transfer)
            raise
        except BaseException:
            # The coroutine is thrown away, with its loop perhaps: nobody can wait, but nothing more is begun on its
            # descriptors, which are about to be closed.
            transfer.cancel()
            raise

    def begin(self, transfer: Transfer, ended: Callable[[], None]) -> bool:
        """Carry *transfer* on; whether it has ended already. If not, *ended* is called in the loop once it has.

        It may be cancelled (:meth:`Transfer.cancel`), which ends it soon. RuntimeError as for :meth:`run`.
        """
        if self.closed:
            raise RuntimeError("the runner is closed")
        big = (transfer._uses_file and not self._small_files) or transfer._start()
        if transfer.done:
            return True
        if not self._submit(transfer, self._big_engine if big else self._small_engine):
            return True
        self._waiting[transfer] = _Call(ended)
        return False

    async def _cancel(self, transfer: Transfer) -> None:
        """Wait, come what may, until nothing native holds *transfer*."""
        transfer.cancel()
        while transfer in self._waiting:
            ended = self._waiting[transfer] = self._loop.create_future()
            with contextlib.suppress(asyncio.CancelledError):
                await ended

    async def aclose(self) -> None:
        """Cancel what is under way, wait for it, and stop the threads. Idempotent."""
        self.closed = True
        for transfer in self._waiting:
            transfer.cancel()
        try:
            while self._waiting:
                futures = [ended for ended in self._waiting.values() if isinstance(ended, asyncio.Future)]
                if futures:
                    await asyncio.wait(futures)
                else:
                    await asyncio.sleep(_LOOK_AGAIN)
        finally:
            self.close()

    def close(self) -> None:
        """Stop at once: transfers under way end with ECANCELED, and those who await them are told. Idempotent."""
        self.closed = True
        for engine in (self._light, self._heavy):
            if engine is not None:
                self._loop.remove_reader(engine.fileno())
                engine.close()
        self._light = self._heavy = None
        while self._waiting:
            _, ended = self._waiting.popitem()
            if not ended.done():
                ended.set_result(None)

    def _submit(self, transfer: Transfer, engine: Callable[[], Engine]) -> bool:
        """Hand *transfer* to *engine*; False where it has ended with an error instead: there is none to be had."""
        try:
            engine().submit(transfer)
        except OSError as error:
            transfer._abandon(error.errno or errno.EAGAIN)
            return False
        return True

    def _small_engine(self) -> Engine:
        if self._light is None:
            self._light = self._start(0)
        return self._light

    def _big_engine(self) -> Engine:
        if self._heavy is None:
            self._heavy = self._start(self._threads)
        return self._heavy

    def _start(self, threads: int) -> Engine:
        engine = Engine(threads)
        self._loop.add_reader(engine.fileno(), self._collect, engine)
        return engine

    def _collect(self, engine: Engine) -> None:
        for transfer in engine.completed():
            if not transfer.done and self._submit(transfer, self._big_engine):
                continue
            ended = self._waiting.pop(transfer)
            if not ended.done():
                ended.set_result(None)
