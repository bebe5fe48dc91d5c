"""Uploads: from a file, from memory, from anything that hands out pieces."""

from __future__ import annotations

import logging
import os
import posixpath
import re
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastxfer.core.ftpwire import format_time, parse_size
from fastxfer.core.transforms import ToNetworkLines
from fastxfer.ftp.base import HEADWAY, ClientBase, RemotePath
from fastxfer.ftp.commands import check_path
from fastxfer.ftp.endpoints import (
    ChunkSource,
    FileSource,
    MemorySource,
    Source,
    is_buffer,
    is_path,
    local_error,
    seekable_descriptor,
)
from fastxfer.ftp.errors import (
    ConnectionLostError,
    FTPError,
    InvalidArgumentError,
    LocalFileError,
    PermanentError,
    ProtocolError,
    ReplyError,
    TimedOutError,
    TransferError,
    TruncatedError,
    UnsupportedError,
    VerificationError,
)
from fastxfer.ftp.moving import send
from fastxfer.ftp.pool import Link
from fastxfer.ftp.ready_transfer import ReadyUpload
from fastxfer.ftp.replies import Reply
from fastxfer.ftp.temporary_names import mark
from fastxfer.ftp.types import ProgressLike, TransferResult, progress_of
from fastxfer.ftp.verification import Verification
from fastxfer.net.progress import Progress

__all__ = ["UploadOperations"]

log = logging.getLogger("fastxfer.ftp")

_PIECE = 65536
_SMALL = 32768
"""Bytes that any socket takes at once."""
_LONGEST = 180
"""Characters of a file's name kept in that of its temporary file."""
_MISSING_DIRECTORY = frozenset({550, 553, 450, 451})


@dataclass
class _Store:
    """An upload under way, over all its attempts."""

    path: str
    written: str
    source: Source
    verb: str
    ascii: bool
    overwrite: bool
    resume: bool
    make_directories: bool
    progress: Progress | None
    mtime: float | None
    base: int = 0
    offset: int = 0
    resumed: int = 0
    transferred: int = 0
    attempts: int = 0
    stored: bool = False
    begun: bool = False
    furthest: int = 0
    headway: bool = False
    repeated: bool = False
    renaming: Sequence[Reply] = ()

    @property
    def temporary(self) -> bool:
        return self.written != self.path


@dataclass
class _Begun:
    """An upload begun at once that did not take its course."""

    link: Link
    sending: ReadyUpload


