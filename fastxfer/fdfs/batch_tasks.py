"""Batches carried out by tasks of an event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from typing import Any, TypeVar

from fastxfer.fdfs.arguments import LARGEST_CONCURRENCY, check_integer, check_items, check_progress
from fastxfer.fdfs.batch import BatchProgress, BatchResult, Job, Reorder
from fastxfer.fdfs.batch_item import finished, prepared
from fastxfer.fdfs.batch_report import Reporter
from fastxfer.fdfs.batch_threads import length_of
from fastxfer.fdfs.journal import Journal
from fastxfer.fdfs.steps import Plan
from fastxfer.net.tasks import all_ended

__all__ = ["run_batch_async"]

T = TypeVar("T")
Run = Callable[[Plan[T]], Awaitable[T]]

_WINDOW = 4
"""Results that wait to be taken, or for their turn, per task: then no further items are begun."""


async def run_batch_async(
    run: Run[T],
    job: Job[T],
    items: Iterable[Any] | AsyncIterable[Any],
    *,
    concurrency: int,
    ordered: bool,
    journal: str | os.PathLike[str] | None,
    progress: Callable[[BatchProgress], object] | None,
) -> AsyncGenerator[BatchResult[T], None]:
    """Do *job* with all *items*, *concurrency* at a time; the results as they come, or in the order of the items."""
    concurrency = check_integer("concurrency", concurrency, 1, LARGEST_CONCURRENCY)
    check_progress(progress)
    check_items(items)
    reporter = Reporter(BatchProgress(length_of(items)), progress)
    source = _numbered(items)
    book = None if journal is None else Journal(journal, job.kind)
    reorder: Reorder[T] = Reorder(ordered)
    room = asyncio.Semaphore(_WINDOW * concurrency)
    results: asyncio.Queue[tuple[BatchResult[T], int] | None] = asyncio.Queue()
    failures: list[Exception] = []
    ended = asyncio.Event()
    busy: set[asyncio.Task[None]] = set()
    workers = _workers(run, job, book, source, room, results, concurrency, ended, failures, busy)
    left = len(workers)

    def gone(_: asyncio.Task[None]) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            results.put_nowait(None)

    for worker in workers:
        worker.add_done_callback(gone)
    try:
        while (entry := await results.get()) is not None:
            result, moved = entry
            reporter.count(result, moved)
            for ready in reorder.put(result):
                room.release()
                yield ready
        for worker in workers:
            worker.result()
        reporter.report()
        if failures:
            raise failures[0]
    except GeneratorExit:
        # The consumer stops. What is under way is of no use to anyone then, unless it is remembered.
        ended.set()
        if book is not None:
            for worker in workers:
                if worker not in busy:
                    # It waits for the next item, or for room: perhaps for ever.
                    worker.cancel()
            await asyncio.wait(workers)
        raise
    finally:
        for worker in workers:
            worker.cancel()
        try:
            await all_ended(workers)
        finally:
            if book is not None:
                book.close()
            await source.aclose()


def _workers(
    run: Run[T],
    job: Job[T],
    book: Journal | None,
    source: AsyncGenerator[tuple[int, Any], None],
    room: asyncio.Semaphore,
    results: asyncio.Queue[tuple[BatchResult[T], int] | None],
    count: int,
    ended: asyncio.Event,
    failures: list[Exception],
    busy: set[asyncio.Task[None]],
) -> list[asyncio.Task[None]]:
    taking = asyncio.Lock()

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        while True:
            await room.acquire()
            async with taking:
                if ended.is_set():
                    room.release()
                    return
                try:
                    index, item = await anext(source)
                except StopAsyncIteration:
                    ended.set()
                except Exception as error:
                    # The iterable's own: what is under way is still finished and given out.
                    ended.set()
                    failures.append(error)
                if ended.is_set():
                    room.release()
                    return
            busy.add(task)
            results.put_nowait(await _do(run, job, book, index, item))
            busy.discard(task)

    return [asyncio.create_task(work()) for _ in range(count)]


async def _do(run: Run[T], job: Job[T], book: Journal | None, index: int, item: Any) -> tuple[BatchResult[T], int]:
    task = prepared(job, book, index, item)
    if isinstance(task, BatchResult):
        return task, 0
    value, error = None, None
    try:
        value = await run(task.plan())
    except Exception as trouble:
        error = trouble
    return finished(job, book, index, item, task, value, error), 0 if error else task.moved


async def _numbered(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncGenerator[tuple[int, Any], None]:
    index = 0
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield index, item
            index += 1
        return
    for item in items:
        yield index, item
        index += 1
