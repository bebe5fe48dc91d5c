"""The entries of a directory, in whatever format the server lists them."""

from __future__ import annotations

import builtins
import re
from collections.abc import AsyncIterator

from fastxfer.core.ftpwire import Entry, ListingReader
from fastxfer.ftp.base import RemotePath, log
from fastxfer.ftp.endpoints import MemorySink, Sink
from fastxfer.ftp.errors import NotFoundError, PermanentError, UnsafeNameError, UnsupportedError
from fastxfer.ftp.moving import pieces, receive
from fastxfer.ftp.pool import Link
from fastxfer.ftp.working_directory import WorkingDirectory

__all__ = ["Listing"]

_PLAIN = re.compile(r"[^\s*?\[\]{}~\\-][^\s*?\[\]{}~\\]*")
"""Paths that may follow LIST: no blank, no pattern, no dash that would be taken for an option."""
_UNIX_OPTIONS = frozenset({"vsftpd", "proftpd", "pure-ftpd"})
_FAILED_LISTING = ("failed to open directory", "no such file", "not found")


class Listing(WorkingDirectory):
    """Listing directories."""

    async def list(self, path: RemotePath = "") -> list[Entry]:
        """The entries of a directory, without ``.`` and ``..``, in the server's order.

        Asks with MLSD (RFC 3659) where the server has it, else reads LIST in whatever format it comes. Names that
        would lead out of the directory are left out, with a warning in the log.
        """
        where = self._path(path) if str(path) else self._state.directory or ""

        async def read(link: Link) -> list[Entry]:
            sink = MemorySink(self._config.limits.body)
            reader = await self._list_into(link, where, sink)
            return _proper([*reader.feed(sink.data), *reader.finish()], where)

        return await self._run(read)

    async def iterate(self, path: RemotePath = "") -> AsyncIterator[Entry]:
        """The entries of a directory as they come, in bounded memory, for directories of any size.

        A broken listing is not begun again, since part of it was given out.
        """
        where = self._path(path) if str(path) else self._state.directory or ""
        link = await self._pool.acquire(self._driver)
        try:
            line = await self._listing_command(link, where)
            data = await link.port.open(line, path=where)
            done = False
            try:
                reader = self._listing_reader(line)
                strict = self._config.require_close_notify
                async for piece in pieces(link.session, data, self._rates, strict=strict):
                    for entry in _proper(reader.feed(piece), where):
                        yield entry
                for entry in _proper(reader.finish(), where):
                    yield entry
                done = True
            finally:
                if done:
                    await link.port.finish(data, path=where)
                else:
                    link.port.abandon(data)
        finally:
            self._pool.release(link)

    async def names(self, path: RemotePath = "") -> builtins.list[str]:
        """The names in a directory (NLST), without the directory's own path."""
        where = self._path(path) if str(path) else self._state.directory or ""

        async def read(link: Link) -> builtins.list[str]:
            sink = MemorySink(self._config.limits.body)
            try:
                await self._receive_listing(link, f"NLST {where}" if where else "NLST", where, sink)
            except PermanentError as error:
                # Some say so instead of sending an empty list.
                if "no files" in error.reply.lower():
                    return []
                raise
            reader = ListingReader("names", self._config.encoding)
            found = [*reader.feed(sink.data), *reader.finish()]
            names = (entry.name.rsplit("/", 1)[-1] for entry in found)
            return [name for name in names if _safe_name(name)]

        return await self._run(read)

    async def _list_into(self, link: Link, where: str, sink: Sink) -> ListingReader:
        line = await self._listing_command(link, where)
        try:
            await self._receive_listing(link, line, where, sink)
        except UnsupportedError as error:
            if not error.command.startswith("MLSD"):
                raise
            line = await self._listing_command(link, where)
            await self._receive_listing(link, line, where, sink)
        finally:
            await self._return_home(link)
        return self._listing_reader(line)

    def _listing_reader(self, line: str) -> ListingReader:
        return ListingReader("mlsd" if line.startswith("MLSD") else "list", self._config.encoding)

    async def _listing_command(self, link: Link, where: str) -> str:
        """The command that lists *where*; goes there first where its name can not follow LIST."""
        profile = self._profile
        if profile.machine_listing:
            return f"MLSD {where}" if where else "MLSD"
        options = " -a" if profile.kind in _UNIX_OPTIONS else ""
        if not where or _PLAIN.fullmatch(where):
            return f"LIST{options} {where}" if where else f"LIST{options}"
        await self._home(link)
        await link.session.command(f"CWD {where}", where)
        link.session.directory = where
        return f"LIST{options}"

    async def _receive_listing(self, link: Link, line: str, where: str, sink: Sink) -> None:
        data = await link.port.open(line, path=where)
        try:
            await receive(link.session, data, sink, self._rates, strict=self._config.require_close_notify)
        except BaseException:
            link.port.abandon(data)
            raise
        reply = await link.port.finish(data, path=where)
        if isinstance(sink, MemorySink) and not sink.position and line.startswith("LIST"):
            lowered = reply.text.lower()
            # With -a every directory holds at least itself and its parent.
            if line.startswith("LIST -a") or any(words in lowered for words in _FAILED_LISTING):
                raise NotFoundError(550, reply.text, server=link.session.server, command=line, path=where)


def _safe_name(name: str) -> bool:
    """Whether a name from a listing is a name that can be asked for, and not a way out of the directory."""
    return name not in ("", ".", "..") and not any(character in name for character in "/\0\r\n")


def _proper(entries: list[Entry], where: str) -> list[Entry]:
    """Without the directory itself and its parent, and names that would lead elsewhere or that no command can hold."""
    proper = []
    for entry in entries:
        if entry.type in ("cdir", "pdir") or entry.name in (".", ".."):
            continue
        if _safe_name(entry.name):
            proper.append(entry)
        else:
            log.warning("%s", UnsafeNameError(f"the listing holds the name {entry.name[:200]!r}", path=where))
    return proper
