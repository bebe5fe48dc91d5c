"""Uploads whose names the server makes up (STOU; RFC 959, section 4.1.3)."""

from __future__ import annotations

import os
import re

from fastxfer.ftp.base import RemotePath
from fastxfer.ftp.commands import check_path
from fastxfer.ftp.endpoints import is_path
from fastxfer.ftp.moving import send
from fastxfer.ftp.pool import Link
from fastxfer.ftp.sources import open_source, source_for
from fastxfer.ftp.working_directory import WorkingDirectory

__all__ = ["UniqueUploads"]

_UNIQUE = re.compile(r"FILE:\s*(.+?)\s*$", re.IGNORECASE | re.MULTILINE)


class UniqueUploads(WorkingDirectory):
    """Uploading under names of the server."""

    async def upload_unique(self, source: object, directory: RemotePath | None = None) -> str:
        """Upload under a name that the server makes up (STOU): the name, as the server tells it."""
        where = None if directory is None else self._path(directory)
        opened, found = open_source(source) if is_path(source) else (-1, None)
        try:
            local = found or source_for(source, None)

            async def store(link: Link) -> str:
                session = link.session
                if where is not None:
                    home = await self._home(link)
                    await session.command(f"CWD {where}", where)
                try:
                    data = await link.port.open("STOU", path=where or "")
                    try:
                        await send(session, data, local, 0, self._rates)
                    except BaseException:
                        link.port.abandon(data)
                        raise
                    final = await link.port.finish(data)
                finally:
                    if where is not None and not session.broken:
                        await session.command(f"CWD {home}")
                return _unique_name(data.preliminary.text, final.text)

            return await self._run(store, repeatable=False, refusable=False)
        finally:
            if opened >= 0:
                os.close(opened)


def _unique_name(preliminary: str, final: str) -> str:
    """The name in ``150 FILE: name`` (RFC 1123, section 4.1.2.9), or what stands for it in the last reply."""
    for text in (preliminary, final):
        if found := _UNIQUE.search(text):
            return check_path(found.group(1))
    quoted = re.search(r'"([^"]+)"', final) or re.search(r'"([^"]+)"', preliminary)
    return quoted.group(1) if quoted else ""
