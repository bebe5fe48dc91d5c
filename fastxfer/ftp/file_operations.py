"""All that takes one session at a time: with down- and uploads, names and listings, copies and single commands."""

from __future__ import annotations

import tempfile

from fastxfer.ftp.base import RemotePath
from fastxfer.ftp.download import DownloadOperations
from fastxfer.ftp.errors import InvalidArgumentError
from fastxfer.ftp.pool import Link
from fastxfer.ftp.replies import Reply
from fastxfer.ftp.upload import UploadOperations

__all__ = ["FileOperations"]

_IN_MEMORY = 8 << 20


class FileOperations(DownloadOperations, UploadOperations):
    """All operations that take one session at a time; blocking and asyncio clients share them."""

    async def copy(self, source: RemotePath, target: RemotePath) -> None:
        """Copy a file on the server: by the server itself where it can (SITE CPFR and CPTO), else down and up again."""
        old, new = self._path(source), self._path(target)
        if old == new:
            raise InvalidArgumentError("a file can not be copied onto itself", path=old)
        if not await self._copied_there(old, new):
            with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as middle:
                await self.download(old, middle)
                middle.seek(0)
                await self.upload(middle, new)

    async def _copied_there(self, old: str, new: str) -> bool:
        """Whether the server made the copy. Raises where it could not for want of the file or of leave."""

        async def ask(link: Link) -> bool:
            session = link.session
            if "SITE CPFR" in self._profile.refused:
                return False
            reply = await session.ask(f"SITE CPFR {old}")
            if reply.code in (500, 501, 502, 504):
                self._profile.refused.add("SITE CPFR")
                return False
            if reply.code != 350:
                raise session.refusal(reply, f"SITE CPFR {old}", old)
            await session.command(f"SITE CPTO {new}", new)
            return True

        return await self._run(ask)

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
