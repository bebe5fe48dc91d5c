"""The tree tools of the blocking client: they run on an event loop in a thread of their own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import operator
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from fastxfer.ftp.base import ClientBase
from fastxfer.ftp.blocking_forms import Place, blocking, iterating
from fastxfer.ftp.errors import ClosedError
from fastxfer.ftp.tree.operations import TreeOperations

if TYPE_CHECKING:
    from fastxfer.ftp.client import AsyncClient

__all__ = ["BlockingTreeTools", "Portal"]

T = TypeVar("T")

_PATIENCE = 30.0
"""Seconds to wait for work that was cancelled."""


class Portal:
    """An event loop in a thread, with an AsyncClient on it, for as long as it is needed.

    Args:
        client: not connected; it uses the connections of *owner*.
        owner: a client of the same server.
    """

    piece = 100

    def __init__(self, client: AsyncClient, owner: ClientBase) -> None:
        self._client = client
        self._owner = owner
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._working: set[concurrent.futures.Future[Any]] = set()

    @property
    def client(self) -> AsyncClient:
        return self._client

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* on the loop; an exception in this thread (KeyboardInterrupt) cancels it."""
        ended = threading.Event()

        async def carry() -> T:
            try:
                return await work
            finally:
                ended.set()

        with self._lock:
            try:
                loop = self._running()
            except BaseException:
                work.close()
                raise
            future = asyncio.run_coroutine_threadsafe(carry(), loop)
            self._working.add(future)
        try:
            return future.result()
        except concurrent.futures.CancelledError as error:
            ended.wait(_PATIENCE)
            raise ClosedError("the client was closed") from error
        except BaseException:
            # A future that is cancelled is done at once, its work only when it has tidied up.
            future.cancel()
            ended.wait(_PATIENCE)
            raise
        finally:
            with self._lock:
                self._working.discard(future)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._owner._pool.closed:
            raise ClosedError("the client is closed")
        if self._loop is None:
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="fastxfer-ftp-trees", daemon=True)
            thread.start()
            asyncio.run_coroutine_threadsafe(self._client._join(self._owner), loop).result()
            self._loop, self._thread = loop, thread
        return self._loop

    def close(self) -> None:
        """End what runs in the thread, and the thread. Idempotent."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
            working = list(self._working)
        if loop is None or thread is None:
            return
        for future in working:
            future.cancel()
        asyncio.run_coroutine_threadsafe(self._end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    async def _end(self) -> None:
        await self._client._end_keeping_alive()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=_PATIENCE)
        await self._client._leave()


_PLACE: Callable[[BlockingTreeTools], Place[AsyncClient]] = operator.attrgetter("_portal")


class BlockingTreeTools:
    """The tools of :class:`~fastxfer.ftp.tree.operations.TreeOperations`, blocking.

    They move several files at a time, in a thread of their own, over the connections that the client has or may open.
    ``on_item`` is called in that thread: what it does there with the same client may wait for connections for which it
    is itself being waited for.
    """

    _portal: Portal

    batch = blocking(_PLACE, TreeOperations.batch)
    fetch = blocking(_PLACE, TreeOperations.fetch)
    sync = blocking(_PLACE, TreeOperations.sync)
    mirror = blocking(_PLACE, TreeOperations.mirror)
    backup = blocking(_PLACE, TreeOperations.backup)
    restore = blocking(_PLACE, TreeOperations.restore)
    verify = blocking(_PLACE, TreeOperations.verify)
    search = iterating(_PLACE, TreeOperations.search)
    download_segmented = blocking(_PLACE, TreeOperations.download_segmented)
    remove_tree = blocking(_PLACE, TreeOperations.remove_tree)
    move = blocking(_PLACE, TreeOperations.move)
