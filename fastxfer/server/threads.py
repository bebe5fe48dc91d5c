"""Threads for work that waits or takes long: as many as it needs, up to a limit, and soon no more than that."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

__all__ = ["LingeringThreads"]

T = TypeVar("T")
LINGER = 2.0
"""Seconds for which a thread without work waits for more."""


class _Job:
    __slots__ = ("_arguments", "_function", "_future", "_options")

    def __init__(
        self, future: Future[Any], function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self._future = future
        self._function = function
        self._arguments = arguments
        self._options = options

    def drop(self, error: BaseException | None = None) -> None:
        """It is never run: for *error*, or because nobody wants it any more."""
        if error is None or not self._future.set_running_or_notify_cancel():
            self._future.cancel()
        else:
            self._future.set_exception(error)

    def run(self) -> None:
        if not self._future.set_running_or_notify_cancel():
            return
        try:
            result = self._function(*self._arguments, **self._options)
        except BaseException as error:
            self._future.set_exception(error)
        else:
            self._future.set_result(result)


class LingeringThreads(Executor):
    """An executor that starts a thread for each call that finds none without work, and ends those that get none.

    :class:`concurrent.futures.ThreadPoolExecutor` keeps as many for ever as there ever were at the same time.

    Args:
        name: what the names of the threads begin with.
        limit: how many threads there may be; calls beyond that wait in the order they came. 0 for no limit.
    """

    def __init__(self, name: str, limit: int = 0) -> None:
        self._name = name
        self._limit = limit
        self._waiting: deque[_Job] = deque()
        self._lock = threading.Lock()
        self._idle: list[queue.SimpleQueue[_Job | None]] = []
        self._threads: set[threading.Thread] = set()
        self._closed = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Call *fn* in a thread. RuntimeError where no thread can be started, or after :meth:`shutdown`."""
        future: Future[T] = Future()
        job = _Job(future, fn, args, kwargs)
        with self._lock:
            if self._closed:
                raise RuntimeError("the executor is shut down")
            if self._idle:
                # The one that worked last: the others come to their end the sooner.
                self._idle.pop().put(job)
                return future
            if self._limit and len(self._threads) >= self._limit:
                self._waiting.append(job)
                return future
            thread = threading.Thread(target=self._work, args=(job,), name=self._name, daemon=True)
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as error:
            with self._lock:
                self._threads.discard(thread)
                stranded = [] if self._threads else self._take_waiting()
            for other in stranded:
                other.drop(error)
            raise
        return future

    def _work(self, job: _Job | None) -> None:
        box: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        while job is not None:
            job.run()
            # It holds what the transfer needed, and the wait may be long.
            job = None
            with self._lock:
                if self._waiting:
                    job = self._waiting.popleft()
                    continue
                if self._closed:
                    break
                self._idle.append(box)
            job = self._next(box)

    def _next(self, box: queue.SimpleQueue[_Job | None]) -> _Job | None:
        try:
            return box.get(timeout=LINGER)
        except queue.Empty:
            pass
        with self._lock:
            if box in self._idle:
                self._idle.remove(box)
                self._threads.discard(threading.current_thread())
                return None
        # It was given work in the same instant.
        return box.get()

    def _take_waiting(self) -> list[_Job]:
        jobs = list(self._waiting)
        self._waiting.clear()
        return jobs

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; with *wait*, until what is under way has ended."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            threads = list(self._threads)
            unwanted = self._take_waiting() if cancel_futures else []
        for job in unwanted:
            job.drop()
        for box in idle:
            box.put(None)
        if wait:
            for thread in threads:
                thread.join()
