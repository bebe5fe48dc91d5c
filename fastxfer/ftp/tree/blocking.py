"""The tree tools of the blocking client: they run on an event loop in a thread of their own."""

from __future__ import annotations

import asyncio
import builtins
import concurrent.futures
import os
import threading
from collections.abc import Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from fastxfer.ftp.base import RemotePath
from fastxfer.ftp.directory import Found
from fastxfer.ftp.tree.report import OnItem, TreeProgress, TreeReport
from fastxfer.ftp.types import ProgressLike, TransferResult

if TYPE_CHECKING:
    from fastxfer.ftp.client import AsyncClient

__all__ = ["BlockingTreeTools", "Portal"]

T = TypeVar("T")
LocalPath = str | os.PathLike[str]


class Portal:
    """An event loop in a thread, with an AsyncClient on it, for as long as it is needed."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connected = False

    @property
    def client(self) -> AsyncClient:
        return self._client

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* on the loop; an exception in this thread (KeyboardInterrupt) cancels it."""
        future = asyncio.run_coroutine_threadsafe(self._connected_first(work), self._running())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            concurrent.futures.wait([future], 30)
            raise

    async def _connected_first(self, work: Coroutine[Any, Any, T]) -> T:
        if not self._connected:
            try:
                await self._client.connect()
            except BaseException:
                work.close()
                raise
            self._connected = True
        return await work

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="fastxfer-ftp-trees", daemon=True)
                self._thread.start()
            return self._loop

    def close(self) -> None:
        """Close the client and end the thread. Idempotent."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
            self._connected = False
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._client.aclose(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class BlockingTreeTools:
    """The tools of :class:`~fastxfer.ftp.tree.operations.TreeOperations`, blocking.

    They move several files at a time over connections of their own, in a thread of their own; ``on_item`` is called
    there.
    """

    _portal: Portal

    def batch(
        self,
        pairs: Iterable[tuple[LocalPath, RemotePath]],
        *,
        parallel: int | None = None,
        overwrite: bool = True,
        make_directories: bool = True,
        preserve_time: bool = False,
        on_item: OnItem | None = None,
        progress: TreeProgress | None = None,
    ) -> TreeReport:
        """Upload many files: see :meth:`AsyncClient.batch`."""
        return self._portal.run(
            self._portal.client.batch(
                pairs,
                parallel=parallel,
                overwrite=overwrite,
                make_directories=make_directories,
                preserve_time=preserve_time,
                on_item=on_item,
                progress=progress,
            )
        )

    def fetch(
        self,
        pairs: Iterable[tuple[RemotePath, LocalPath]],
        *,
        parallel: int | None = None,
        overwrite: bool = True,
        make_directories: bool = True,
        preserve_time: bool = False,
        on_item: OnItem | None = None,
        progress: TreeProgress | None = None,
    ) -> TreeReport:
        """Download many files: see :meth:`AsyncClient.fetch`."""
        return self._portal.run(
            self._portal.client.fetch(
                pairs,
                parallel=parallel,
                overwrite=overwrite,
                make_directories=make_directories,
                preserve_time=preserve_time,
                on_item=on_item,
                progress=progress,
            )
        )

    def sync(
        self,
        local: LocalPath,
        remote: RemotePath,
        direction: str = "up",
        *,
        compare: str = "newer",
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        delete: bool = False,
        dry_run: bool = False,
        parallel: int | None = None,
        follow_links: bool = False,
        preserve_time: bool = True,
        tolerance: float = 2.0,
        journal: LocalPath | None = None,
        keep_going: bool = True,
        on_item: OnItem | None = None,
        progress: TreeProgress | None = None,
    ) -> TreeReport:
        """Make one tree like the other: see :meth:`AsyncClient.sync`."""
        return self._portal.run(
            self._portal.client.sync(
                local,
                remote,
                direction,
                compare=compare,
                include=include,
                exclude=exclude,
                delete=delete,
                dry_run=dry_run,
                parallel=parallel,
                follow_links=follow_links,
                preserve_time=preserve_time,
                tolerance=tolerance,
                journal=journal,
                keep_going=keep_going,
                on_item=on_item,
                progress=progress,
            )
        )

    def mirror(
        self,
        local: LocalPath,
        remote: RemotePath,
        direction: str = "up",
        *,
        compare: str = "newer",
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        delete: bool = True,
        dry_run: bool = False,
        parallel: int | None = None,
        follow_links: bool = False,
        preserve_time: bool = True,
        tolerance: float = 2.0,
        journal: LocalPath | None = None,
        keep_going: bool = True,
        on_item: OnItem | None = None,
        progress: TreeProgress | None = None,
    ) -> TreeReport:
        """Make one tree exactly like the other: see :meth:`AsyncClient.mirror`."""
        return self._portal.run(
            self._portal.client.mirror(
                local,
                remote,
                direction,
                compare=compare,
                include=include,
                exclude=exclude,
                delete=delete,
                dry_run=dry_run,
                parallel=parallel,
                follow_links=follow_links,
                preserve_time=preserve_time,
                tolerance=tolerance,
                journal=journal,
                keep_going=keep_going,
                on_item=on_item,
                progress=progress,
            )
        )

    def backup(
        self,
        paths: Iterable[LocalPath],
        target: RemotePath,
        *,
        name: str = "backup_%Y%m%d_%H%M%S",
        exclude: Iterable[str] = (),
        parallel: int | None = None,
        follow_links: bool = False,
        on_item: OnItem | None = None,
        progress: TreeProgress | None = None,
    ) -> TreeReport:
        """Upload files and directories into a new, timestamped directory: see :meth:`AsyncClient.backup`."""
        return self._portal.run(
            self._portal.client.backup(
                paths,
                target,
                name=name,
                exclude=exclude,
                parallel=parallel,
                follow_links=follow_links,
                on_item=on_item,
                progress=progress,
            )
        )

    def restore(
        self,
        backup: RemotePath,
        target: LocalPath,
        *,
        compare: str = "newer",
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        parallel: int | None = None,
        on_item: OnItem | None = None,
        progress: TreeProgress | None = None,
    ) -> TreeReport:
        """Download a backup: see :meth:`AsyncClient.restore`."""
        return self._portal.run(
            self._portal.client.restore(
                backup,
                target,
                compare=compare,
                include=include,
                exclude=exclude,
                parallel=parallel,
                on_item=on_item,
                progress=progress,
            )
        )

    def verify(
        self,
        local: LocalPath,
        remote: RemotePath,
        *,
        checksum: bool = False,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        parallel: int | None = None,
        on_item: OnItem | None = None,
    ) -> TreeReport:
        """Compare a local tree with a remote one: see :meth:`AsyncClient.verify`."""
        return self._portal.run(
            self._portal.client.verify(
                local,
                remote,
                checksum=checksum,
                include=include,
                exclude=exclude,
                parallel=parallel,
                on_item=on_item,
            )
        )

    def search(
        self,
        pattern: str = "*",
        path: RemotePath = "",
        *,
        kind: str | None = None,
        min_size: int | None = None,
        max_size: int | None = None,
        newer_than: float | None = None,
        older_than: float | None = None,
    ) -> Iterator[Found]:
        """What is below *path* and has a name like *pattern*: see :meth:`AsyncClient.search`."""
        found = self._portal.client.search(
            pattern,
            path,
            kind=kind,
            min_size=min_size,
            max_size=max_size,
            newer_than=newer_than,
            older_than=older_than,
        )

        async def some() -> builtins.list[Found]:
            piece: builtins.list[Found] = []
            async for item in found:
                piece.append(item)
                if len(piece) == 100:
                    break
            return piece

        while piece := self._portal.run(some()):
            yield from piece

    def download_segmented(
        self,
        path: RemotePath,
        target: LocalPath,
        *,
        segments: int = 4,
        overwrite: bool = True,
        make_directories: bool = False,
        preserve_time: bool = False,
        verify: str | bool = False,
        progress: ProgressLike | None = None,
    ) -> TransferResult:
        """Download one big file over several connections: see :meth:`AsyncClient.download_segmented`."""
        return self._portal.run(
            self._portal.client.download_segmented(
                path,
                target,
                segments=segments,
                overwrite=overwrite,
                make_directories=make_directories,
                preserve_time=preserve_time,
                verify=verify,
                progress=progress,
            )
        )

    def remove_tree(self, path: RemotePath, *, missing_ok: bool = False) -> int:
        """Remove a directory and all that is in it: see :meth:`AsyncClient.remove_tree`."""
        return self._portal.run(self._portal.client.remove_tree(path, missing_ok=missing_ok))

    def move(self, source: RemotePath, target: RemotePath, *, make_directories: bool = False) -> None:
        """Move a file or directory on the server: see :meth:`AsyncClient.move`."""
        self._portal.run(self._portal.client.move(source, target, make_directories=make_directories))
