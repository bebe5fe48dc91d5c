"""One file over several connections at once, each with a piece of it."""

from __future__ import annotations

import asyncio
import os
import time

from fastxfer.ftp.base import HEADWAY, RemotePath
from fastxfer.ftp.endpoints import FileSink, local_error
from fastxfer.ftp.errors import FTPError, InvalidArgumentError, TruncatedError, UnsupportedError
from fastxfer.ftp.file_operations import FileOperations
from fastxfer.ftp.local import Landing
from fastxfer.ftp.pool import Link
from fastxfer.ftp.types import ProgressLike, TransferResult, progress_of
from fastxfer.net.progress import Progress

__all__ = ["SegmentedOperations"]

_LEAST = 4 << 20
"""Bytes that are worth a connection of their own."""


class SegmentedOperations(FileOperations):
    """Segmented downloads."""

    async def download_segmented(
        self,
        path: RemotePath,
        target: str | os.PathLike[str],
        *,
        segments: int = 4,
        overwrite: bool = True,
        make_directories: bool = False,
        preserve_time: bool = False,
        verify: str | bool = False,
        progress: ProgressLike | None = None,
    ) -> TransferResult:
        """Download one big file over several connections: worth it where a server or a line holds back each of them.

        A segment whose connection breaks is taken up where it broke. Small files, and servers that do not tell sizes or
        do not restart (REST), get an ordinary download. Arguments are those of :meth:`download`.
        """
        remote = self._path(path)
        if segments < 1:
            raise InvalidArgumentError(f"segments must be at least 1, not {segments}")
        try:
            size = await self.size(remote)
        except UnsupportedError:
            size = 0
        count = min(segments, self._config.limits.connections, size // _LEAST)
        if count < 2 or not self._profile.restart:
            return await self.download(
                path,
                target,
                overwrite=overwrite,
                make_directories=make_directories,
                preserve_time=preserve_time,
                verify=verify,
                progress=progress,
            )
        began = time.monotonic()
        landing = Landing(target, overwrite=overwrite, make_directories=make_directories)
        follow = progress_of(progress, size)
        file = landing.open()
        try:
            await self._hook("download", remote, target)
            mtime = await self.modified(remote) if self._profile.may_try("MDTM") else None
            try:
                os.ftruncate(file.fd, size)
            except OSError as error:
                raise local_error(error, "cannot write the local file in several places") from error
            attempts = await self._all_segments(remote, landing.writing, size, count, follow)
            if await self.size(remote) != size or (mtime is not None and await self.modified(remote) != mtime):
                raise TruncatedError("the remote file changed while it was being read", path=remote)
            file.position = size
            checked = await self._verify_local(remote, file, verify, size) if verify else "size"
            landing.commit(mtime if preserve_time else None)
        except BaseException:
            if follow is not None:
                follow.abandon()
            landing.discard(keep=False)
            raise
        if follow is not None:
            follow.finish()
        self._state.transfers += 1
        return TransferResult(remote, size, size, time.monotonic() - began, attempts, 0, checked, mtime)

    async def _all_segments(self, remote: str, place: str, size: int, count: int, progress: Progress | None) -> int:
        """All of them at once; the first that fails for good ends the others. How many attempts it took."""
        each = -(-size // count)
        tasks = [
            asyncio.create_task(self._segment(remote, place, start, min(each, size - start), progress))
            for start in range(0, size, each)
        ]
        try:
            return sum(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _segment(self, remote: str, place: str, start: int, length: int, progress: Progress | None) -> int:
        """Bytes ``start`` to ``start + length``, in as many attempts as it takes: how many."""
        # A descriptor of its own, since those that read TLS move the file position.
        try:
            fd = os.open(place, os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise local_error(error, "cannot write the local file") from error
        try:
            return await self._fill(remote, FileSink(fd, start, start), start + length, progress)
        finally:
            os.close(fd)

    async def _fill(self, remote: str, sink: FileSink, stop: int, progress: Progress | None) -> int:
        failures = attempts = 0
        end = self._deadline()
        while sink.position < stop:
            link: Link | None = None
            before = sink.position
            try:
                link = await self._pool.acquire(self._driver)
                attempts += 1
                await self._receive_part(link, remote, sink, sink.position, stop - sink.position)
                if sink.position == before:
                    raise TruncatedError("the server sent nothing", path=remote, bytes_done=before)
                self._pool.release(link)
            except FTPError as error:
                if link is not None:
                    self._pool.release(link)
                failures = 1 if sink.position - before >= HEADWAY else failures + 1
                if not self._passing(error) or not await self._pause(error, failures, end):
                    raise
            except BaseException:
                if link is not None:
                    self._pool.discard(link)
                raise
            finally:
                if progress is not None:
                    progress.advance(sink.position - before)
        return attempts
