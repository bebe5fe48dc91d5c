"""Directories as JSON, and searching below them."""

from __future__ import annotations

import asyncio
import fnmatch
import json
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

from aiohttp import web

from fastxfer.server import paths
from fastxfer.server.account import Account
from fastxfer.server.config import at_most
from fastxfer.server.filesystem import FileInfo, FileKind
from fastxfer.server.permissions import Permission
from fastxfer.server.web.conditions import Validators
from fastxfer.server.web.context import Visit
from fastxfer.server.web.errors import ApiError
from fastxfer.server.web.urlpath import encode_path

__all__ = ["allowed_names", "describe", "list_directory", "search_directory"]

MAX_FOUND = 1000
"""Matches that one search gives."""
SEARCH_SECONDS = 10.0
AT_ONCE = 250
"""Entries of a listing that are described in one turn of the event loop."""
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_SORTS: dict[str, Callable[[FileInfo], Any]] = {
    "name": lambda info: info.name,
    "size": lambda info: (info.size, info.name),
    "modified": lambda info: (info.mtime, info.name),
}


def describe(info: FileInfo, path: str) -> dict[str, object]:
    """One entry as clients see it."""
    return {
        "name": info.name,
        "path": path,
        "href": "/files" + encode_path(path),
        "dir": info.is_dir,
        "type": _TYPES.get(info.kind, "other"),
        "size": 0 if info.is_dir else info.size,
        "modified": _timestamp(info.mtime),
        "mode": f"{info.mode & 0o777:04o}",
        **({} if info.is_dir else {"etag": f'"{Validators(info).tag}"'}),
    }


_SINGLE = tuple(
    member for name, member in Permission.__members__.items() if member.name == name and member.value.bit_count() == 1
)
_TYPES = {FileKind.FILE: "file", FileKind.DIRECTORY: "directory", FileKind.LINK: "link"}


def allowed_names(account: Account, path: str) -> list[str]:
    """The single permissions that *account* has at *path*, by name."""
    allowed = account.permissions.at(path)
    return [permission.name.lower() for permission in _SINGLE if permission in allowed and permission.name]


async def list_directory(request: web.Request, visit: Visit, path: str) -> web.Response:
    """The entries of the directory *path*; ``sort``, ``order``, ``offset`` and ``limit`` choose among them."""
    sort = visit.value("sort", "name")
    order = visit.value("order", "asc")
    if sort not in _SORTS or order not in {"asc", "desc"}:
        raise ApiError(400, "sort must be name, size or modified, and order asc or desc")
    offset = visit.number("offset", 0)
    limit = visit.number("limit", 0)
    found = sorted(await visit.account.entries(path), key=_SORTS[sort], reverse=order == "desc")
    chosen = found[offset : offset + limit] if limit else found[offset:]
    pieces = []
    for start in range(0, len(chosen), AT_ONCE):
        entries = []
        for info in chosen[start : start + AT_ONCE]:
            where = paths.join(path, info.name)
            entries.append(describe(await _resolved(visit, info, where), where))
        pieces.append(json.dumps(entries)[1:-1])
        # A directory may be huge, and others want their turn.
        await asyncio.sleep(0)
    facts = {"total": len(found), "permissions": allowed_names(visit.account, path)}
    head, tail = f'{{"path": {json.dumps(path)}, "entries": [', f"], {json.dumps(facts)[1:]}"
    return web.Response(text=head + ", ".join(pieces) + tail, content_type="application/json")


async def search_directory(visit: Visit, path: str, term: str) -> web.Response:
    """What lies below *path* with *term* in its name, or with a name that *term* matches if it holds ``*`` or ``?``."""
    matches = _matcher(term)
    entries: list[dict[str, object]] = []
    truncated = False
    deadline = time.monotonic() + SEARCH_SECONDS
    limits = visit.shared.service.config.limits
    seen = 0
    pending = deque([(path, 0)])
    while pending and not truncated:
        directory, depth = pending.popleft()
        # Reading a local directory does not wait, but others want their turn.
        await asyncio.sleep(0)
        for info in await _entries_or_none(visit, directory, top=directory == path):
            where = paths.join(directory, info.name)
            seen += 1
            if matches(info.name):
                entries.append(describe(await _resolved(visit, info, where), where))
            if info.is_dir and depth < at_most(limits.list_depth):
                pending.append((where, depth + 1))
            if len(entries) >= MAX_FOUND or seen >= at_most(limits.list_entries) or time.monotonic() > deadline:
                truncated = True
                break
    return web.json_response(
        {
            "path": path,
            "entries": entries,
            "total": len(entries),
            "truncated": truncated,
            "permissions": allowed_names(visit.account, path),
        }
    )


def _matcher(term: str) -> Callable[[str], bool]:
    wanted = term.casefold()
    if "*" in wanted or "?" in wanted:
        return lambda name: fnmatch.fnmatchcase(name.casefold(), wanted)
    return lambda name: wanted in name.casefold()


async def _entries_or_none(visit: Visit, directory: str, *, top: bool) -> Sequence[FileInfo]:
    try:
        return await visit.account.entries(directory)
    except OSError:
        if top:
            raise
        # Vanished meanwhile, or not for this user.
        return ()


async def _resolved(visit: Visit, info: FileInfo, path: str) -> FileInfo:
    """What a link leads to, under the link's own name; the link itself where it leads nowhere."""
    if info.kind is not FileKind.LINK:
        return info
    try:
        return (await visit.account.stat(path))._replace(name=info.name)
    except OSError:
        return info


def _timestamp(mtime: float) -> str:
    try:
        moment = datetime.fromtimestamp(math.floor(mtime), timezone.utc)
    except (OverflowError, ValueError, OSError):
        moment = _EPOCH
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
