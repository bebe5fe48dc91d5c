"""The local side of a tree: scanned a directory at a time, and kept from being left."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from dataclasses import dataclass

from fastxfer.ftp.endpoints import local_error
from fastxfer.ftp.errors import UnsafeNameError

__all__ = ["LocalEntry", "child_path", "lies_in", "remove_local", "scan"]

_WINDOWS = os.name == "nt"
_NOWHERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""What links say that lead to nothing, or to themselves."""
_RESERVED = frozenset(
    {"CON", "PRN", "AUX", "NUL", *(f"COM{n}" for n in range(1, 10)), *(f"LPT{n}" for n in range(1, 10))}
)


@dataclass(frozen=True)
class LocalEntry:
    """One name in a local directory. *kind*: ``file``, ``dir``, ``link`` (not followed) or ``other``."""

    name: str
    kind: str
    size: int
    mtime: float


def scan(directory: str, follow_links: bool) -> dict[str, LocalEntry]:
    """The entries of a local directory by name. Raises LocalFileError.

    A link to a directory that holds *directory* stays a link: following it would never end. So does one to nowhere.
    """
    found = {}
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_symlink() and not follow_links:
                    found[entry.name] = LocalEntry(entry.name, "link", 0, 0.0)
                    continue
                try:
                    info = entry.stat()
                except OSError as error:
                    if entry.is_symlink() and error.errno in _NOWHERE:
                        found[entry.name] = LocalEntry(entry.name, "link", 0, 0.0)
                    elif not isinstance(error, FileNotFoundError):
                        raise
                    # Else it is gone meanwhile.
                    continue
                kind = "dir" if stat.S_ISDIR(info.st_mode) else "file" if stat.S_ISREG(info.st_mode) else "other"
                if kind == "dir" and entry.is_symlink() and lies_in(directory, entry.path):
                    kind = "link"
                found[entry.name] = LocalEntry(entry.name, kind, info.st_size, info.st_mtime)
    except OSError as error:
        raise local_error(error, "cannot list the local directory") from error
    return found


def lies_in(path: str, directory: str) -> bool:
    """Whether *path* is *directory* or below it, wherever links lead."""
    inner, outer = os.path.realpath(path), os.path.realpath(directory)
    return inner == outer or inner.startswith(os.path.join(outer, ""))


def child_path(directory: str, name: str) -> str:
    """The path of *name* within *directory*. Raises UnsafeNameError where a server's name would mean another place."""
    unsafe = name in ("", ".", "..") or "/" in name or "\0" in name
    if _WINDOWS and not unsafe:
        stem = name.partition(".")[0].upper()
        unsafe = stem in _RESERVED or any(character in name for character in '\\:*?"<>|')
    if unsafe:
        raise UnsafeNameError(f"the name {name[:200]!r} would lead out of {directory!r}")
    return os.path.join(directory, name)


def remove_local(path: str) -> None:
    """Remove a file, a link (not what it points to) or a whole directory."""
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except OSError as error:
        raise local_error(error, "cannot remove locally") from error


def make_local_directory(path: str) -> None:
    """Make a directory that is a real one: a link in its place is not followed."""
    try:
        if os.path.islink(path):
            raise UnsafeNameError(f"{path!r} is a link; what belongs below it would land elsewhere")
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise local_error(error, "cannot make the local directory") from error
