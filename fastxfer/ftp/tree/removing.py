"""Removing whole remote trees."""

from __future__ import annotations

import asyncio
import posixpath
from functools import partial

from fastxfer.core.ftpwire import Entry
from fastxfer.ftp.errors import PermanentError, TransferError
from fastxfer.ftp.file_operations import FileOperations
from fastxfer.ftp.pool import Link

__all__ = ["remove_tree"]

_BATCH = 64
_DEEPEST = 200
_ABREAST = 4


async def remove_tree(client: FileOperations, path: str, *, depth: int = 0) -> int:
    """Remove a remote directory and all that is in it: how many names were removed.

    Links are removed, never followed. Where a server lists a link as what it points to, DELE tells: it removes a link
    and refuses a directory; so it is tried before a directory is entered.
    """
    if depth > _DEEPEST:
        raise TransferError(f"directories deeper than {_DEEPEST} levels", path=path)
    entries = await client.list(path)
    removed = await _remove_entries(client, path, entries, depth)
    await client.rmdir(path)
    return removed + 1


async def _remove_entries(client: FileOperations, path: str, entries: list[Entry], depth: int) -> int:
    removed = 0
    directories: list[str] = []
    for start in range(0, len(entries), _BATCH):
        batch = entries[start : start + _BATCH]
        left = await client._run(partial(_delete_batch, path=path, batch=batch))
        directories += left
        removed += len(batch) - len(left)
    for start in range(0, len(directories), _ABREAST):
        some = directories[start : start + _ABREAST]
        removed += sum(await asyncio.gather(*(remove_tree(client, directory, depth=depth + 1) for directory in some)))
    return removed


async def _delete_batch(link: Link, *, path: str, batch: list[Entry]) -> list[str]:
    """Remove files and links with commands in one piece; the paths of what are directories."""
    session = link.session
    lines = [f"DELE {posixpath.join(path, entry.name)}" for entry in batch]
    directories = []
    refusal: PermanentError | None = None
    for entry, line, reply in zip(batch, lines, await session.ask_all(lines), strict=True):
        if reply.positive:
            continue
        if entry.type in ("dir", "unknown"):
            directories.append(posixpath.join(path, entry.name))
            continue
        error = session.refusal(reply, line, posixpath.join(path, entry.name))
        if not isinstance(error, PermanentError):
            raise error
        # What somebody else has removed meanwhile is not missed.
        refusal = refusal or error
    if refusal is not None:
        raise refusal
    return directories
