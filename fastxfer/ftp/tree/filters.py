"""Which files of a tree are meant: patterns to include and to exclude."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fastxfer.ftp.errors import InvalidArgumentError

__all__ = ["Filter", "pattern_to_regex"]


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
        for regex, by_path, directories_only in self._exclude:
            if (is_directory or not directories_only) and regex.fullmatch(path if by_path else name):
                return False
        if is_directory or not self._include:
            return True
        return any(
            regex.fullmatch(path if by_path else name)
            for regex, by_path, directories_only in self._include
            if not directories_only
        )


def _each(patterns: Iterable[str]) -> list[str]:
    if isinstance(patterns, str):
        return [patterns]
    return list(patterns)


def _compile(pattern: str) -> tuple[re.Pattern[str], bool, bool]:
    if not pattern.strip("/"):
        raise InvalidArgumentError(f"an empty pattern: {pattern!r}")
    directories_only = pattern.endswith("/")
    body = pattern.strip("/") if directories_only else pattern.lstrip("/")
    by_path = "/" in body or pattern.startswith("/")
    return re.compile(pattern_to_regex(body)), by_path, directories_only


def pattern_to_regex(pattern: str) -> str:
    """A shell pattern as a regular expression that runs in linear time on any path."""
    out = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            if pattern.startswith("*", position):
                while pattern.startswith("*", position):
                    position += 1
                if pattern.startswith("/", position):
                    position += 1
                    out.append("(?:.*/)?")
                else:
                    out.append(".*")
            else:
                out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "[" and (end := pattern.find("]", position + 1)) > 0:
            body = pattern[position:end].replace("\\", "\\\\")
            position = end + 1
            out.append(f"[^{body[1:]}]" if body[:1] in ("!", "^") else f"[{body}]")
        else:
            out.append(re.escape(character))
    return "(?s:" + "".join(out) + ")"
