"""Batches carried out by threads."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from fastxfer.fdfs.arguments import LARGEST_CONCURRENCY, check_cancel, check_integer, check_items, check_progress
from fastxfer.fdfs.batch import BatchProgress, BatchResult, Job, Reorder
from fastxfer.fdfs.batch_item import finished, prepared
from fastxfer.fdfs.batch_report import Reporter
from fastxfer.fdfs.journal import Journal
from fastxfer.fdfs.steps import Control, Plan
from fastxfer.net.cancel import CancelToken

__all__ = ["length_of", "run_batch"]

T = TypeVar("T")

_WINDOW = 16
"""Results that wait to be taken, or for their turn, per thread: then no further items are begun."""


_END = object()


class _Pump(Generic[T]):
    """Threads between an iterable of items and a queue of results."""

    def __init__(
        self,
        run: Callable[[Plan[T]], T],
        job: Job[T],
        journal: Journal | None,
        items: Iterator[tuple[int, Any]],
        threads: int,
    ) -> None:
        self._run = run
        self._job = job
        self._journal = journal
        self._items = items
        self._taking = threading.Lock()
        self._room = threading.Semaphore(_WINDOW * threads)
        self._stopped = False
        self._left = threads
        self.failure: BaseException | None = None
        self.results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"fastxfer-batch-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        for number, thread in enumerate(self._threads):
            try:
                thread.start()
            except RuntimeError:
                if number == 0:
                    self._threads.clear()
                    raise
                # No more threads to be had: those there are carry it all.
                missing = len(self._threads) - number
                del self._threads[number:]
                self._leave(missing)
                return

    def taken(self) -> None:
        """The consumer has taken a result: there is room for one more."""
        self._room.release()

    def stop(self) -> None:
        """Begin nothing more, and wait for what was begun."""
        self._stopped = True
        for _ in self._threads:
            self._room.release()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        try:
            while True:
                self._room.acquire()
                with self._taking:
                    if self._stopped:
                        return
                    try:
                        index, item = next(self._items)
                    except StopIteration:
                        self._stopped = True
                        return
                    except BaseException as error:
                        # The iterable's own: what is under way is still finished and given out.
                        self._stopped = True
                        self.failure = error
                        return
                try:
                    entry = self._do(index, item)
                except BaseException as error:
                    self._stopped = True
                    self.failure = error
                    return
                self.results.put(entry)
        finally:
            self._room.release()
            self._leave(1)

    def _leave(self, threads: int) -> None:
        with self._taking:
            self._left -= threads
            if self._left == 0:
                self.results.put(_END)

    def _do(self, index: int, item: Any) -> tuple[BatchResult[T], int]:
        task = prepared(self._job, self._journal, index, item)
        if isinstance(task, BatchResult):
            return task, 0
        value, error = None, None
        try:
            value = self._run(task.plan())
        except Exception as trouble:
            error = trouble
        return finished(self._job, self._journal, index, item, task, value, error), 0 if error else task.moved


def run_batch(
    run: Callable[[Plan[T]], T],
    job: Job[T],
    items: Iterable[Any],
    *,
    concurrency: int,
    ordered: bool,
    journal: str | os.PathLike[str] | None,
    progress: Callable[[BatchProgress], object] | None,
    control: Control,
    cancel: CancelToken | None,
) -> Iterator[BatchResult[T]]:
    """Do *job* with all *items*, *concurrency* at a time; the results as they come, or in the order of the items."""
    concurrency = check_integer("concurrency", concurrency, 1, LARGEST_CONCURRENCY)
    check_progress(progress)
    check_items(items)
    check_cancel(cancel)
    numbered = enumerate(items)
    reporter = Reporter(BatchProgress(length_of(items)), progress)
    return _results(run, job, numbered, concurrency, reporter, ordered, journal, control, cancel)


def _results(
    run: Callable[[Plan[T]], T],
    job: Job[T],
    items: Iterator[tuple[int, Any]],
    concurrency: int,
    reporter: Reporter,
    ordered: bool,
    journal: str | os.PathLike[str] | None,
    control: Control,
    cancel: CancelToken | None,
) -> Iterator[BatchResult[T]]:
    # Not before the first result is asked for: whoever never asks would leave it open.
    book = None if journal is None else Journal(journal, job.kind)
    pump = _Pump(run, job, book, items, concurrency)
    reorder: Reorder[T] = Reorder(ordered)
    process = os.getpid()
    own = control.cancel
    assert own is not None
    if cancel is not None:
        cancel.watch(own)
    try:
        pump.start()
        while (entry := pump.results.get()) is not _END:
            result, moved = entry
            reporter.count(result, moved)
            for ready in reorder.put(result):
                pump.taken()
                yield ready
                if os.getpid() != process:
                    raise RuntimeError("this batch is another process's: its threads are not here")
        reporter.report()
        if pump.failure is not None:
            raise pump.failure
    finally:
        if os.getpid() == process:
            # Reached early where the consumer stops: what is under way is of no use to anyone, unless it is remembered.
            if book is None:
                own.cancel()
            try:
                pump.stop()
            finally:
                if cancel is not None:
                    cancel.release(own)
                if book is not None:
                    book.close()


def length_of(items: object) -> int | None:
    """How many *items* there are, where they can tell."""
    with contextlib.suppress(TypeError):
        return len(items)  # type: ignore[arg-type]  # what has no length raises TypeError
    return None
