"""Directories and names: listing, walking, making, removing, renaming; facts of single files."""

from __future__ import annotations

import builtins
import fnmatch
import posixpath
import re
from collections.abc import AsyncIterator
from typing import NamedTuple

from fastxfer.core.ftpwire import Entry, ListingReader, parse_mlst, parse_pwd, parse_size, parse_time
from fastxfer.ftp.base import ClientBase, RemotePath, log
from fastxfer.ftp.endpoints import MemorySink, Sink
from fastxfer.ftp.errors import (
    FTPError,
    InvalidArgumentError,
    NotFoundError,
    PermanentError,
    ProtocolError,
    ReplyError,
    UnsafeNameError,
    UnsupportedError,
)
from fastxfer.ftp.moving import pieces, receive
from fastxfer.ftp.pool import Link
from fastxfer.ftp.replies import Reply
from fastxfer.ftp.upload import UploadOperations

__all__ = ["DirectoryOperations", "Found", "safe_name"]

_PLAIN = re.compile(r"[^\s*?\[\]{}~\\-][^\s*?\[\]{}~\\]*")
"""Paths that may follow LIST: no blank, no pattern, no dash that would be taken for an option."""
_QUOTED = re.compile(r'"((?:[^"]|"(?=\S))*)"(?=\s|$)')
"""A path in a 257 reply. Some servers do not double the quotes inside: the last one is what a blank follows."""
_UNIX_OPTIONS = frozenset({"vsftpd", "proftpd", "pure-ftpd"})
_DEEPEST = 200
_FAILED_LISTING = ("failed to open directory", "no such file", "not found")


class Found(NamedTuple):
    """Something met on a walk: its path below the server's root or the login directory, and its entry."""

    path: str
    entry: Entry


def safe_name(name: str) -> bool:
    """Whether a name from a listing is a name that can be asked for, and not a way out of the directory."""
    return name not in ("", ".", "..") and not any(character in name for character in "/\0\r\n")


