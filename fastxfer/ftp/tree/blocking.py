"""The tree tools of the blocking client: they run on an event loop in a thread of their own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from fastxfer.ftp.base import ClientBase
from fastxfer.ftp.errors import ClosedError
from fastxfer.ftp.tree.operations import TreeOperations

if TYPE_CHECKING:
    from fastxfer.ftp.client import AsyncClient

__all__ = ["BlockingTreeTools", "Portal"]

P = ParamSpec("P")
T = TypeVar("T")

_PIECE = 100
"""Items that are fetched from the loop at a time."""
_PATIENCE = 30.0
"""Seconds to wait for work that was cancelled."""


class Portal:
    """An event loop in a thread, with an AsyncClient on it, for as long as it is needed.

    Args:
        client: not connected; it uses the connections of *owner*.
        owner: a client of the same server.
    """

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


def _on_the_loop(
    operation: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[BlockingTreeTools, P], T]:
    """The blocking form of *operation*, with its signature and documentation."""

    @functools.wraps(operation)
    def run(self: BlockingTreeTools, /, *arguments: P.args, **named: P.kwargs) -> T:
        return self._portal.run(operation(self._portal.client, *arguments, **named))

    return run


def _from_the_loop(
    operation: Callable[Concatenate[AsyncClient, P], AsyncIterator[T]],
) -> Callable[Concatenate[BlockingTreeTools, P], Iterator[T]]:
    """The same for an iterator."""

    @functools.wraps(operation)
    def iterate(self: BlockingTreeTools, /, *arguments: P.args, **named: P.kwargs) -> Iterator[T]:
        items = operation(self._portal.client, *arguments, **named)
        try:
            while piece := self._portal.run(_some(items)):
                yield from piece
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                self._portal.run(close())

    return iterate


async def _some(items: AsyncIterator[T]) -> list[T]:
    piece: list[T] = []
    async for item in items:
        piece.append(item)
        if len(piece) == _PIECE:
            break
    return piece


class BlockingTreeTools:
    """The tools of :class:`~fastxfer.ftp.tree.operations.TreeOperations`, blocking.

    They move several files at a time, in a thread of their own, over the connections that the client has or may open.
    ``on_item`` is called in that thread: what it does there with the same client may wait for connections for which it
    is itself being waited for.
    """

    _portal: Portal

    batch = _on_the_loop(TreeOperations.batch)
    fetch = _on_the_loop(TreeOperations.fetch)
    sync = _on_the_loop(TreeOperations.sync)
    mirror = _on_the_loop(TreeOperations.mirror)
    backup = _on_the_loop(TreeOperations.backup)
    restore = _on_the_loop(TreeOperations.restore)
    verify = _on_the_loop(TreeOperations.verify)
    search = _from_the_loop(TreeOperations.search)
    download_segmented = _on_the_loop(TreeOperations.download_segmented)
    remove_tree = _on_the_loop(TreeOperations.remove_tree)
    move = _on_the_loop(TreeOperations.move)
