"""Names and their directories: making, removing, renaming, permissions, links."""

from __future__ import annotations

import posixpath
import re

from fastxfer.ftp.base import RemotePath
from fastxfer.ftp.errors import InvalidArgumentError, PermanentError, ReplyError
from fastxfer.ftp.pool import Link
from fastxfer.ftp.times import Times
from fastxfer.ftp.walking import Walking

__all__ = ["DirectoryOperations"]


class DirectoryOperations(Walking, Times):
    """Changing names and directories."""

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
        """Make a directory; with *parents* all that are missing above it, too.

        One that is there already is an error, unless *parents* or *exist_ok*.
        """
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
