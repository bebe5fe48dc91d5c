"""Facts of single files and directories: whether they are there, their kind, size and time."""

from __future__ import annotations

import posixpath

from fastxfer.core.ftpwire import Entry, parse_mlst, parse_size, parse_time
from fastxfer.ftp.base import RemotePath
from fastxfer.ftp.endpoints import MemorySink
from fastxfer.ftp.errors import FTPError, NotFoundError, PermanentError, ProtocolError, ReplyError
from fastxfer.ftp.listing import Listing
from fastxfer.ftp.pool import Link
from fastxfer.ftp.replies import Reply

__all__ = ["Facts"]


class Facts(Listing):
    """Asking for facts."""

    async def stat(self, path: RemotePath) -> Entry:
        """The facts of one file or directory. Raises NotFoundError (or PermanentError) where there is none.

        Asks with MLST, else with SIZE, MDTM and CWD, which tell less.
        """
        remote = self._path(path)

        async def ask(link: Link) -> Entry:
            session = link.session
            if self._profile.machine_listing and "MLST" not in self._profile.refused:
                reply = await session.ask(f"MLST {remote}")
                if reply.positive:
                    return _mlst_entry(reply, remote)
                if reply.code not in (500, 501, 502):
                    raise _gone(session.refusal(reply, f"MLST {remote}", remote))
                self._profile.refused.add("MLST")
            return await self._stat_by_parts(link, remote)

        return await self._run(ask)

    async def _stat_by_parts(self, link: Link, remote: str) -> Entry:
        session = link.session
        name = posixpath.basename(remote.rstrip("/")) or remote
        size, modified = await session.ask_all([f"SIZE {remote}", f"MDTM {remote}"])
        mtime = None
        try:
            if modified.code == 213:
                mtime = parse_time(modified.text)
            if size.code == 213:
                # Some servers give directories a size too, but then no time.
                kind = "dir" if modified.code != 213 and await self._is_directory(link, remote) else "file"
                return Entry(name, kind, parse_size(size.text), mtime)
        except ValueError as error:
            raise ProtocolError(str(error), server=session.server, path=remote) from error
        if await self._is_directory(link, remote):
            return Entry(name, "dir", None, mtime)
        if size.code in (500, 502):
            return await self._stat_by_listing(link, remote, name)
        raise _gone(session.refusal(size, f"SIZE {remote}", remote))

    async def _stat_by_listing(self, link: Link, remote: str, name: str) -> Entry:
        """The last resort: look for the name in its directory."""
        sink = MemorySink(self._config.limits.body)
        reader = await self._list_into(link, posixpath.dirname(remote.rstrip("/")), sink)
        for entry in [*reader.feed(sink.data), *reader.finish()]:
            if entry.name == name:
                return entry
        raise NotFoundError(550, "not in its directory's listing", server=link.session.server, path=remote)

    async def _is_directory(self, link: Link, remote: str) -> bool:
        session = link.session
        home = await self._home(link)
        there, _ = await session.ask_all([f"CWD {remote}", f"CWD {home}"])
        return there.positive

    async def exists(self, path: RemotePath) -> bool:
        """Whether there is a file or directory of that name."""
        try:
            await self.stat(path)
        except PermanentError as error:
            if error.code in (530, 532):
                raise
            return False
        return True

    async def is_directory(self, path: RemotePath) -> bool:
        """Whether there is a directory of that name."""
        try:
            return (await self.stat(path)).type in ("dir", "cdir", "pdir")
        except PermanentError:
            return False


def _mlst_entry(reply: Reply, remote: str) -> Entry:
    try:
        found = parse_mlst(reply.lines)
    except ValueError as error:
        raise ProtocolError(str(error), command=f"MLST {remote}", path=remote) from error
    # Servers answer with the path as it was asked for, the whole path, or the name.
    name = posixpath.basename(remote.rstrip("/")) or remote
    return Entry(
        name,
        "dir" if found.type in ("cdir", "pdir") else found.type,
        found.size,
        found.mtime,
        found.mode,
        found.owner,
        found.group,
        found.target,
        found.facts,
    )


def _gone(error: ReplyError) -> FTPError:
    """A refusal to tell of a path mostly means that there is none."""
    if error.code in (550, 553, 450) and not isinstance(error, NotFoundError) and "denied" not in error.reply.lower():
        return NotFoundError(550, error.reply, server=error.server, command=error.command, path=error.path)
    return error
