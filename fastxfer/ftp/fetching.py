"""The attempts of a download: until all bytes are here, wherever they go."""

from __future__ import annotations

from dataclasses import dataclass

from fastxfer.core.ftpwire import parse_size, parse_time
from fastxfer.core.transforms import FromNetworkLines, Transform
from fastxfer.ftp.base import HEADWAY, ClientBase
from fastxfer.ftp.commands import announced_size
from fastxfer.ftp.data_connection import DataConnection
from fastxfer.ftp.endpoints import Sink
from fastxfer.ftp.errors import (
    ConnectionLostError,
    FTPError,
    TimedOutError,
    TruncatedError,
    UnsupportedError,
    VerificationError,
)
from fastxfer.ftp.moving import receive
from fastxfer.ftp.pool import Link
from fastxfer.ftp.ready_transfer import SMALL, ReadyDownload
from fastxfer.ftp.replies import Reply
from fastxfer.net.progress import Progress

__all__ = ["Begun", "Fetch", "Fetching"]


@dataclass
class Fetch:
    """A download under way, over all its attempts.

    Attributes:
        path: the remote file.
        sink: where its bytes go.
        origin: where the byte at *offset* is, or would be, in the sink.
        offset: byte of the remote file that the download begins at.
        want_time: MDTM is asked for, as SIZE is.
        ascii: under TYPE A.
        progress: who follows it.
        size: bytes of the remote file, as far as anything tells.
        sized: SIZE has told, and not a listing or the reply to RETR.
        mtime: the remote file's time, POSIX seconds.
        transferred: bytes that came in all attempts, those that were begun anew included.
        attempts: how many there were.
    """

    path: str
    sink: Sink
    origin: int
    offset: int
    want_time: bool
    ascii: bool
    progress: Progress | None
    size: int | None = None
    sized: bool = False
    mtime: float | None = None
    transferred: int = 0
    attempts: int = 0

    @property
    def position(self) -> int:
        """Where in the remote file the next byte comes from."""
        return self.offset + self.sink.position - self.origin

    @property
    def transform(self) -> Transform | None:
        return FromNetworkLines() if self.ascii else None


@dataclass
class Begun:
    """A download begun at once that did not take its course."""

    link: Link
    asked: ReadyDownload


