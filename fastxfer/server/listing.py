"""Listings: what LIST, NLST, MLSD and STAT show."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from fastxfer.core.ftpwire import DirectoryLister, format_list, format_mlsd, format_names
from fastxfer.server import paths
from fastxfer.server.account import Account
from fastxfer.server.config import at_most
from fastxfer.server.filesystem import FileInfo, FileKind
from fastxfer.server.permissions import Permission

if TYPE_CHECKING:
    from fastxfer.server.session import Session

__all__ = ["CHUNK", "ListOptions", "Listing", "expand", "has_glob", "item_of", "parse_options", "perm_facts"]

CHUNK = 65536
"""Bytes of a piece of a listing, about; a shorter one is the last."""
_GLOB = re.compile(r"[*?\[]")
_OPTIONS = re.compile(r"-[aAbcCdfFgGhHiIklLmnopqQrRsStTuUxX1]+$")
"""A word of options of ``ls``; anything else that begins with a dash is a name."""
MAX_STARS = 8
"""Wildcards in one pattern."""
_TYPES = {
    FileKind.FILE: stat.S_IFREG,
    FileKind.DIRECTORY: stat.S_IFDIR,
    FileKind.LINK: stat.S_IFLNK,
    FileKind.OTHER: stat.S_IFSOCK,
}


class ListOptions(NamedTuple):
    """The options of ``ls`` that LIST and NLST understand; others are accepted and mean nothing."""

    recursive: bool = False
    by_time: bool = False
    by_size: bool = False
    reverse: bool = False
    itself: bool = False
    """List a directory itself and not what is in it."""

    @property
    def plain(self) -> bool:
        """Whether none of them changes what comes out."""
        return not any(self)


_NO_OPTIONS = ListOptions()


def parse_options(argument: str) -> tuple[ListOptions, str]:
    """Split ``-laR path`` into options and path; ``--`` ends the options."""
    if not argument.startswith("-"):
        return _NO_OPTIONS, argument
    letters = ""
    rest = argument
    while rest.startswith("-"):
        word, _, after = rest.partition(" ")
        if word == "--":
            rest = after
            break
        if not _OPTIONS.match(word):
            break
        letters += word[1:]
        rest = after.lstrip(" ")
    return ListOptions("R" in letters, "t" in letters, "S" in letters, "r" in letters, "d" in letters), rest


def item_of(info: FileInfo, name: str | None = None, perm: str | None = None) -> tuple[object, ...]:
    """*info* as the formatting functions take it, under another *name* if one is given.

    Accounts of the machine are nobody's business: every file is shown as owned by ``ftp``.
    """
    return (
        info.name if name is None else name,
        info.mode | _TYPES[info.kind],
        info.size,
        info.mtime,
        info.links,
        "ftp",
        "ftp",
        info.target or None,
        perm,
        info.unique or None,
    )


def perm_facts(account: Account, path: str) -> tuple[str, str]:
    """The ``perm`` fact of files and of directories at *path* (RFC 3659 section 7.5.5)."""
    return _facts_of(account.permissions.at(path))


_FACTS_OF: dict[int, tuple[str, str]] = {}


def _facts_of(allowed: Permission) -> tuple[str, str]:
    # Hashing a member of an enum is a call of a Python function.
    bits: int = allowed._value_
    known = _FACTS_OF.get(bits)
    if known is None:
        of_files = (
            ("a", Permission.APPEND),
            ("d", Permission.DELETE),
            ("f", Permission.RENAME),
            ("r", Permission.READ),
            ("w", Permission.OVERWRITE),
        )
        of_directories = (
            ("c", Permission.WRITE),
            ("d", Permission.DELETE),
            ("e", Permission.LIST),
            ("f", Permission.RENAME),
            ("l", Permission.LIST),
            ("m", Permission.MKDIR),
            ("p", Permission.DELETE),
        )
        known = _FACTS_OF[bits] = (
            "".join(letter for letter, wanted in of_files if allowed & wanted),
            "".join(letter for letter, wanted in of_directories if allowed & wanted),
        )
    return known


def has_glob(path: str) -> bool:
    """Whether *path* holds wildcards."""
    return _GLOB.search(path) is not None


async def expand(account: Account, pattern: str, limit: int) -> list[tuple[str, FileInfo]]:
    """The entries that the absolute *pattern* matches, at most *limit*, looked at or found; sorted.

    Names beginning with a dot are matched only by a pattern that begins so too.
    """
    parts = pattern.strip("/").split("/")
    if sum(part.count("*") for part in parts) > MAX_STARS:
        raise OSError(22, "Too many wildcards", pattern)
    found: list[tuple[str, FileInfo | None]] = [(paths.ROOT, None)]
    budget = limit
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if not has_glob(part):
            found = [(paths.join(directory, part), None) for directory, _ in found]
            continue
        match = re.compile(fnmatch.translate(part)).match
        matched: list[tuple[str, FileInfo | None]] = []
        for directory, _ in found:
            if budget <= 0:
                break
            try:
                entries = await account.entries(directory)
            except OSError:
                continue
            for entry in entries:
                budget -= 1
                if budget < 0:
                    break
                hidden = entry.name.startswith(".") and not part.startswith(".")
                if not hidden and match(entry.name) and (last or entry.kind is FileKind.DIRECTORY):
                    matched.append((paths.join(directory, entry.name), entry))
        found = matched
    result = []
    for path, info in sorted(found, key=lambda entry: entry[0]):
        if info is None:
            try:
                info = await account.stat(path, follow=False)
            except OSError:
                continue
        result.append((path, info))
    return result


class Listing:
    """What is to be sent: pieces of text, whole lines each.

    Args:
        session: who asks.
        kind: ``list``, ``nlst`` or ``mlsd``.
    """

    def __init__(self, session: Session, kind: str) -> None:
        self._session = session
        self._account = session.account
        self._kind = kind
        self._limits = session.config.limits

    async def of_directory(self, path: str, argument: str = "") -> Iterator[bytes]:
        """The entries of the directory *path*, natively where that can be. NLST names them as seen from *argument*."""
        lister = self.of_local_directory(path, argument)
        if lister is None:
            return iter([self._format_in(argument, await self._account.entries(path), path)])
        return lister

    def of_local_directory(self, path: str, argument: str = "") -> DirectoryLister | None:
        """As :meth:`of_directory`, where the directory is one of the machine's; else None."""
        account = self._account
        descriptor = account.open_directory(path)
        if descriptor < 0:
            return None
        try:
            file_perm, dir_perm = perm_facts(account, path)
            return DirectoryLister(
                descriptor,
                self._kind,
                facts=self._session.facts,
                file_perm=file_perm,
                dir_perm=dir_perm,
                max_entries=-1 if self._kind == "mlsd" else at_most(self._limits.list_entries),
                chunk=CHUNK,
                # Unfinished uploads.
                omitted=account.filesystem.hidden_suffix,
                prefix=self._prefix(argument),
            )
        finally:
            os.close(descriptor)

    async def of_argument(self, argument: str, options: ListOptions) -> AsyncIterator[bytes] | Iterator[bytes]:
        """What LIST or NLST with *argument* (the options taken off) shows. OSError if there is nothing of the name."""
        account = self._account
        path = self._session.path(argument)
        if has_glob(argument):
            account.require(path, Permission.NONE)
            matches = await expand(account, path, at_most(self._limits.list_entries))
            if matches:
                return iter([self.format([info for _, info in matches], path, names=_relative(argument, matches))])
        account.require(path, Permission.LIST)
        info = await account.filesystem.stat(path)
        if not info.is_dir or options.itself:
            shown = info if path == paths.ROOT else await account.filesystem.stat(path, follow=False)
            return iter([self.format([shown], path, names=[argument or "."])])
        if options.plain:
            return await self.of_directory(path, argument)
        if options.recursive:
            return self._recursive(path, options)
        return iter([self._format_in(argument, _ordered(await account.entries(path), options), path)])

    async def _recursive(self, top: str, options: ListOptions) -> AsyncIterator[bytes]:
        budget = at_most(self._limits.list_entries)
        stack = [(top, ".", 0)]
        first = True
        while stack and budget > 0:
            path, label, depth = stack.pop()
            try:
                entries = _ordered(await self._account.entries(path), options)[:budget]
            except OSError:
                continue
            budget -= len(entries)
            heading = ("" if first else "\r\n") + label + ":\r\n"
            first = False
            yield os.fsencode(heading) + self.format(entries, path)
            if depth < at_most(self._limits.list_depth):
                stack.extend(
                    (paths.join(path, entry.name), f"{label}/{entry.name}", depth + 1)
                    for entry in reversed(entries)
                    if entry.is_dir and entry.name.isprintable()
                )

    def _prefix(self, argument: str) -> str:
        """What makes a name in the directory *argument* one that other commands take (RFC 1123 section 4.1.2.7)."""
        if self._kind != "nlst" or argument in ("", "."):
            return ""
        return argument if argument.endswith("/") else f"{argument}/"

    def _format_in(self, argument: str, entries: Iterable[FileInfo], path: str) -> bytes:
        """Lines for *entries* of the directory that the client calls *argument*."""
        entries = list(entries)
        prefix = self._prefix(argument)
        return self.format(entries, path, [prefix + entry.name for entry in entries] if prefix else None)

    def format(self, entries: Iterable[FileInfo], path: str, names: Sequence[str] | None = None) -> bytes:
        """Lines for *entries*, shown under *names* if given."""
        entries = list(entries)
        labels: Sequence[str | None] = names if names is not None else [None] * len(entries)
        if self._kind == "nlst":
            return format_names([label or entry.name for entry, label in zip(entries, labels, strict=True)])
        items = [item_of(entry, label) for entry, label in zip(entries, labels, strict=True)]
        if self._kind == "list":
            return format_list(items)
        file_perm, dir_perm = perm_facts(self._account, path)
        return format_mlsd(items, self._session.facts, file_perm, dir_perm)


def _relative(argument: str, matches: Sequence[tuple[str, FileInfo]]) -> list[str]:
    """Matches named as the client named them: with as many components as its argument has."""
    absolute = argument.startswith("/")
    count = len([part for part in argument.split("/") if part not in ("", ".")])
    return [path if absolute else "/".join(path.split("/")[-count:]) for path, _ in matches]


def _ordered(entries: Sequence[FileInfo], options: ListOptions) -> list[FileInfo]:
    if options.by_time:
        result = sorted(entries, key=lambda entry: -entry.mtime)
    elif options.by_size:
        result = sorted(entries, key=lambda entry: -entry.size)
    else:
        result = sorted(entries, key=lambda entry: entry.name)
    return result[::-1] if options.reverse else result
