"""Which files of a tree are meant: patterns to include and to exclude."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence

from fastxfer.ftp.errors import InvalidArgumentError

__all__ = ["Filter", "PathPattern"]


class PathPattern:
    """A shell pattern for a whole path: ``*``, ``?``, ``[…]`` within a name, ``**`` for any number of directories.

    The names are matched one after the other, so that no pattern takes more than its length times the path's.
    """

    def __init__(self, pattern: str) -> None:
        parts = [part for part in pattern.split("/") if part]
        if parts and parts[-1] == "**":
            # What is in it, not the directory itself.
            parts.append("*")
        self._parts = [None if part == "**" else re.compile(fnmatch.translate(part)) for part in parts]

    def matches(self, path: str) -> bool:
        """Whether the relative *path* is meant."""
        reached = self._past_stars({0})
        for name in path.split("/"):
            after = set()
            for position in reached:
                if position == len(self._parts):
                    continue
                part = self._parts[position]
                if part is None:
                    after.add(position)
                elif part.match(name):
                    after.add(position + 1)
            reached = self._past_stars(after)
        return len(self._parts) in reached

    def _past_stars(self, positions: set[int]) -> set[int]:
        reached = set()
        for position in positions:
            reached.add(position)
            while position < len(self._parts) and self._parts[position] is None:
                position += 1
                reached.add(position)
        return reached


class Filter:
    """Decides by relative path.

    A pattern without ``/`` is matched against the name, one with ``/`` against the path below the top (a leading ``/``
    is understood). ``*`` and ``?`` stay within a name, ``**`` crosses directories, ``[…]`` are sets. A pattern that
    ends in ``/`` means directories only.

    Args:
        include: where given, only files that match one of these. Directories are entered whatever their name.
        exclude: files and directories that match one of these are left alone: not moved, not deleted, not entered.
    """

    def __init__(self, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> None:
        self._include = [_compile(pattern) for pattern in _each(include)]
        self._exclude = [_compile(pattern) for pattern in _each(exclude)]

    def takes(self, path: str, *, is_directory: bool) -> bool:
        """Whether the file or directory at relative *path* (with ``/``) is meant."""
        name = path.rsplit("/", 1)[-1]
        for pattern, by_path, directories_only in self._exclude:
            if (is_directory or not directories_only) and pattern.matches(path if by_path else name):
                return False
        if is_directory or not self._include:
            return True
        return any(
            pattern.matches(path if by_path else name)
            for pattern, by_path, directories_only in self._include
            if not directories_only
        )


def _each(patterns: Iterable[str]) -> Sequence[str]:
    if isinstance(patterns, str):
        return [patterns]
    return list(patterns)


def _compile(pattern: str) -> tuple[PathPattern, bool, bool]:
    body = pattern.strip("/")
    if not body:
        raise InvalidArgumentError(f"an empty pattern: {pattern!r}")
    return PathPattern(body), "/" in body or pattern.startswith("/"), pattern.endswith("/")