class Fetching(ClientBase):
    """Fetching bytes."""

    async def _fetch(self, fetch: Fetch, begun: Begun | None = None) -> None:
        """Attempts until the sink is full; *begun* is the first of them."""
        failures = 0
        end = self._deadline()
        while True:
            link: Link | None = None
            before = fetch.sink.position
            try:
                link = begun.link if begun is not None else await self._pool.acquire(self._driver)
                asked, begun = (begun.asked if begun is not None else None), None
                fetch.attempts += 1
                await self._receive_once(link, fetch, asked)
            except FTPError as error:
                moved = fetch.sink.position - before
                fetch.transferred += max(0, moved)
                error.path = error.path or fetch.path
                if link is not None:
                    self._pool.release(link)
                    if not link.fresh and not moved and isinstance(error, ConnectionLostError):
                        continue
                failures = 1 if moved >= HEADWAY and fetch.size is not None else failures + 1
                if not self._passing(error) or not await self._pause(error, failures, end):
                    await self._hook("error", error)
                    raise
                if not self._can_go_on(fetch):
                    raise
            except BaseException:
                if link is not None:
                    self._pool.discard(link)
                raise
            else:
                fetch.transferred += max(0, fetch.sink.position - before)
                self._pool.release(link)
                return

    def _can_go_on(self, fetch: Fetch) -> bool:
        """Whether another attempt can complete the sink; empties it where it has to begin again."""
        if fetch.position == fetch.offset:
            return True
        if self._profile.restart and not fetch.ascii:
            return True
        if not fetch.sink.restartable:
            return False
        self._begin_again(fetch)
        return True

    def _begin_again(self, fetch: Fetch) -> None:
        if not fetch.sink.restartable:
            raise TruncatedError(
                "the remote file changed while it was being read", path=fetch.path, bytes_done=fetch.position
            )
        if fetch.progress is not None:
            fetch.progress.advance(fetch.origin - fetch.sink.position)
        fetch.sink.reset()
        fetch.origin = fetch.sink.position

    async def _receive_once(self, link: Link, fetch: Fetch, asked: ReadyDownload | None = None) -> None:
        session = link.session
        going_on = fetch.position > fetch.offset
        before = self._questions(link, fetch) if asked is None else asked.before
        if going_on and before:
            # The answers decide whether there is anything to go on with.
            self._note(fetch, before, await session.ask_all(before), going_on)
            before = []
            if fetch.size is not None and fetch.position == fetch.size:
                return
        line = f"RETR {fetch.path}"
        try:
            if asked is not None:
                data = await link.port.open_at_once(asked)
            else:
                data = await link.port.open(
                    line, path=fetch.path, before=before, restart=fetch.position, small=self._small(fetch)
                )
        except UnsupportedError as error:
            if not error.command.startswith("REST") or fetch.position == fetch.offset:
                raise
            self._begin_again(fetch)
            data = await link.port.open(line, path=fetch.path)
        self._settle_type(link, before, data)
        try:
            self._note(fetch, before, data.before, going_on)
            start = fetch.position
            self._note_announced(fetch, data.preliminary, start)
            await receive(
                session,
                data,
                fetch.sink,
                self._rates,
                progress=fetch.progress,
                transform=fetch.transform,
                most=None if fetch.size is None else max(1, fetch.size - start),
                strict=self._config.require_close_notify and fetch.size is None,
            )
        except (ConnectionLostError, TimedOutError) as error:
            reason = await link.port.verdict(data, error)
            if reason is not None and reason.code != 421:
                reason.bytes_done = fetch.position
                reason.path = fetch.path
                raise reason from error
            raise
        except BaseException:
            link.port.abandon(data)
            raise
        short = fetch.size is not None and fetch.position < fetch.size
        try:
            await link.port.finish(data, bytes_done=fetch.position, path=fetch.path, short=short)
        except TimedOutError as error:
            if not short:
                raise
            raise _truncated(fetch, "and no word more") from error
        self._check_size(fetch)

    def _small(self, fetch: Fetch) -> bool:
        """Whether the file may be short enough to come along with the replies."""
        return not fetch.ascii and not self._rates.download and (fetch.size is None or fetch.size <= SMALL)

    def _questions(self, link: Link, fetch: Fetch) -> list[str]:
        """Commands that go ahead of the transfer in the same piece, and cost no round trip of their own."""
        wanted = "A" if fetch.ascii else "I"
        questions = [] if link.session.type == wanted else [f"TYPE {wanted}"]
        known = fetch.size is not None and fetch.attempts == 1 and not fetch.want_time
        if not fetch.ascii and not known and self._profile.may_try("SIZE"):
            questions.append(f"SIZE {fetch.path}")
        if fetch.want_time and self._profile.may_try("MDTM"):
            questions.append(f"MDTM {fetch.path}")
        return questions

    def _settle_type(self, link: Link, before: list[str], data: DataConnection) -> None:
        for line, reply in zip(before, data.before, strict=True):
            if line.startswith("TYPE "):
                if not reply.positive:
                    link.port.abandon(data)
                    raise link.session.refusal(reply, line)
                link.session.type = line[5:]

    def _note(self, fetch: Fetch, lines: list[str], replies: list[Reply], going_on: bool) -> None:
        """Take in what the server says of the file; begin again where it is not the file begun with."""
        changed = False
        for line, reply in zip(lines, replies, strict=True):
            verb = line[:4]
            if reply.code in (500, 502):
                self._profile.refused.add(verb)
            if reply.code != 213:
                continue
            try:
                if verb == "SIZE":
                    size = parse_size(reply.text)
                    changed |= going_on and fetch.size is not None and size != fetch.size
                    fetch.size, fetch.sized = size, True
                else:
                    mtime = parse_time(reply.text)
                    changed |= going_on and fetch.mtime is not None and mtime != fetch.mtime
                    fetch.mtime = mtime
            except ValueError:
                continue
        if going_on and (changed or (fetch.size is not None and fetch.position > fetch.size)):
            self._begin_again(fetch)
        if fetch.progress is not None and fetch.progress.total is None and fetch.size is not None:
            fetch.progress.total = max(0, fetch.size - fetch.position)

    def _note_announced(self, fetch: Fetch, reply: Reply, start: int) -> None:
        """Where SIZE is not to be had, the 150 reply may tell how much comes."""
        if fetch.size is None and not fetch.ascii and not start and (announced := announced_size(reply)) is not None:
            fetch.size = announced

    def _check_size(self, fetch: Fetch) -> None:
        if fetch.size is None:
            return
        if fetch.position < fetch.size:
            raise _truncated(fetch, "and called it complete")
        if fetch.position > max(fetch.size, fetch.offset):
            if not fetch.sized:
                raise TruncatedError(
                    "the file is longer than in the listing: it has changed", path=fetch.path, bytes_done=fetch.position
                )
            raise VerificationError(
                f"the server sent {fetch.position} bytes of a file of {fetch.size}",
                path=fetch.path,
                bytes_done=fetch.position,
            )


def _truncated(fetch: Fetch, then: str) -> TruncatedError:
    return TruncatedError(
        f"the server sent {fetch.position} of {fetch.size} bytes {then}", path=fetch.path, bytes_done=fetch.position
    )
