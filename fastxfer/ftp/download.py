"""Downloads: to a file, to memory, to anything that takes pieces."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncIterator
from typing import Any

from fastxfer.core.ftpwire import parse_size, parse_time
from fastxfer.ftp.base import RemotePath, log
from fastxfer.ftp.endpoints import ChunkSink, FileSink, MemorySink, Sink, is_path, seekable_descriptor
from fastxfer.ftp.errors import ConnectionLostError, InvalidArgumentError, TimedOutError
from fastxfer.ftp.fetching import Begun, Fetch, Fetching
from fastxfer.ftp.local import Landing
from fastxfer.ftp.moving import pieces, receive
from fastxfer.ftp.pool import Link
from fastxfer.ftp.ready_transfer import SMALL
from fastxfer.ftp.types import ProgressLike, TransferResult, progress_of
from fastxfer.ftp.verification import Verification

__all__ = ["DownloadOperations"]


class DownloadOperations(Verification, Fetching):
    """Downloading."""

    async def download(
        self,
        path: RemotePath,
        target: object,
        *,
        offset: int = 0,
        resume: bool = False,
        atomic: bool | None = None,
        overwrite: bool = True,
        make_directories: bool = False,
        preserve_time: bool = False,
        mtime: float | None = None,
        size: int | None = None,
        verify: str | bool = False,
        ascii: bool = False,
        progress: ProgressLike | None = None,
    ) -> TransferResult:
        """Download one file. A broken connection is taken up again where it broke.

        The size is compared with what the server says wherever it says it; a short file is never taken for whole.

        Args:
            path: the remote file.
            target: a local path, a binary file object, an object with ``write`` (a coroutine method, for AsyncClient),
                or a function called with each piece.
            offset: begin at this byte of the remote file.
            resume: go on with what an earlier failed call with ``resume`` left of this download (local path only); keep
                it for the next one on failure. Begun anew where the remote file has changed since.
            atomic: write beside the target and rename when whole (local path only); None takes the client's setting.
            overwrite: replace a local file; else LocalFileError where there is one.
            make_directories: make missing local directories.
            preserve_time: give the local file the remote one's time (MDTM), or *mtime*.
            mtime: that time, POSIX seconds, where it is known already: the server is then not asked.
            size: bytes of the remote file, where they are known from a listing: the server is then not asked.
            verify: True for the best the server offers; ``"size"``; or a checksum: ``"crc32"``, ``"md5"``, ``"sha1"``,
                ``"sha256"``, ``"sha512"``. The file must come whole (no offset).
            ascii: TYPE A: line ends become this system's.
            progress: a :class:`~fastxfer.net.progress.Progress`, or a function called with one while bytes move.

        Raises FTPError.
        """
        remote = self._path(path)
        if offset < 0:
            raise InvalidArgumentError(f"a negative offset: {offset}", path=remote)
        if ascii and (offset or resume):
            raise InvalidArgumentError("offsets mean nothing under TYPE A", path=remote)
        if verify and (ascii or (offset and verify != "size")):
            raise InvalidArgumentError("only a whole binary file can be verified", path=remote)
        if not is_path(target):
            if resume:
                raise InvalidArgumentError("only a download to a path can be resumed by a later call", path=remote)
            sink = _sink_for(target)
            result = await self._download_to(sink, remote, offset, False, verify, ascii, progress, size=size)
            if isinstance(sink, FileSink):
                target.seek(sink.position)  # type: ignore[attr-defined]
            return result
        landing = Landing(
            target,  # type: ignore[arg-type]
            atomic=self._config.atomic if atomic is None else atomic,
            resume=resume,
            overwrite=overwrite,
            make_directories=make_directories,
        )
        file = landing.open()
        left = file.position
        try:
            if left:
                await self._check_partial(remote, file, offset)
                left = file.position
            ask_time = preserve_time and mtime is None
            outcome: TransferResult | Begun | None = None
            if not (offset or resume or ask_time or verify or ascii) and progress is None:
                outcome = await self._download_at_once(remote, file, size)
            if isinstance(outcome, TransferResult):
                result = outcome
            else:
                result = await self._download_to(
                    file,
                    remote,
                    offset,
                    ask_time,
                    verify,
                    ascii,
                    progress,
                    resumed=left,
                    target=target,
                    size=size,
                    begun=outcome,
                )
            landing.commit(result.mtime if ask_time else mtime)
        except BaseException:
            landing.discard(keep=resume)
            raise
        return result

    async def read(self, path: RemotePath, *, offset: int = 0, length: int | None = None) -> bytes:
        """The content of a file, or *length* bytes of it from *offset* on. No longer than the limit ``body``."""
        remote = self._path(path)
        if offset < 0 or (length is not None and length < 0):
            raise InvalidArgumentError("a negative offset or length", path=remote)
        if length is None:
            sink = MemorySink(self._config.limits.body)
            await self._download_to(sink, remote, offset, False, False, False, None)
            return sink.data

        return await self._read_part(remote, offset, length) if length else b""

    async def stream(self, path: RemotePath, *, offset: int = 0) -> AsyncIterator[bytes]:
        """The content of a file piece by piece, from *offset* on, in bounded memory.

        A broken connection ends it with an error, since pieces were given out; go on with a new *offset*. Leaving the
        loop early is no error.
        """
        remote = self._path(path)
        link = await self._pool.acquire(self._driver)
        try:
            session = link.session
            if session.type != "I":
                await session.command("TYPE I")
                session.type = "I"
            data = await link.port.open(f"RETR {remote}", path=remote, restart=offset)
            done = False
            try:
                async for piece in pieces(session, data, self._rates, strict=self._config.require_close_notify):
                    yield piece
                done = True
            finally:
                if done:
                    await link.port.finish(data, path=remote)
                else:
                    link.port.abandon(data)
        finally:
            self._pool.release(link)

    async def _read_part(self, remote: str, offset: int, length: int) -> bytes:
        async def piece(link: Link) -> tuple[bytes, TimedOutError | None]:
            parts: list[bytes] = []
            sink = ChunkSink(parts.append)
            try:
                # Whether fewer bytes are all there are the server says, or else SIZE.
                patient = not self._profile.may_try("SIZE")
                await self._receive_part(link, remote, sink, offset, length, patient=patient)
            except TimedOutError as error:
                if not parts:
                    raise
                return b"".join(parts), error
            return b"".join(parts), None

        failures = 0
        end = self._deadline()
        while True:
            found, silence = await self._run(piece)
            if silence is None or offset + len(found) == await self.size(remote):
                return found
            failures += 1
            if not await self._pause(silence, failures, end):
                raise silence

    async def _download_at_once(self, remote: str, file: FileSink, size: int | None) -> TransferResult | Begun | None:
        """Fetch a small file by the shortest way, where a session is ready for that and all takes its course.

        Else what was begun, to be gone on with; None where nothing was.
        """
        sized = size is None
        if (
            (size is not None and size > SMALL)
            or self._hooks
            or self._rates.download
            or (sized and not self._profile.may_try("SIZE"))
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
            asked = link.port.ask_at_once(remote, sized, file.fd)
            if asked is None:
                pool.release(link)
                return None
            exchange = asked.exchange
            if not exchange.done:
                await driver.carry_exchange(exchange)
        except BaseException:
            pool.discard(link)
            raise
        count = exchange.received
        if asked.unsent or not exchange.ordinary or (size is not None and count != size):
            return Begun(link, asked)
        file.position = count
        link.port.end_at_once(asked)
        pool.release(link)
        self._state.transfers += 1
        verified = "size" if sized else ""
        return TransferResult(remote, count, count, time.monotonic() - began, 1, 0, verified)

    async def _download_to(
        self,
        sink: Sink,
        remote: str,
        offset: int,
        want_time: bool,
        verify: str | bool,
        ascii: bool,
        progress: ProgressLike | None,
        *,
        resumed: int = 0,
        target: object = None,
        size: int | None = None,
        begun: Begun | None = None,
    ) -> TransferResult:
        """Fill *sink*, which stands where the first byte belongs; *resumed* bytes before that are there already.

        *target* is what the caller calls it, *begun* what was begun of it.
        """
        began = time.monotonic()
        follow = progress_of(progress, None)
        fetch = Fetch(remote, sink, sink.position - resumed, offset, want_time or bool(resumed), ascii, follow)
        if size is not None and not ascii:
            fetch.size = size
        if self._hooks:
            await self._hook("download", remote, target if is_path(target) else None)
        try:
            await self._fetch(fetch, begun)
            checked = "size" if fetch.sized else ""
            if verify:
                checked = await self._verify_local(remote, sink, verify, fetch.size)
        except BaseException:
            if follow is not None:
                follow.abandon()
            raise
        if follow is not None:
            follow.finish()
        self._state.transfers += 1
        return TransferResult(
            remote,
            fetch.position,
            fetch.transferred,
            time.monotonic() - began,
            fetch.attempts,
            resumed,
            checked,
            fetch.mtime,
        )

    async def _check_partial(self, remote: str, sink: FileSink, offset: int) -> None:
        """Whether what is left of an earlier download can be the beginning of the remote file; else forget it."""
        left = os.fstat(sink.fd)

        async def compare(link: Link) -> bool:
            size, modified = await link.session.ask_all([f"SIZE {remote}", f"MDTM {remote}"])
            try:
                if size.code != 213 or parse_size(size.text) < offset + left.st_size:
                    return False
                return modified.code != 213 or parse_time(modified.text) <= left.st_mtime
            except ValueError:
                return False

        if not await self._run(compare):
            sink.reset()

    async def _receive_part(
        self, link: Link, remote: str, sink: Sink, offset: int, length: int, *, patient: bool = False
    ) -> None:
        """*length* bytes from *offset* on (fewer at the end of the file); the transfer is broken off after them.

        A server that says nothing to fewer bytes is waited for if *patient*; else it soon ends in TimedOutError.
        """
        session = link.session
        if session.type != "I":
            await session.command("TYPE I")
            session.type = "I"
        data = await link.port.open(f"RETR {remote}", path=remote, restart=offset)
        start = sink.position
        try:
            await receive(session, data, sink, self._rates, limit=length, strict=False)
        except ConnectionLostError as error:
            # The file may end before *length* bytes: then the server's word decides.
            reason = await link.port.verdict(data, error)
            if reason is not None or sink.position - start >= length:
                raise reason or error from error
            return
        except BaseException:
            link.port.abandon(data)
            raise
        if sink.position - start >= length:
            await link.port.break_off(data)
        else:
            await link.port.finish(data, path=remote, short=not patient)


def _sink_for(target: Any) -> Sink:
    fd = seekable_descriptor(target) if hasattr(target, "fileno") else None
    if fd is None:
        return ChunkSink(target)
    target.flush()
    position = os.lseek(fd, 0, os.SEEK_CUR)
    return FileSink(fd, position, position)
