"""Copies that need no bytes here where the server can make them itself."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator

from fastxfer.ftp.base import RemotePath
from fastxfer.ftp.download import DownloadOperations
from fastxfer.ftp.errors import InvalidArgumentError
from fastxfer.ftp.moving import pieces
from fastxfer.ftp.pool import Link
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
