"""Listings as our server writes them: the part of ``fastxfer._pure.ftpwire`` that formats LIST, MLSD and NLST."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from fastxfer._pure.ftpreplies import format_time

FACTS = (
    "type",
    "size",
    "modify",
    "perm",
    "unique",
    "unix.mode",
    "unix.owner",
    "unix.group",
    "unix.uid",
    "unix.gid",
)
DEFAULT_FACTS = ("type", "size", "modify", "perm")
FILE_PERM = "adfrw"
DIR_PERM = "cdeflmp"
RECENT = 15778476  # half a year, seconds

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_KINDS = {
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
    stat.S_IFREG: "-",
    stat.S_IFCHR: "c",
    stat.S_IFBLK: "b",
    stat.S_IFIFO: "p",
    stat.S_IFSOCK: "s",
}
_LATEST = 253402300799  # 9999-12-31 23:59:59
_EARLIEST = -62135596800  # year 1


class ListItem(NamedTuple):
    """See ``fastxfer._ext.ftpwire.ListItem``."""

    name: str
    mode: int
    size: int
    mtime: float
    nlink: int = 1
    owner: str = "ftp"
    group: str = "ftp"
    target: str | None = None
    perm: str | None = None
    unique: str | None = None


def is_listable(name: str | bytes) -> bool:
    encoded = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
    return bool(encoded) and not _CONTROL.search(encoded)


def format_list(items: Iterable[tuple[object, ...]], now: float | None = None) -> bytes:
    moment = time.time() if now is None else now
    return b"".join(list_line(item, moment) for item in _listable(items))


def format_mlsd(
    items: Iterable[tuple[object, ...]],
    facts: Sequence[str] = DEFAULT_FACTS,
    file_perm: str = FILE_PERM,
    dir_perm: str = DIR_PERM,
) -> bytes:
    wanted = check_facts(facts)
    return b"".join(mlsd_line(item, wanted, file_perm, dir_perm) for item in _listable(items))


def format_names(names: Iterable[str]) -> bytes:
    return b"".join(_encode(name) + b"\r\n" for name in names if is_listable(name))


def check_facts(facts: Sequence[str]) -> tuple[str, ...]:
    for fact in facts:
        if fact not in FACTS:
            raise ValueError(f"unknown fact {fact!r}: it is one of {', '.join(FACTS)}")
    return tuple(facts)


def list_line(item: ListItem, now: float) -> bytes:
    moment = time.gmtime(_clamp(item.mtime))
    recent = now - RECENT < item.mtime <= now
    clock = f"{moment.tm_hour:02d}:{moment.tm_min:02d}" if recent else f" {moment.tm_year:04d}"
    name = item.name
    if stat.S_ISLNK(item.mode) and item.target is not None and is_listable(item.target):
        name = f"{name} -> {item.target}"
    line = (
        f"{_KINDS.get(stat.S_IFMT(item.mode), '?')}{_permissions(item.mode)} {item.nlink:3d} "
        f"{word(item.owner):<8} {word(item.group):<8} {item.size:12d} "
        f"{_MONTHS[moment.tm_mon - 1]} {moment.tm_mday:2d} {clock} {name}\r\n"
    )
    return _encode(line)


def mlsd_line(item: ListItem, facts: tuple[str, ...], file_perm: str, dir_perm: str) -> bytes:
    directory = stat.S_ISDIR(item.mode)
    written = []
    for fact in facts:
        if fact == "type":
            written.append(f"type={_fact_type(item.mode)}")
        elif fact == "size":
            written.append("" if directory else f"size={item.size}")
        elif fact == "modify":
            written.append(f"modify={format_time(item.mtime)}")
        elif fact == "perm":
            perm = (dir_perm if directory else file_perm) if item.perm is None else item.perm
            written.append(f"perm={perm}")
        elif fact == "unique":
            written.append("" if item.unique is None else f"unique={item.unique}")
        elif fact == "unix.mode":
            written.append(f"UNIX.mode={item.mode & 0o7777:04o}")
        elif fact in ("unix.owner", "unix.uid"):
            written.append(f"UNIX.{fact[5:]}={word(item.owner)}")
        else:
            written.append(f"UNIX.{fact[5:]}={word(item.group)}")
    return _encode("".join(f"{fact};" for fact in written if fact) + f" {item.name}\r\n")


class DirectoryLister(Iterator[bytes]):
    """See ``fastxfer._ext.ftpwire.DirectoryLister``."""

    def __init__(
        self,
        directory: int | str,
        format: str,
        *,
        facts: Sequence[str] = DEFAULT_FACTS,
        file_perm: str = FILE_PERM,
        dir_perm: str = DIR_PERM,
        owner: str | None = "ftp",
        group: str | None = "ftp",
        now: float | None = None,
        hidden: bool = True,
        links: str = "show",
        sort: bool = False,
        max_entries: int = -1,
        chunk: int = 65536,
        omitted: str = "",
        prefix: str = "",
    ) -> None:
        if format not in ("list", "mlsd", "nlst"):
            raise ValueError(f"unknown listing format {format!r}: it is one of list, mlsd, nlst")
        if links not in ("show", "follow", "hide"):
            raise ValueError(f"links {links!r} is none of show, follow, hide")
        if prefix and format != "nlst":
            raise ValueError(f"only names have a prefix, not lines of {format}")
        if chunk < 1:
            raise ValueError(f"chunk {chunk} is less than 1")
        self._format = format
        self._facts = check_facts(facts)
        self._perms = (file_perm, dir_perm)
        self._owner = owner
        self._group = group
        self._now = time.time() if now is None else float(now)
        self._hidden = hidden
        self._links = links
        self._left = max_entries
        self._chunk = chunk
        self._omitted = omitted
        self._prefix = _encode(prefix)
        self.entries = 0
        self.skipped = 0
        self._scan: Iterator[os.DirEntry[str]] | None = None
        self._directory = directory
        self._opened = contextlib.ExitStack()
        with contextlib.ExitStack() as opened:
            if isinstance(directory, int):
                # Opened anew, so that the caller may close the descriptor and keeps its position.
                self._directory = os.open(".", os.O_RDONLY, dir_fd=directory)
                opened.callback(os.close, self._directory)
            self._scan = opened.enter_context(os.scandir(self._directory))
            if sort:
                self._scan = iter(sorted(self._scan, key=lambda entry: _encode(entry.name)))
            self._opened = opened.pop_all()

    def __iter__(self) -> DirectoryLister:
        return self

    def __next__(self) -> bytes:
        piece = bytearray()
        while self._scan is not None and len(piece) < self._chunk:
            entry = next(self._scan, None) if self._left else None
            if entry is None:
                self.close()
                break
            line = self._line(entry)
            if line:
                piece += line
                self.entries += 1
                self._left -= 1
        if not piece:
            raise StopIteration
        return bytes(piece)

    def close(self) -> None:
        self._scan = None
        self._opened.close()

    def __del__(self) -> None:
        if getattr(self, "_scan", None) is not None:
            self.close()

    def _line(self, entry: os.DirEntry[str]) -> bytes:
        if not self._hidden and entry.name.startswith("."):
            return b""
        if self._omitted and entry.name.endswith(self._omitted):
            return b""
        if not is_listable(entry.name):
            self.skipped += 1
            return b""
        try:
            if self._links == "hide" and entry.is_symlink():
                return b""
            if self._format == "nlst":
                return self._prefix + _encode(entry.name) + b"\r\n"
            return self._status_line(entry)
        except FileNotFoundError:
            return b""

    def _status_line(self, entry: os.DirEntry[str]) -> bytes:
        status = entry.stat(follow_symlinks=False)
        target = None
        if stat.S_ISLNK(status.st_mode):
            if self._links == "follow":
                with contextlib.suppress(OSError):
                    status = entry.stat()
            if stat.S_ISLNK(status.st_mode) and self._format == "list":
                target = self._target(entry)
        item = ListItem(
            entry.name,
            status.st_mode,
            status.st_size,
            status.st_mtime_ns // 1_000_000_000,
            status.st_nlink,
            str(status.st_uid) if self._owner is None else self._owner,
            str(status.st_gid) if self._group is None else self._group,
            target,
            None,
            f"{status.st_dev:x}g{status.st_ino:x}",
        )
        if self._format == "list":
            return list_line(item, self._now)
        return mlsd_line(item, self._facts, *self._perms)

    def _target(self, entry: os.DirEntry[str]) -> str | None:
        try:
            # Where a descriptor is scanned, the entry's path is its bare name.
            return os.readlink(entry.path, dir_fd=self._directory if isinstance(self._directory, int) else None)
        except OSError:
            return None


def _listable(items: Iterable[tuple[object, ...]]) -> Iterator[ListItem]:
    for fields in items:
        item = ListItem(*fields)  # type: ignore[arg-type]
        if not isinstance(item.name, str):
            raise TypeError(f"a name is a str, not {type(item.name).__name__}")
        if is_listable(item.name):
            yield item


def _permissions(mode: int) -> str:
    return stat.filemode(mode & 0o7777)[1:]


def _fact_type(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "dir"
    if stat.S_ISREG(mode):
        return "file"
    return "OS.unix=symlink" if stat.S_ISLNK(mode) else "OS.unix=other"


def word(text: str) -> str:
    """*text* as a column or fact of its own: nothing in it may end it early."""
    if text.isalnum():
        return text
    return re.sub(r"[\x00-\x20\x7f;]", "_", text) or "_"


def _clamp(mtime: float) -> float:
    return min(max(mtime, _EARLIEST), _LATEST) // 1


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