class DirectoryOperations(UploadOperations, ClientBase):
    """Everything about directories and names."""

    # Listing

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
            return [name for name in names if safe_name(name)]

        return await self._run(read)

    async def walk(self, path: RemotePath = "", *, strict: bool = False) -> AsyncIterator[Found]:
        """Everything below a directory, directories before what is in them, links not followed.

        Directories that can not be listed are passed over, with a warning in the log, unless *strict*.
        """
        top = self._path(path) if str(path) else self._state.directory or ""
        waiting = [(top, 0)]
        while waiting:
            where, depth = waiting.pop()
            try:
                entries = await self.list(where)
            except ReplyError as error:
                if strict or where == top:
                    raise
                log.warning("%s is left out of the walk: %s", where, error)
                continue
            below = []
            for entry in entries:
                here = posixpath.join(where, entry.name)
                yield Found(here, entry)
                if entry.type == "dir":
                    if depth >= _DEEPEST:
                        raise ProtocolError(f"directories deeper than {_DEEPEST} levels", path=here)
                    below.append((here, depth + 1))
            waiting.extend(reversed(below))

    async def glob(self, pattern: str) -> builtins.list[str]:
        """The paths that match *pattern*, sorted: ``*``, ``?``, ``[…]`` within a name, ``**`` for any directories."""
        parts = self._path(pattern).split("/")
        found = {"/" if parts[0] == "" else ""}
        for position, part in enumerate(parts):
            if not part:
                continue
            last = position == len(parts) - 1
            matched: set[str] = set()
            for base in found:
                matched |= await self._glob_part(base, part, last=last)
            found = matched
        return sorted(found)

    async def _glob_part(self, base: str, part: str, *, last: bool) -> set[str]:
        if part == "**":
            below = {base} if not last else set()
            async for path, entry in self.walk(base):
                if last or entry.type == "dir":
                    below.add(path)
            return below
        if not any(character in part for character in "*?["):
            here = posixpath.join(base, part)
            return {here} if not last or await self.exists(here) else set()
        try:
            entries = await self.list(base)
        except PermanentError:
            return set()
        return {
            posixpath.join(base, entry.name)
            for entry in entries
            if fnmatch.fnmatchcase(entry.name, part)
            and (last or entry.type in ("dir", "link", "unknown"))
            and (part.startswith(".") or not entry.name.startswith("."))
        }

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

    # Facts

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

    async def modified(self, path: RemotePath) -> float:
        """A file's time of modification, POSIX seconds (MDTM, RFC 3659)."""
        remote = self._path(path)

        async def ask(link: Link) -> float:
            reply = await link.session.command(f"MDTM {remote}", remote)
            try:
                return parse_time(reply.text)
            except ValueError as error:
                raise ProtocolError(str(error), server=link.session.server, path=remote) from error

        return await self._run(ask)

    async def set_modified(self, path: RemotePath, mtime: float) -> None:
        """Set a file's time of modification: MFMT, or MDTM or SITE UTIME where the server has only those.

        Raises UnsupportedError where it has none of them.
        """
        remote = self._path(path)

        async def change(link: Link) -> None:
            if not await self._set_time_on(link, remote, mtime):
                raise UnsupportedError(504, "the server sets no times", server=link.session.server, path=remote)

        await self._run(change)

    # Changing

    async def chmod(self, path: RemotePath, mode: int | str) -> None:
        """Set permissions (SITE CHMOD): a number such as ``0o644``, or its octal digits."""
        digits = f"{mode:o}" if isinstance(mode, int) else mode
        if not re.fullmatch(r"[0-7]{1,4}", digits):
            raise InvalidArgumentError(f"not a mode: {mode!r}")
        await self._simple(f"SITE CHMOD {digits}", path)

    async def symlink(self, target: RemotePath, path: RemotePath) -> None:
        """Make a symbolic link at *path* to *target* (SITE SYMLINK, where the server has it)."""
        text = str(target)
        if " " in text:
            raise InvalidArgumentError("SITE SYMLINK can not express a target with blanks", path=text)
        await self._simple(f"SITE SYMLINK {text}", path)

    async def mkdir(self, path: RemotePath, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Make a directory; with *parents* all that are missing above it too, and none being there is no error."""
        remote = self._path(path)
        if parents:
            await self._make_directories(remote)
            return
        try:
            await self._simple("MKD", path)
        except PermanentError:
            if not exist_ok or not await self.is_directory(path):
                raise

    async def _make_directories(self, path: str) -> None:
        """Optimistic: the lowest first, upwards only as far as needed."""

        async def make(link: Link) -> None:
            session = link.session
            missing = []
            here = path.rstrip("/")
            refusal: ReplyError | None = None
            while here:
                reply = await session.ask(f"MKD {here}")
                if reply.positive or await self._is_directory(link, here):
                    break
                refusal = session.refusal(reply, f"MKD {here}", here)
                missing.append(here)
                above = posixpath.dirname(here)
                if above == here:
                    break
                here = above
            if not here and refusal is not None and not missing:
                raise refusal
            for directory in reversed(missing):
                reply = await session.ask(f"MKD {directory}")
                # Another client may have been quicker.
                if not reply.positive and not await self._is_directory(link, directory):
                    raise session.refusal(reply, f"MKD {directory}", directory)

        await self._run(make)

    async def rmdir(self, path: RemotePath) -> None:
        """Remove an empty directory."""
        await self._simple("RMD", path, repeatable=False)

    async def remove(self, path: RemotePath, *, missing_ok: bool = False) -> None:
        """Remove a file."""
        try:
            await self._simple("DELE", path, repeatable=False)
        except PermanentError:
            if not missing_ok or await self.exists(path):
                raise

    async def rename(self, source: RemotePath, target: RemotePath) -> None:
        """Rename or move within the server. What is at *target* is replaced where the server does so."""
        old, new = self._path(source), self._path(target)

        async def change(link: Link) -> None:
            session = link.session
            first, second = await session.ask_all([f"RNFR {old}", f"RNTO {new}"])
            if first.code != 350:
                raise session.refusal(first, f"RNFR {old}", old)
            if not second.positive:
                raise session.refusal(second, f"RNTO {new}", new)

        await self._run(change, repeatable=False)

    async def _simple(self, verb: str, path: RemotePath, *, repeatable: bool = True) -> None:
        remote = self._path(path)

        async def change(link: Link) -> None:
            await link.session.command(f"{verb} {remote}", remote)

        await self._run(change, repeatable=repeatable)

    # The working directory

    async def pwd(self) -> str:
        """The client's working directory, an absolute path."""
        if self._state.directory is not None:
            return self._state.directory

        async def ask(link: Link) -> str:
            return await self._home(link)

        return await self._run(ask)

    async def chdir(self, path: RemotePath) -> str:
        """Change the working directory, against which relative paths of all operations are understood: its path."""
        remote = self._path(path)

        async def change(link: Link) -> str:
            await self._home(link)
            await link.session.command(f"CWD {remote}", remote)
            link.session.directory = remote
            try:
                return await self._ask_directory(link)
            finally:
                await self._return_home(link)

        self._state.directory = await self._run(change)
        return self._state.directory

    async def _home(self, link: Link) -> str:
        """The directory in which sessions begin."""
        if self._profile.login_directory is None:
            self._profile.login_directory = await self._ask_directory(link)
        return self._profile.login_directory

    async def _ask_directory(self, link: Link) -> str:
        """The session's working directory."""
        text = (await link.session.command("PWD")).text
        if quoted := _QUOTED.match(text):
            return quoted.group(1).replace('""', '"')
        try:
            return parse_pwd(text)
        except ValueError as error:
            raise ProtocolError(str(error), server=link.session.server) from error

    async def _return_home(self, link: Link) -> None:
        session = link.session
        if session.directory is None or session.broken:
            return
        await session.command(f"CWD {await self._home(link)}")
        session.directory = None

    # Anything else

    async def command(self, line: str) -> Reply:
        """Send any one command that opens no data connection; its final reply. Raises ReplyError on 4xx and 5xx."""

        async def ask(link: Link) -> Reply:
            return await link.session.command(line)

        return await self._run(ask, repeatable=False)

    async def noop(self) -> None:
        """Ask the server for a sign of life."""

        async def ask(link: Link) -> None:
            await link.session.command("NOOP")

        await self._run(ask)


def _proper(entries: list[Entry], where: str) -> list[Entry]:
    """Without the directory itself and its parent, and names that would lead elsewhere or that no command can hold."""
    proper = []
    for entry in entries:
        if entry.type in ("cdir", "pdir") or entry.name in (".", ".."):
            continue
        if safe_name(entry.name):
            proper.append(entry)
        else:
            log.warning("%s", UnsafeNameError(f"the listing holds the name {entry.name[:200]!r}", path=where))
    return proper


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
