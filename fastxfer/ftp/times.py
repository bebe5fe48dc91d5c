"""Times of modification: asked for, and set in whichever way the server has."""

from __future__ import annotations

from fastxfer.core.ftpwire import format_time, parse_time
from fastxfer.ftp.base import ClientBase, RemotePath
from fastxfer.ftp.errors import ProtocolError, UnsupportedError
from fastxfer.ftp.pool import Link

__all__ = ["Times"]


class Times(ClientBase):
    """Files' times."""

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
