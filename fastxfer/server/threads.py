"""Threads for transfers that wait in them: as many as there are transfers, and soon no more than that."""

from __future__ import annotations

import queue
import threading
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
    """

    def __init__(self, name: str) -> None:
        self._name = name
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
            thread = threading.Thread(target=self._work, args=(job,), name=self._name, daemon=True)
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:
            with self._lock:
                self._threads.discard(thread)
            raise
        return future

    def _work(self, job: _Job | None) -> None:
        box: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        while job is not None:
            job.run()
            # It holds what the transfer needed, and the wait may be long.
            job = None
            with self._lock:
                if self._closed:
                    break
                self._idle.append(box)
            job = self._next(box)
        with self._lock:
            self._threads.discard(threading.current_thread())

    def _next(self, box: queue.SimpleQueue[_Job | None]) -> _Job | None:
        try:
            return box.get(timeout=LINGER)
        except queue.Empty:
            pass
        with self._lock:
            if box in self._idle:
                self._idle.remove(box)
                return None
        # It was given work in the same instant.
        return box.get()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; with *wait*, until what is under way has ended."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            threads = list(self._threads)
        for box in idle:
            box.put(None)
        if wait:
            for thread in threads:
                thread.join()
