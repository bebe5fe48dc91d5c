"""An event loop in a thread of its own, for asynchronous clients that several threads use."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

from fastxfer.net.cancel import CancelToken

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for other threads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fastxfer-cli-loop", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], cancel: CancelToken | None = None) -> T:
        """Run *work* to its end; *cancel*, or an exception in this thread, cancels it and waits until it has ended."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        if cancel is not None:
            cancel.watch(future)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            concurrent.futures.wait([future], 30)
            raise
        finally:
            if cancel is not None:
                cancel.release(future)

    def iterate(self, source: AsyncIterator[T]) -> Iterator[T]:
        """What an asynchronous iterator yields."""
        try:
            while True:
                try:
                    yield self.run(_next(source))
                except StopAsyncIteration:
                    return
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                self.run(close())

    def close(self) -> None:
        """End the thread. Idempotent."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


async def _next(source: AsyncIterator[T]) -> T:
    return await source.__anext__()
