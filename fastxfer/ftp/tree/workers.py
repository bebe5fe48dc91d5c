"""A few tasks that work off a bounded queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from types import TracebackType

__all__ = ["Workers"]

Job = Callable[[], Awaitable[None]]

_GRACE = 0.5
"""Seconds that the jobs under way have left when all is cancelled: a small file is soon whole, and what is broken off
between two commands may stay on the server under its temporary name."""


class Workers:
    """Runs jobs, at most *count* at a time; :meth:`add` waits while all are busy and as many more are queued.

    An exception in a job ends the whole: it is raised by :meth:`add` or at the end of the ``async with``, and the rest
    is cancelled. Jobs that may fail must therefore catch what they can report. Where the whole is cancelled, jobs under
    way may yet end, if they soon do.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._queue: asyncio.Queue[Job] = asyncio.Queue(2 * count)
        self._tasks: list[asyncio.Task[None]] = []
        self._busy = 0
        self._quiet = asyncio.Event()
        self._ending = False
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Workers:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self._wait_for(self._queue.join())
            elif isinstance(error, asyncio.CancelledError):
                await self._end_soon()
        except asyncio.CancelledError:
            await self._end_soon()
            raise
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
        if error is None and self._failure is not None:
            raise self._failure

    async def add(self, job: Job) -> None:
        """Have *job* done."""
        if len(self._tasks) < self._count:
            self._tasks.append(asyncio.create_task(self._work()))
        if self._failure is None and not self._queue.full():
            self._queue.put_nowait(job)
            return
        await self._wait_for(self._queue.put(job))

    async def _end_soon(self) -> None:
        """Wait shortly for the jobs under way; none is begun any more."""
        if self._busy and not self._ending:
            self._ending = True
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._quiet.wait(), _GRACE)

    async def drain(self) -> None:
        """Wait until all that was added is done."""
        await self._wait_for(self._queue.join())

    async def _wait_for(self, what: Awaitable[None]) -> None:
        waiting = asyncio.ensure_future(what)
        try:
            await asyncio.wait([waiting, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not waiting.done():
                waiting.cancel()
        if self._failure is not None:
            raise self._failure
        await waiting

    async def _work(self) -> None:
        while True:
            job = await self._queue.get()
            if self._ending:
                return
            self._busy += 1
            self._quiet.clear()
            try:
                await job()
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                self._failure = error
                raise
            finally:
                self._busy -= 1
                if not self._busy:
                    self._quiet.set()
                self._queue.task_done()
