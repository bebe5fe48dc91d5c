"""The files and directories below a directory, one after the other, for archives."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from fastxfer.server import paths
from fastxfer.server.filesystem import FileInfo, FileKind
from fastxfer.server.permissions import Permission
from fastxfer.server.web.context import Visit

__all__ = ["Found", "walk"]

MAX_DEPTH = 100


@dataclass(frozen=True)
class Found:
    """One entry of the walk."""

    path: str
    name: str
    """Relative to the top, with slashes; a directory's ends with one."""
    info: FileInfo
    readable: bool
    """False for what the user may not read: it is named, not packed."""


async def walk(visit: Visit, top: str, names: Sequence[str] = ()) -> AsyncIterator[Found]:
    """All below *top* that the user may see, or only what *names* choose among its entries, directories before their
    content. Links to files are packed as files, links to directories not at all: they could lead in a circle. Of the
    *names*, those that are not there come last, as not readable.

    Raises:
        OSError: *top* itself cannot be listed, or nothing of *names* is there. A directory below it that cannot be
            listed is left out as not readable.
    """
    chosen = frozenset(names)
    entries = [info for info in await visit.account.entries(top) if not chosen or info.name in chosen]
    missing = chosen.difference(info.name for info in entries)
    if missing and not entries:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), top)
    pending = [(top, "", info) for info in sorted(entries, key=_by_name, reverse=True)]
    while pending:
        directory, prefix, info = pending.pop()
        path = paths.join(directory, info.name)
        name = prefix + info.name
        # Reading a local directory does not wait, but others want their turn.
        await asyncio.sleep(0)
        if info.kind is FileKind.LINK:
            try:
                info = (await visit.account.stat(path))._replace(name=info.name)
            except OSError:
                continue
            if info.is_dir:
                continue
        if info.is_dir:
            children = await _children(visit, path) if name.count("/") < MAX_DEPTH else None
            yield Found(path, name + "/", info, children is not None)
            pending += [(path, name + "/", child) for child in sorted(children or (), key=_by_name, reverse=True)]
        elif info.is_file:
            yield Found(path, name, info, visit.account.allows(path, Permission.READ))
    for name in sorted(missing):
        yield Found(paths.join(top, name), name, FileInfo(name, FileKind.FILE, 0, 0.0), readable=False)


async def _children(visit: Visit, path: str) -> Sequence[FileInfo] | None:
    try:
        return await visit.account.entries(path)
    except FileNotFoundError:
        return ()
    except OSError:
        return None


def _by_name(info: FileInfo) -> str:
    return info.name
