"""What is below a directory: all of it, or what matches a pattern."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import AsyncIterator
from typing import NamedTuple

from fastxfer.core.ftpwire import Entry
from fastxfer.ftp.base import RemotePath, log
from fastxfer.ftp.errors import PermanentError, ProtocolError, ReplyError
from fastxfer.ftp.facts import Facts

__all__ = ["Found", "Walking"]

_DEEPEST = 200


class Found(NamedTuple):
    """Something met on a walk: its path below the server's root or the login directory, and its entry."""

    path: str
    entry: Entry


class Walking(Facts):
    """Walking down trees."""

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

    async def glob(self, pattern: str) -> list[str]:
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
