"""Trees between two local directories: the same tools as between a local directory and an FTP server."""

from __future__ import annotations

import filecmp
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fastxfer.cli.urls.local_place import copy_file
from fastxfer.cli.urls.place import Moving
from fastxfer.ftp import Filter, Item, TreeReport
from fastxfer.ftp.tree.local_side import lies_in

OnItem = Callable[[Item], object]
TOLERANCE = 2.0
"""Seconds by which times may differ and still be the same: what some file systems round to."""


class Tally:
    """Gathers items into a report and shows them to whoever wants to see each."""

    def __init__(self, on_item: OnItem, *, dry_run: bool = False) -> None:
        self.report = TreeReport(dry_run=dry_run)
        self._on_item = on_item
        self._begun = time.monotonic()

    def add(self, item: Item) -> None:
        if item.ok:
            self.report.actions[item.action] += 1
            self.report.bytes += item.size if item.action == "copy" else 0
        else:
            self.report.failed += 1
            self.report.failures.append(item)
        self.report.seconds = time.monotonic() - self._begun
        self._on_item(item)


def sync_local(
    source: str,
    target: str,
    *,
    compare: str,
    on_item: OnItem,
    delete: bool = False,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    dry_run: bool = False,
    follow_links: bool = False,
    preserve_time: bool = True,
    keep_going: bool = True,
) -> TreeReport:
    """Make the directory *target* like *source*. Links are left alone unless they are followed.

    After a failure nothing is deleted: what could not be seen in *source* may be there.

    Raises:
        ValueError: one of the directories lies in the other.
    """
    _check_apart(source, target)
    wanted = Filter(include, exclude)
    tally = Tally(on_item, dry_run=dry_run)

    def unreadable(error: OSError) -> None:
        tally.add(Item("list", os.fspath(error.filename), target, ok=False, is_directory=True, error=error))
        if not keep_going:
            raise error

    how = Moving(preserve=preserve_time, make_directories=True)
    for relative, is_directory in walk(source, wanted, unreadable, follow_links=follow_links):
        old, new = os.path.join(source, relative), os.path.join(target, relative)
        try:
            if is_directory:
                if not os.path.isdir(new):
                    if not dry_run:
                        os.makedirs(new)
                    tally.add(Item("mkdir", old, new, is_directory=True))
            elif not needed(old, new, compare):
                tally.add(Item("skip", old, new, reason="the same"))
            else:
                size = os.stat(old).st_size if dry_run else copy_file(Path(old), Path(new), how).size
                tally.add(Item("copy", old, new, size=size))
        except OSError as error:
            tally.add(Item("copy", old, new, ok=False, error=error))
            if not keep_going:
                raise
    if delete and not tally.report.failed:
        _delete_extra(source, target, wanted, tally, dry_run=dry_run)
    return tally.report


def _delete_extra(source: str, target: str, wanted: Filter, tally: Tally, *, dry_run: bool) -> None:
    def unreadable(error: OSError) -> None:
        tally.add(Item("list", source, os.fspath(error.filename), ok=False, is_directory=True, error=error))

    for relative, is_directory in list(walk(target, wanted, unreadable, follow_links=False, files_first=True)):
        old, new = os.path.join(source, relative), os.path.join(target, relative)
        if os.path.lexists(old) or not os.path.lexists(new):
            continue
        try:
            if not dry_run:
                shutil.rmtree(new) if is_directory else os.unlink(new)
            tally.add(Item("delete", old, new, is_directory=is_directory))
        except OSError as error:
            tally.add(Item("delete", old, new, ok=False, error=error))


def verify_local(
    source: str,
    target: str,
    *,
    checksum: bool,
    on_item: OnItem,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
) -> TreeReport:
    """Compare two directories, or two files, by size, and by content with *checksum*."""
    tally = Tally(on_item)
    if os.path.isfile(source):
        _compare(source, target, checksum, tally)
        return tally.report
    wanted = Filter(include, exclude)

    def unreadable(error: OSError) -> None:
        tally.add(Item("list", os.fspath(error.filename), target, ok=False, is_directory=True, error=error))

    for relative, is_directory in walk(source, wanted, unreadable, follow_links=True):
        old, new = os.path.join(source, relative), os.path.join(target, relative)
        if not is_directory or not os.path.isdir(new):
            _compare(old, new, checksum, tally)
    for relative, is_directory in walk(target, wanted, unreadable, follow_links=True):
        old, new = os.path.join(source, relative), os.path.join(target, relative)
        if not os.path.lexists(old):
            tally.add(Item("extra", old, new, ok=False, is_directory=is_directory, reason="only there"))
    return tally.report


def _compare(old: str, new: str, checksum: bool, tally: Tally) -> None:
    if not os.path.lexists(new):
        tally.add(Item("missing", old, new, ok=False, reason="not there"))
    elif not os.path.isfile(new) or not os.path.isfile(old) or os.path.getsize(old) != os.path.getsize(new):
        tally.add(Item("differ", old, new, ok=False, reason="another size or type"))
    elif checksum and not filecmp.cmp(old, new, shallow=False):
        tally.add(Item("differ", old, new, ok=False, reason="different content"))
    else:
        tally.add(Item("match", old, new, size=os.path.getsize(old)))


def needed(source: str, target: str, compare: str) -> bool:
    """Whether a file is to be copied, by the name of the comparison."""
    if not os.path.exists(target) or compare == "always":
        return True
    old, new = os.stat(source), os.stat(target)
    other_size = old.st_size != new.st_size
    newer = old.st_mtime > new.st_mtime + TOLERANCE
    rules: dict[str, Callable[[], bool]] = {
        "newer": lambda: other_size or newer,
        "exact": lambda: other_size or abs(old.st_mtime - new.st_mtime) > TOLERANCE,
        "size": lambda: other_size,
        "newer-only": lambda: newer,
        "checksum": lambda: other_size or not filecmp.cmp(source, target, shallow=False),
    }
    return rules[compare]()


def walk(
    root: str, wanted: Filter, unreadable: Callable[[OSError], None], *, follow_links: bool, files_first: bool = False
) -> Iterator[tuple[str, bool]]:
    """Relative paths of what is meant below *root*, and whether it is a directory. OSError where *root* is none.

    A directory below it that cannot be read is told to *unreadable*. Links to directories they lie in lead nowhere.
    """
    os.scandir(root).close()
    for folder, folders, names in os.walk(root, onerror=unreadable, followlinks=follow_links):
        below = os.path.relpath(folder, root)
        prefix = "" if below == "." else below + os.sep
        folders[:] = sorted(
            name
            for name in folders
            if wanted.takes(_slashes(prefix + name), is_directory=True)
            and (not os.path.islink(path := os.path.join(folder, name)) or (follow_links and not lies_in(folder, path)))
        )
        entries = [(prefix + name, True) for name in folders]
        files = [
            (prefix + name, False)
            for name in sorted(names)
            if wanted.takes(_slashes(prefix + name), is_directory=False)
            and (follow_links or not os.path.islink(os.path.join(folder, name)))
        ]
        yield from files + entries if files_first else entries + files


def _check_apart(source: str, target: str) -> None:
    if lies_in(target, source) or lies_in(source, target):
        raise ValueError(f"{source} and {target}: one of the directories lies in the other")


def _slashes(path: str) -> str:
    return path.replace(os.sep, "/")