class UploadOperations(Verification, ClientBase):
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
        opened, found = _open_source(source) if is_path(source) else (-1, None)
        try:
            local = found or _source_for(source, size)
            if preserve_time and mtime is None and isinstance(local, FileSource):
                mtime = os.fstat(local.fd).st_mtime
            wanted = self._config.atomic if atomic is None else atomic
            temporary = wanted and not append and self._profile.rename
            written = _beside(remote, resume) if temporary else remote
            outcome: TransferResult | _Begun | None = None
            if overwrite and progress is None and mtime is None and not (append or resume or verify or ascii):
                outcome = await self._upload_at_once(local, remote, written)
            if isinstance(outcome, TransferResult):
                return outcome
            store = _Store(
                path=remote,
                written=written,
                source=local,
                verb="APPE" if append else "STOR",
                ascii=ascii,
                overwrite=overwrite,
                resume=resume,
                make_directories=make_directories,
                progress=progress_of(progress, local.size if local.size is not None else size),
                mtime=mtime if preserve_time or mtime is not None else None,
                base=local.base if isinstance(local, FileSource) else 0,
            )
            return await self._upload(store, source, verify, outcome)
        finally:
            if opened >= 0:
                os.close(opened)

    async def upload_unique(self, source: object, directory: RemotePath | None = None) -> str:
        """Upload under a name that the server makes up (STOU): the name, as the server tells it."""
        where = None if directory is None else self._path(directory)
        opened, found = _open_source(source) if is_path(source) else (-1, None)
        try:
            local = found or _source_for(source, None)

            async def store(link: Link) -> str:
                session = link.session
                if where is not None:
                    home = await self._home(link)
                    await session.command(f"CWD {where}", where)
                try:
                    data = await link.port.open("STOU", path=where or "")
                    try:
                        await send(session, data, local, 0, self._rates)
                    except BaseException:
                        link.port.abandon(data)
                        raise
                    final = await link.port.finish(data)
                finally:
                    if where is not None and not session.broken:
                        await session.command(f"CWD {home}")
                return _unique_name(data.preliminary.text, final.text)

            return await self._run(store, repeatable=False, refusable=False)
        finally:
            if opened >= 0:
                os.close(opened)

    async def _upload_at_once(self, source: Source, remote: str, written: str) -> TransferResult | _Begun | None:
        """Send a small file by the shortest way, where a session is ready for that and all takes its course.

        Else what was begun, to be gone on with; None where nothing was.
        """
        if (
            isinstance(source, ChunkSource)
            or source.size is None
            or source.size > _SMALL
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
            content = _content(source, remote)
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
            return _Begun(link, sending)
        link.port.end_at_once(sending)
        pool.release(link)
        self._state.transfers += 1
        count = len(content)
        return TransferResult(remote, count, count, time.monotonic() - began)

    async def _upload(
        self, store: _Store, source: object, verify: str | bool, begun: _Begun | None = None
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
            if store.temporary and store.begun and not store.resume and isinstance(error, FTPError):
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

    async def _store(self, store: _Store, begun: _Begun | None = None) -> None:
        """Attempts until all bytes are on the server; *begun* is the first of them."""
        failures = 0
        end = self._deadline()
        while not store.stored:
            link: Link | None = None
            try:
                link = begun.link if begun is not None else await self._pool.acquire(self._driver)
                sending, begun = (begun.sending if begun is not None else None), None
                store.attempts += 1
                if sending is not None:
                    await self._finish_begun(link, store, sending)
                else:
                    await self._store_once(link, store)
            except FTPError as error:
                error.path = error.path or store.path
                if link is not None:
                    self._pool.release(link)
                    if not link.fresh and not store.begun and isinstance(error, ConnectionLostError):
                        continue
                if await self._work_around(store, error):
                    continue
                failures = 1 if store.headway else failures + 1
                store.headway = False
                if not self._repeatable(store) or not self._passing(error):
                    await self._hook("error", error)
                    raise
                if not await self._pause(error, failures, end):
                    await self._hook("error", error)
                    raise
                store.repeated = True
            except BaseException:
                if link is not None:
                    self._pool.discard(link)
                raise
            else:
                self._pool.release(link)

    def _repeatable(self, store: _Store) -> bool:
        """Whether sending again can do no harm."""
        if not store.begun:
            return True
        return store.source.restartable and store.verb != "APPE"

    async def _work_around(self, store: _Store, error: FTPError) -> bool:
        """Mend what a refusal is probably about: a missing directory, a name with a dot. True to try again at once."""
        if not isinstance(error, ReplyError) or not error.command.startswith(("STOR", "APPE")):
            return False
        if not store.source.restartable:
            return False
        directory = posixpath.dirname(store.path)
        if store.make_directories and directory and error.code in _MISSING_DIRECTORY:
            store.make_directories = False
            await self._make_directories(directory)
            return True
        if store.temporary and isinstance(error, PermanentError) and error.code in (550, 553, 501):
            # Perhaps only names of a certain kind are allowed, or only a file that exists.
            store.written = store.path
            return True
        return False

    async def _store_once(self, link: Link, store: _Store) -> None:
        session = link.session
        wanted = "A" if store.ascii else "I"
        if session.type != wanted:
            await session.command(f"TYPE {wanted}")
            session.type = wanted
        verb = store.verb
        store.offset = 0
        restart = 0
        if (store.repeated or store.resume) and verb == "STOR" and not store.ascii:
            store.offset = await self._stored_so_far(link, store)
            if not store.begun:
                store.resumed = store.offset
            # What was sent does not count, what arrived does.
            if store.offset >= store.furthest + HEADWAY:
                store.furthest, store.headway = store.offset, True
            if store.offset and self._profile.restart:
                restart = store.offset
            elif store.offset:
                verb = "APPE"
        if store.offset and store.offset == store.source.size:
            store.stored = True
            return
        payload = self._payload(link, store) if not restart else None
        line = f"{verb} {store.written}"
        # With a payload, bytes may be stored though the consent never comes.
        store.begun = store.begun or payload is not None
        try:
            data = await link.port.open(line, path=store.path, restart=restart, payload=payload)
        except ReplyError as error:
            if not restart:
                raise
            # REST is allowed for downloads only, here: begin again.
            if error.command.startswith("REST"):
                self._profile.refused.add("REST")
            restart = store.offset = 0
            data = await link.port.open(f"STOR {store.written}", path=store.path)
        store.begun = True
        base = store.base
        try:
            if payload is not None:
                sent = len(payload)
                if store.progress is not None:
                    store.progress.advance(sent)
            else:
                if data.final is not None:
                    raise ProtocolError("the server calls the upload complete before it began", server=session.server)
                sent = await send(
                    session,
                    data,
                    store.source,
                    base + store.offset,
                    self._rates,
                    progress=store.progress,
                    transform=ToNetworkLines() if store.ascii else None,
                )
        except (ConnectionLostError, TimedOutError) as error:
            store.transferred += max(0, error.bytes_done - base - store.offset)
            error.bytes_done = max(0, error.bytes_done - base)
            reason = await link.port.verdict(data, error)
            if reason is not None and reason.code != 421:
                reason.bytes_done = error.bytes_done
                reason.path = store.path
                raise reason from error
            raise
        except BaseException:
            link.port.abandon(data)
            raise
        store.transferred += sent
        store.offset += sent
        await link.port.finish(data, bytes_done=store.offset, path=store.path)
        if store.repeated or store.resume or sent > _SMALL:
            await self._check_stored(link, store)
        store.stored = True

    async def _finish_begun(self, link: Link, store: _Store, sending: ReadyUpload) -> None:
        """Go on with what was begun at once."""
        assert sending.payload is not None
        # Else nothing of it can be there.
        store.begun = not sending.unsent and sending.exchange.sent > 0
        data = await link.port.open_at_once(sending)
        store.begun = True
        store.offset = len(sending.payload)
        store.transferred += store.offset
        await link.port.finish(data, bytes_done=store.offset, path=store.path)
        store.renaming = await link.port.follow_up(sending)
        store.stored = True

    def _payload(self, link: Link, store: _Store) -> bytes | None:
        """The whole file, where it is small and may go out along with its command."""
        source = store.source
        if (
            isinstance(source, ChunkSource)
            or source.size is None
            or source.size > _SMALL
            or store.offset
            or store.ascii
            or link.session.compressed
            or self._rates.upload
            or not link.port.sends_ahead
        ):
            return None
        return _content(source, store.path)

    async def _stored_so_far(self, link: Link, store: _Store) -> int:
        """Bytes of the file that are on the server already; 0 where that can not be known."""
        reply = await link.session.ask(f"SIZE {store.written}")
        if reply.code != 213:
            return 0
        try:
            size = parse_size(reply.text)
        except ValueError:
            return 0
        whole = store.source.size
        return size if whole is not None and size <= whole else 0

    async def _check_stored(self, link: Link, store: _Store) -> None:
        """The server must have exactly what was sent. Raises where it says otherwise.

        A data connection that something between here and the server ended in good order looks to the server like the
        end of the file: it calls what came complete.
        """
        if store.ascii or store.verb == "APPE" or not self._profile.may_try("SIZE"):
            return
        try:
            reply = await link.session.ask(f"SIZE {store.written}")
        except (ConnectionLostError, TimedOutError):
            # What can be sent again is looked at again, for the rest the server's word must do.
            if store.source.restartable:
                raise
            return
        if reply.code in (500, 502):
            self._profile.refused.add("SIZE")
        if reply.code != 213:
            return
        try:
            size = parse_size(reply.text)
        except ValueError:
            return
        if size != store.offset:
            kind = TruncatedError if size < store.offset else VerificationError
            raise kind(f"{size} bytes there, {store.offset} here", path=store.path, bytes_done=min(size, store.offset))

    async def _put_in_place(self, store: _Store) -> None:
        """Give the uploaded file its name."""
        if store.renaming and store.renaming[1].positive:
            return
        lines = [f"RNFR {store.written}", f"RNTO {store.path}"]

        async def rename(link: Link) -> None:
            session = link.session
            before = []
            if store.mtime is not None:
                if self._profile.offers("MFMT"):
                    before = [f"MFMT {format_time(store.mtime)} {store.written}"]
                else:
                    await self._set_time_on(link, store.written, store.mtime)
            replies, store.renaming = store.renaming, ()
            if not replies:
                replies = (await link.port.ask_all([*before, *lines]))[len(before) :]
            if replies[1].positive:
                return
            if replies[0].code == 350 and store.overwrite:
                # Some systems do not rename onto a file that is there.
                removed = await session.ask(f"DELE {store.path}")
                replies = await session.ask_all(lines)
                if replies[1].positive:
                    return
                if removed.positive:
                    raise TransferError(
                        f"the file is complete but could not be given its name; it is {store.written!r}: "
                        f"{replies[1].code} {replies[1].text}",
                        server=session.server,
                        path=store.path,
                    )
            refused = replies[0] if replies[0].code != 350 else replies[1]
            raise session.refusal(refused, lines[0] if refused is replies[0] else lines[1], store.path)

        try:
            await self._run(rename, repeatable=False)
        except (UnsupportedError, PermanentError):
            if not store.source.restartable or store.resume:
                raise
            # Renaming is not allowed to this user: send it again under its own name, and remember.
            self._profile.rename = False
            await self._remove_quietly(store.written)
            store.written, store.stored, store.begun, store.repeated = store.path, False, False, False
            await self._store(store)

    async def _refuse_existing(self, path: str) -> None:
        if await self.exists(path):
            raise PermanentError(553, "the file exists already", path=path)

    async def _remove_quietly(self, path: str) -> None:
        async def remove(link: Link) -> None:
            await link.session.ask(f"DELE {path}")

        try:
            await self._run(remove)
        except FTPError:
            return

    async def _set_time(self, path: str, mtime: float) -> None:
        async def set_on(link: Link) -> None:
            await self._set_time_on(link, path, mtime)

        await self._run(set_on)

    async def _set_time_on(self, link: Link, path: str, mtime: float) -> bool:
        """MFMT (draft-somers-ftp-mfxx), or what vsftpd and mod_site_misc have instead; False where there is nothing."""
        moment = format_time(mtime)
        for verb, line in (
            ("MFMT", f"MFMT {moment} {path}"),
            ("MDTM", f"MDTM {moment} {path}"),
            ("SITE UTIME", f"SITE UTIME {moment} {path}"),
        ):
            if verb == "MFMT" and not self._profile.may_try(verb):
                continue
            if verb in self._profile.unsettable:
                continue
            reply = await link.session.ask(line)
            if reply.positive and (verb != "MDTM" or moment not in reply.text or "ok" in reply.text.lower()):
                return True
            if reply.code in (500, 501, 502, 504) or (verb == "MDTM" and reply.code == 550):
                self._profile.unsettable.add(verb)
        return False

    # Provided by the directory operations.

    async def exists(self, path: RemotePath) -> bool:
        raise NotImplementedError

    async def _make_directories(self, path: str) -> None:
        raise NotImplementedError

    async def _home(self, link: Link) -> str:
        raise NotImplementedError


def _content(source: FileSource | MemorySource, path: str) -> bytes:
    """All of a small source. Raises LocalFileError, about *path*."""
    if isinstance(source, MemorySource):
        return bytes(source.view)
    content = _read_at(source.fd, source.size, source.base) if source.size else b""
    if len(content) != source.size:
        raise LocalFileError("the file became shorter while it was being sent", path=path)
    return content


def _read_at(fd: int, size: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(fd, size, offset)
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, size)


def _beside(path: str, fixed: bool) -> str:
    directory, slash, name = path.rpartition("/")
    suffix = "" if fixed else f".{mark()}"
    return f"{directory}{slash}.{name[:_LONGEST]}{suffix}.part"


def _open_source(path: object) -> tuple[int, Source]:
    """A local file, open, and what it is: one with a size, or a pipe or device that is read to its end."""
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        fd = os.open(path, flags)  # type: ignore[arg-type]
    except OSError as error:
        raise local_error(error, "cannot read the local file") from error
    facts = os.fstat(fd)
    if stat.S_ISDIR(facts.st_mode):
        os.close(fd)
        raise local_error(IsADirectoryError(21, "Is a directory", str(path)), "cannot read the local file")
    if stat.S_ISREG(facts.st_mode):
        return fd, FileSource(fd, facts.st_size)
    return fd, ChunkSource(iter(lambda: os.read(fd, _PIECE), b""))


def _source_for(source: Any, size: int | None) -> Source:
    if is_buffer(source):
        return MemorySource(source)
    fd = seekable_descriptor(source) if hasattr(source, "fileno") else None
    if fd is not None and "b" in getattr(source, "mode", "b"):
        # Counted from where the reader of the object stands, which may be behind the descriptor's position.
        base = source.tell()
        return FileSource(fd, max(0, os.fstat(fd).st_size - base), base)
    return ChunkSource(source, size)


_UNIQUE = re.compile(r"FILE:\s*(.+?)\s*$", re.IGNORECASE | re.MULTILINE)


def _unique_name(preliminary: str, final: str) -> str:
    """The name in ``150 FILE: name`` (RFC 1123, section 4.1.2.9), or what stands for it in the last reply."""
    for text in (preliminary, final):
        if found := _UNIQUE.search(text):
            return check_path(found.group(1))
    quoted = re.search(r'"([^"]+)"', final) or re.search(r'"([^"]+)"', preliminary)
    return quoted.group(1) if quoted else ""
