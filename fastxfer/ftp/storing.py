"""The attempts of an upload: until all bytes are on the server, under whatever name."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from fastxfer.core.ftpwire import parse_size
from fastxfer.core.transforms import ToNetworkLines
from fastxfer.ftp.base import HEADWAY
from fastxfer.ftp.data_connection import DataConnection
from fastxfer.ftp.directory import DirectoryOperations
from fastxfer.ftp.endpoints import ChunkSource, Source
from fastxfer.ftp.errors import (
    ConnectionLostError,
    FTPError,
    PermanentError,
    ProtocolError,
    ReplyError,
    TimedOutError,
    TruncatedError,
    VerificationError,
)
from fastxfer.ftp.moving import send
from fastxfer.ftp.pool import Link
from fastxfer.ftp.ready_transfer import ReadyUpload
from fastxfer.ftp.replies import Reply
from fastxfer.ftp.sources import content_of
from fastxfer.net.progress import Progress

__all__ = ["SMALL", "Begun", "Store", "Storing"]

SMALL = 32768
"""Bytes that any socket takes at once."""
_MISSING_DIRECTORY = frozenset({550, 553, 450, 451})


@dataclass
class Store:
    """An upload under way, over all its attempts.

    Attributes:
        path: the remote file.
        written: the name that it is stored under; it may get *path* in the end.
        source: where its bytes come from.
        verb: STOR or APPE.
        ascii: under TYPE A.
        overwrite: a file that is there may be replaced.
        resume: go on with what is there at the first attempt, too.
        make_directories: missing ones are made; False once that was tried.
        progress: who follows it.
        mtime: the time that the remote file is to get, POSIX seconds.
        base: where in its source's file it begins.
        offset: bytes, counted from *base*, that are on the server as far as this attempt knows.
        counted: bytes that *progress* had counted before the upload; None until that is known.
        resumed: bytes that were there before.
        transferred: bytes that were sent in all attempts.
        attempts: how many there were.
        stored: all bytes are on the server.
        begun: some may be there.
        furthest: how far it had got when it was last found to have got further.
        headway: it has got further since the last failure.
        repeated: this is not the first attempt.
        renaming: replies to RNFR and RNTO, where those went out with the upload.
    """

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
    counted: int | None = None
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
class Begun:
    """An upload begun at once that did not take its course."""

    link: Link
    sending: ReadyUpload


class Storing(DirectoryOperations):
    """Storing bytes."""

    async def _store(self, store: Store, begun: Begun | None = None) -> None:
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

    def _repeatable(self, store: Store) -> bool:
        """Whether sending again can do no harm."""
        if not store.begun:
            return True
        return store.source.restartable and store.verb != "APPE"

    async def _work_around(self, store: Store, error: FTPError) -> bool:
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

    async def _store_once(self, link: Link, store: Store) -> None:
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
            self._count(store)
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
        self._count(store)
        base = store.base
        try:
            if payload is not None:
                sent = len(payload)
                self._check_consent(link, data)
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
            await self._give_up(link, store, data)
            raise
        store.transferred += sent
        store.offset += sent
        await link.port.finish(data, bytes_done=store.offset, path=store.path)
        if store.repeated or store.resume or sent > SMALL:
            await self._check_stored(link, store)
        store.stored = True

    def _count(self, store: Store) -> None:
        """An attempt begins at ``store.offset``: what an earlier one sent and the server has not is not progress."""
        store.resumed = min(store.resumed, store.offset)
        progress = store.progress
        if progress is None:
            return
        if progress.total is None and store.source.size is not None:
            progress.total = store.source.size - store.resumed
        if store.counted is None:
            store.counted = progress.transferred
        progress.advance(store.counted + store.offset - store.resumed - progress.transferred)

    async def _give_up(self, link: Link, store: Store, data: DataConnection) -> None:
        """The upload is ended from here: cancelled, or its source failed."""
        if store.resume:
            link.port.abandon(data)
        elif store.temporary:
            store.begun = not await link.port.take_back(data, store.written)
        else:
            data.reset()
            link.port.abandon(data)

    async def _finish_begun(self, link: Link, store: Store, sending: ReadyUpload) -> None:
        """Go on with what was begun at once."""
        assert sending.payload is not None
        # Else nothing of it can be there.
        store.begun = not sending.unsent and sending.exchange.sent > 0
        data = await link.port.open_at_once(sending)
        store.begun = True
        try:
            self._check_consent(link, data)
        except BaseException:
            link.port.abandon(data)
            raise
        store.offset = len(sending.payload)
        store.transferred += store.offset
        await link.port.finish(data, bytes_done=store.offset, path=store.path)
        store.renaming = await link.port.follow_up(sending)
        store.stored = True

    def _check_consent(self, link: Link, data: DataConnection) -> None:
        """A verdict on what was sent along with its command comes after the consent, if the server knows consent."""
        if data.final is not None and self._profile.consenting:
            raise ProtocolError("the server calls the upload complete before it began", server=link.session.server)

    def _payload(self, link: Link, store: Store) -> bytes | None:
        """The whole file, where it is small and may go out along with its command."""
        source = store.source
        if (
            isinstance(source, ChunkSource)
            or source.size is None
            or source.size > SMALL
            or store.offset
            or store.ascii
            or link.session.compressed
            or self._rates.upload
            or not link.port.sends_ahead
        ):
            return None
        return content_of(source, store.path)

    async def _stored_so_far(self, link: Link, store: Store) -> int:
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

    async def _check_stored(self, link: Link, store: Store) -> None:
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
