"""Uploads: from a file, from memory, from anything that hands out pieces."""

from __future__ import annotations

import logging
import os
import time

from fastxfer.ftp.base import RemotePath, log
from fastxfer.ftp.endpoints import ChunkSource, FileSource, Source, is_path
from fastxfer.ftp.errors import InvalidArgumentError
from fastxfer.ftp.placing import Placing, beside
from fastxfer.ftp.sources import content_of, open_source, source_for
from fastxfer.ftp.storing import SMALL, Begun, Store
from fastxfer.ftp.types import ProgressLike, TransferResult, progress_of
from fastxfer.ftp.unique_upload import UniqueUploads
from fastxfer.ftp.verification import Verification

__all__ = ["UploadOperations"]


class UploadOperations(Verification, UniqueUploads, Placing):
    """Uploading."""

    async def upload(
        self,
        source: object,
        path: RemotePath,
        *,
        append: bool = False,
        resume: bool = False,
        atomic: bool | None = None,
        overwrite: bool = True,
        make_directories: bool = False,
        preserve_time: bool = False,
        mtime: float | None = None,
        verify: str | bool = False,
        ascii: bool = False,
        size: int | None = None,
        progress: ProgressLike | None = None,
    ) -> TransferResult:
        """Upload one file. A broken connection is taken up again where it broke.

        Args:
            source: a local path, bytes or another buffer, a binary file object, an iterator of buffers (an asynchronous
                one or a stream with a coroutine ``read``, for AsyncClient). A source that can be had only once can not
                be sent again after a broken connection.
            path: the remote file.
            append: add to the remote file (APPE). Never repeated once bytes may have been added.
            resume: go on with what an earlier failed call with ``resume`` left on the server; keep it there for the
                next one on failure.
            atomic: write under a temporary name beside *path* and rename when whole; None takes the client's setting. A
                server that does not allow it gets the file under its own name.
            overwrite: replace a remote file; else PermanentError where there is one.
            make_directories: make missing remote directories.
            preserve_time: give the remote file the local one's time (MFMT), or *mtime*, where the server can.
            mtime: that time, POSIX seconds.
            verify: True for the best the server offers; ``"size"``; or a checksum: ``"crc32"``, ``"md5"``, ``"sha1"``,
                ``"sha256"``, ``"sha512"``. Before the file gets its name.
            ascii: TYPE A: line ends become CR LF on the way.
            size: bytes in the source, where it cannot tell itself: for progress.
            progress: a :class:`~fastxfer.net.progress.Progress`, or a function called with one while bytes move.

        Raises FTPError.
        """
        remote = self._path(path)
        if append and (resume or not overwrite):
            raise InvalidArgumentError("append excludes resume and overwrite=False", path=remote)
        if ascii and (resume or verify):
            raise InvalidArgumentError("sizes and checksums mean nothing under TYPE A", path=remote)
        if remote.endswith("/"):
            raise InvalidArgumentError("the remote path names a directory", path=remote)
        opened, found = open_source(source) if is_path(source) else (-1, None)
        try:
            local = found or source_for(source, size)
            if preserve_time and mtime is None and isinstance(local, FileSource):
                mtime = os.fstat(local.fd).st_mtime
            wanted = self._config.atomic if atomic is None else atomic
            temporary = wanted and not append and self._profile.rename
            written = beside(remote, resume) if temporary else remote
            outcome: TransferResult | Begun | None = None
            if overwrite and progress is None and mtime is None and not (append or resume or verify or ascii):
                outcome = await self._upload_at_once(local, remote, written)
            if isinstance(outcome, TransferResult):
                return outcome
            # How much of a file is left to send shows when the server is asked.
            total = size if local.size is None else None if resume else local.size
            store = Store(
                path=remote,
                written=written,
                source=local,
                verb="APPE" if append else "STOR",
                ascii=ascii,
                overwrite=overwrite,
                resume=resume,
                make_directories=make_directories,
                progress=progress_of(progress, total),
                mtime=mtime if preserve_time or mtime is not None else None,
                base=local.base if isinstance(local, FileSource) else 0,
            )
            return await self._upload(store, source, verify, outcome)
        finally:
            if opened >= 0:
                os.close(opened)

    async def _upload_at_once(self, source: Source, remote: str, written: str) -> TransferResult | Begun | None:
        """Send a small file by the shortest way, where a session is ready for that and all takes its course.

        Else what was begun, to be gone on with; None where nothing was.
        """
        if (
            isinstance(source, ChunkSource)
            or source.size is None
            or source.size > SMALL
            or self._hooks
            or self._rates.upload
            # Commands and replies are to be seen there.
            or log.isEnabledFor(logging.DEBUG)
        ):
            return None
        began = time.monotonic()
        pool, driver = self._pool, self._driver
        link = pool.take_ready(driver)
        if link is None:
            return None
        try:
            content = content_of(source, remote)
        except BaseException:
            pool.release(link)
            raise
        try:
            sending = link.port.send_at_once(written, remote, content)
            if sending is None:
                pool.release(link)
                return None
            exchange = sending.exchange
            if not exchange.done:
                await driver.carry_exchange(exchange)
        except BaseException:
            pool.discard(link)
            raise
        if sending.unsent or not exchange.ordinary:
            return Begun(link, sending)
        link.port.end_at_once(sending)
        pool.release(link)
        self._state.transfers += 1
        count = len(content)
        return TransferResult(remote, count, count, time.monotonic() - began)

    async def _upload(
        self, store: Store, source: object, verify: str | bool, begun: Begun | None = None
    ) -> TransferResult:
        began = time.monotonic()
        if self._hooks:
            await self._hook("upload", source if is_path(source) else None, store.path)
        checked = ""
        try:
            if not store.overwrite:
                await self._refuse_existing(store.path)
            await self._store(store, begun)
            if verify:
                checked = await self._verify_local(store.written, store.source, verify, None)
            if store.temporary:
                await self._put_in_place(store)
            elif store.mtime is not None:
                await self._set_time(store.path, store.mtime)
        except BaseException as error:
            if store.progress is not None:
                store.progress.abandon()
            if store.temporary and store.begun and not store.resume and isinstance(error, Exception):
                await self._remove_quietly(store.written)
            raise
        if store.progress is not None:
            store.progress.finish()
        self._state.transfers += 1
        return TransferResult(
            store.path,
            store.offset,
            store.transferred,
            time.monotonic() - began,
            store.attempts,
            store.resumed,
            checked or ("size" if store.repeated else ""),
            store.mtime,
        )
