"""Entries of listings as the dictionaries of this API."""

from __future__ import annotations

import posixpath
from datetime import datetime, timezone
from typing import Any

from fastxfer.core.ftpwire import Entry

__all__ = ["info_of", "metadata_of"]


def info_of(path: str, entry: Entry) -> dict[str, Any]:
    """What ``list`` and ``search`` give: path, name, dir, size (bytes), modified (``YYYYMMDDHHMMSS``, UTC)."""
    return {
        "path": path,
        "name": entry.name,
        "dir": _is_directory(entry),
        "size": 0 if entry.size is None or _is_directory(entry) else entry.size,
        "modified": _stamp(entry.mtime),
    }


def metadata_of(path: str, entry: Entry) -> dict[str, Any]:
    """What ``metadata`` gives; what the server does not tell is an empty string."""
    return {
        "path": path,
        "name": posixpath.basename(path.rstrip("/")) or entry.name,
        "size": 0 if entry.size is None or _is_directory(entry) else entry.size,
        "type": "dir" if _is_directory(entry) else "file",
        "permissions": "" if entry.mode is None else f"{entry.mode:o}",
        "modified": _stamp(entry.mtime),
        "owner": entry.owner or "",
        "group": entry.group or "",
    }


def _is_directory(entry: Entry) -> bool:
    return entry.type in {"dir", "cdir", "pdir"}


def _stamp(mtime: float | None) -> str:
    if mtime is None:
        return ""
    try:
        return datetime.fromtimestamp(mtime, timezone.utc).strftime("%Y%m%d%H%M%S")
    except (OverflowError, ValueError, OSError):
        return ""
