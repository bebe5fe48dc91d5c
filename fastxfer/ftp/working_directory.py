"""The directory against which relative paths are understood: the client's, and each session's."""

from __future__ import annotations

import re

from fastxfer.core.ftpwire import parse_pwd
from fastxfer.ftp.base import ClientBase, RemotePath
from fastxfer.ftp.errors import ProtocolError
from fastxfer.ftp.pool import Link

__all__ = ["WorkingDirectory"]

_QUOTED = re.compile(r'"((?:[^"]|"(?=\S))*)"(?=\s|$)')
"""A path in a 257 reply. Some servers do not double the quotes inside: the last one is what a blank follows."""


class WorkingDirectory(ClientBase):
    """Asking for it and changing it."""

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
