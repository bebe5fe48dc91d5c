"""Virtual paths: what a client calls a file, always absolute, always normalised, never a path of the machine.

A virtual path is a ``str`` that begins with ``/`` and has neither empty components nor ``.`` nor ``..``. Bytes that
are not UTF-8 are carried as surrogate escapes (PEP 383), as :func:`os.fsdecode` does.
"""

from __future__ import annotations

import errno
import re

__all__ = ["ROOT", "basename", "is_below", "join", "parent", "resolve", "rewrite"]

ROOT = "/"
MAX_PATH = 4096
"""Longest virtual path accepted, characters (Linux PATH_MAX)."""

_NOT_PLAIN = re.compile(r"[\x00\r\n]|//|/\.\.?(?:/|$)")


def resolve(cwd: str, argument: str) -> str:
    """The virtual path that *argument* names seen from *cwd*.

    ``..`` is taken lexically and stops at the root; a backslash is an ordinary character.

    Raises:
        OSError: EINVAL for NUL, CR or LF in the path, ENAMETOOLONG for one longer than :data:`MAX_PATH`.
    """
    if argument.startswith("/"):
        path = argument
    elif not argument:
        return cwd
    else:
        path = f"{cwd}/{argument}" if cwd != ROOT else f"/{argument}"
    if len(path) > MAX_PATH:
        raise OSError(errno.ENAMETOOLONG, "Path too long")
    if not _NOT_PLAIN.search(path):
        return path[:-1] if len(path) > 1 and path.endswith("/") else path
    if "\0" in path or "\r" in path or "\n" in path:
        raise OSError(errno.EINVAL, "Control character in path")
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part and part != ".":
            parts.append(part)
    return "/" + "/".join(parts)


def join(directory: str, name: str) -> str:
    """The path of *name* in *directory*."""
    return f"/{name}" if directory == ROOT else f"{directory}/{name}"


def parent(path: str) -> str:
    """The directory that holds *path*; the root is its own."""
    return path.rpartition("/")[0] or ROOT


def basename(path: str) -> str:
    """The last component; empty for the root."""
    return path.rpartition("/")[2]


def is_below(path: str, top: str) -> bool:
    """Whether *path* is *top* or lies under it, compared by whole components."""
    return top in (ROOT, path) or path.startswith(top + "/")


def rewrite(path: str, top: str) -> str:
    """*path*, given relative to *top*, as a path of the tree that holds *top*."""
    if top == ROOT:
        return path
    return top if path == ROOT else top + path
