"""What a user may do, and where."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from fastxfer.server.paths import ROOT, is_below, resolve

__all__ = ["Permission", "PermissionLike", "Permissions"]


class Permission(enum.Flag):
    """One kind of operation; combine with ``|``."""

    NONE = 0
    LIST = enum.auto()
    """See names and facts of entries, and enter directories."""
    READ = enum.auto()
    """Download files and compute their hashes."""
    WRITE = enum.auto()
    """Upload files under names that are not taken."""
    OVERWRITE = enum.auto()
    """Replace or resume files that exist."""
    APPEND = enum.auto()
    """Add to the end of files that exist."""
    DELETE = enum.auto()
    """Delete files and remove directories."""
    RENAME = enum.auto()
    """Rename and move, asked for at both ends."""
    MKDIR = enum.auto()
    """Make directories."""
    CHMOD = enum.auto()
    """Change mode and times, make symbolic links."""

    READ_ONLY = LIST | READ
    UPLOAD_ONLY = WRITE
    ALL = LIST | READ | WRITE | OVERWRITE | APPEND | DELETE | RENAME | MKDIR | CHMOD

    @classmethod
    def parse(cls, words: PermissionLike) -> Permission:
        """The permission that *words* name: ``"list read"``, ``["list", "read"]``, ``"read-only"``, ``"all"``.

        Raises:
            ValueError: a word is not the name of a permission.
        """
        if isinstance(words, Permission):
            return words
        result = cls.NONE
        for word in words.replace(",", " ").split() if isinstance(words, str) else words:
            name = word.upper().replace("-", "_")
            if name not in cls.__members__:
                names = ", ".join(member.lower().replace("_", "-") for member in cls.__members__)
                raise ValueError(f"unknown permission {word!r}; known are: {names}")
            result |= cls[name]
        return result


PermissionLike: TypeAlias = Permission | str | Iterable[str]
"""A :class:`Permission`, its name or names in one string, or several names."""


class Permissions:
    """Permissions by path: the longest matching directory decides.

    Args:
        default: what is allowed where no entry of *paths* matches.
        paths: directory (as the user sees it) → what is allowed at and under it.
    """

    __slots__ = ("_bits", "_rules", "default")

    def __init__(
        self, default: PermissionLike = Permission.ALL, paths: Mapping[str, PermissionLike] | None = None
    ) -> None:
        self.default = Permission.parse(default)
        rules = {resolve(ROOT, path): Permission.parse(words) for path, words in (paths or {}).items()}
        self.default = rules.pop(ROOT, self.default)
        self._rules = sorted(rules.items(), key=lambda rule: len(rule[0]), reverse=True)
        # Arithmetic of enums costs more than all the rest of a check.
        self._bits: int = self.default.value

    @property
    def vary(self) -> bool:
        """Whether they differ from path to path."""
        return bool(self._rules)

    def at(self, path: str) -> Permission:
        """All that is allowed at the virtual *path*."""
        for top, allowed in self._rules:
            if is_below(path, top):
                return allowed
        return self.default

    def allows(self, path: str, wanted: Permission) -> bool:
        """Whether everything in *wanted* is allowed at the virtual *path*."""
        bits = self.at(path)._value_ if self._rules else self._bits
        mask: int = wanted._value_
        return bits & mask == mask

    def allows_any(self, path: str, wanted: Permission) -> bool:
        """Whether anything in *wanted* is allowed at the virtual *path*."""
        bits: int = self.at(path)._value_ if self._rules else self._bits
        return bits & wanted._value_ != 0

    def allows_below(self, path: str, wanted: Permission) -> bool:
        """Whether *wanted* is allowed at *path* and nowhere under it taken away (moves and deletes of directories)."""
        return self.allows(path, wanted) and all(
            allowed & wanted == wanted for top, allowed in self._rules if is_below(top, path)
        )

    def restricted_to(self, mask: Permission) -> Permissions:
        """The same rules with everything outside *mask* taken away."""
        return Permissions(self.default & mask, {path: allowed & mask for path, allowed in self._rules})

    def __repr__(self) -> str:
        return f"Permissions({self.default!r}, {dict(self._rules)!r})"
