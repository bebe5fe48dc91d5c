"""Doing an operation for every item, a fixed number in flight, and timing each one."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from fastxfer.bench._measure import Recorder

Item = TypeVar("Item")


def in_threads(
    items: Sequence[Item], concurrency: int, recorder: Recorder, size: int, operation: Callable[[int, Item], object]
) -> None:
    """Call ``operation(index, item)`` for every item from *concurrency* threads (one: the calling thread).

    Where this is interrupted, what is under way is waited for and nothing more is begun.
    """
    counter = itertools.count()
    total = len(items)
    lock = threading.Lock()

    def worker() -> None:
        latencies: list[int] = []
        append, clock, next_index = latencies.append, time.perf_counter_ns, counter.__next__
        while (index := next_index()) < total:
            before = clock()
            try:
                operation(index, items[index])
            except Exception as error:
                with lock:
                    recorder.fail(error)
            else:
                append(clock() - before)
        with lock:
            recorder.add(latencies, size)

    if concurrency == 1:
        worker()
        return
    threads = [threading.Thread(target=worker) for _ in range(concurrency)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:
        total = 0
        for thread in threads:
            # The one that was just being started when the interrupt came has no number yet.
            while thread.ident is None and thread in threading.enumerate():
                time.sleep(0.001)
            if thread.ident is not None:
                thread.join()
        raise


async def in_tasks(
    items: Sequence[Item],
    concurrency: int,
    recorder: Recorder,
    size: int,
    operation: Callable[[int, Item], Awaitable[object]],
) -> None:
    """Await ``operation(index, item)`` for every item from *concurrency* tasks of one event loop."""
    source = iter(enumerate(items))
    clock = time.perf_counter_ns

    async def worker() -> None:
        latencies: list[int] = []
        for index, item in source:
            before = clock()
            try:
                await operation(index, item)
            except Exception as error:
                recorder.fail(error)
            else:
                latencies.append(clock() - before)
        recorder.add(latencies, size)

    await asyncio.gather(*(worker() for _ in range(min(concurrency, max(1, len(items))))))


def run_in_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run *main* to its end on uvloop where it is installed, else on asyncio."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
