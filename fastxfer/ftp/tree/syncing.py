"""Making one tree like another, a directory at a time."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastxfer.core.ftpwire import Entry
from fastxfer.ftp.errors import (
    FTPError,
    InvalidArgumentError,
    LocalFileError,
    NotFoundError,
    TransferError,
    UnsafeNameError,
)
from fastxfer.ftp.file_operations import FileOperations
from fastxfer.ftp.tree.comparing import exact_times, same_content
from fastxfer.ftp.tree.filters import Filter
from fastxfer.ftp.tree.local_side import LocalEntry, child_path, make_local_directory, remove_local, scan
from fastxfer.ftp.tree.removing import remove_tree
from fastxfer.ftp.tree.report import Item, Recorder
from fastxfer.ftp.tree.workers import Workers

if TYPE_CHECKING:
    from fastxfer.ftp.tree.journal import Journal

__all__ = ["COMPARISONS", "DIRECTIONS", "SyncOptions", "Synchronizer"]

COMPARISONS = ("newer", "exact", "size", "newer-only", "checksum", "always")
DIRECTIONS = ("up", "down", "both")
_DEEPEST = 200


@dataclass(frozen=True)
class SyncOptions:
    """What is to be done; see :meth:`AsyncClient.sync`."""

    direction: str
    compare: str = "newer"
    tolerance: float = 2.0
    delete: bool = False
    dry_run: bool = False
    follow_links: bool = False
    preserve_time: bool = True
    keep_going: bool = True

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS:
            raise InvalidArgumentError(f"direction is one of {', '.join(DIRECTIONS)}, not {self.direction!r}")
        if self.compare not in COMPARISONS:
            raise InvalidArgumentError(f"compare is one of {', '.join(COMPARISONS)}, not {self.compare!r}")
        if self.direction == "both" and self.delete:
            raise InvalidArgumentError("in both directions nothing can be known to be superfluous")


@dataclass(frozen=True)
class _Directory:
    """One directory to be dealt with, on both sides."""

    path: str
    local: str
    remote: str
    local_exists: bool
    remote_exists: bool
    depth: int


class Synchronizer:
    """One run of sync or mirror.

    Memory holds one directory of both sides, the directories still to be visited, and the jobs of the workers.
    """

    def __init__(
        self,
        client: FileOperations,
        local: str,
        remote: str,
        options: SyncOptions,
        wanted: Filter,
        recorder: Recorder,
        journal: Journal | None,
        parallel: int,
    ) -> None:
        self._client = client
        self._local = local
        self._remote = remote
        self._options = options
        self._wanted = wanted
        self._recorder = recorder
        self._journal = journal
        self._parallel = parallel
        self._twins: set[str] = set()

    async def run(self) -> None:
        """Do it. Raises FTPError where the top directories can not be had, and for any failure unless going on."""
        top = await self._top()
        async with Workers(self._parallel) as workers:
            waiting = [top]
            while waiting:
                directory = waiting.pop()
                try:
                    below = await self._visit(directory, workers)
                except FTPError as error:
                    if directory is top:
                        raise
                    self._failed("skip", directory.local, directory.remote, error, is_directory=True)
                    continue
                waiting.extend(reversed(below))

    async def _top(self) -> _Directory:
        options = self._options
        local_exists = os.path.isdir(self._local)
        if options.direction == "up" and not local_exists:
            raise LocalFileError(f"there is no local directory {self._local!r}")
        if os.path.lexists(self._local) and not local_exists:
            raise LocalFileError(f"{self._local!r} is not a directory")
        remote_exists = self._remote in ("", "/") or await self._client.is_directory(self._remote)
        if options.direction == "down" and not remote_exists:
            raise NotFoundError(550, "there is no such remote directory", path=self._remote)
        if not options.dry_run:
            if not local_exists and options.direction != "up":
                await self._client._driver.call(make_local_directory, self._local)
                local_exists = True
            if not remote_exists and options.direction != "down":
                await self._client.mkdir(self._remote, parents=True)
                # Nothing is in it: not worth a listing.
        return _Directory("", self._local, self._remote, local_exists, remote_exists, 0)

    # One directory

    async def _visit(self, directory: _Directory, workers: Workers) -> list[_Directory]:
        """Hand the files of a directory to the workers; the directories below it."""
        if directory.depth > _DEEPEST:
            raise TransferError(f"directories deeper than {_DEEPEST} levels", path=directory.remote)
        options = self._options
        local: dict[str, LocalEntry] = {}
        remote: dict[str, Entry] = {}
        if directory.local_exists:
            local = await self._client._driver.call(scan, directory.local, options.follow_links)
        if directory.remote_exists:
            remote = {entry.name: entry for entry in await self._client.list(directory.remote)}
            remote = await self._refine_times(directory, local, remote)
        below: list[_Directory] = []
        for name in self._in_order(local, remote):
            path = f"{directory.path}/{name}" if directory.path else name
            ours, theirs = local.get(name), remote.get(name)
            is_directory = (ours is not None and ours.kind == "dir") or (theirs is not None and theirs.type == "dir")
            if not self._wanted.takes(path, is_directory=is_directory):
                continue
            try:
                child = _Child(
                    path, child_path(directory.local, name), posixpath.join(directory.remote, name), ours, theirs
                )
            except UnsafeNameError as error:
                self._failed("skip", directory.local, posixpath.join(directory.remote, name), error)
                continue
            found = await self._pair(child, directory.depth, workers)
            if found is not None:
                below.append(found)
        return below

    def _in_order(self, local: Iterable[str], remote: Iterable[str]) -> list[str]:
        """The names on either side; first those to be removed that differ from one to come in nothing but their case.

        Where the target's file system takes the two for one, what has come would be removed.
        """
        ours, theirs = set(local), set(remote)
        coming = {name.casefold() for name in (ours if self._options.direction == "up" else theirs)}
        self._twins = set()
        if self._options.delete:
            going = theirs - ours if self._options.direction == "up" else ours - theirs
            self._twins = {name for name in going if name.casefold() in coming}
        return sorted(self._twins) + sorted((ours | theirs) - self._twins)

    async def _refine_times(
        self, directory: _Directory, local: dict[str, LocalEntry], remote: dict[str, Entry]
    ) -> dict[str, Entry]:
        """LIST tells times by the minute or the day, in a zone unknown: ask MDTM where a time is to be compared."""
        # What is noted now must be what is asked when a run that was broken off is begun again.
        noted = self._journal is not None and self._options.direction != "up"
        both_ways = self._options.direction == "both"
        if self._options.compare in ("size", "checksum", "always") and not noted and not both_ways:
            return remote
        by_time_alone = self._options.compare == "newer-only" or both_ways
        doubtful = [
            entry
            for entry in remote.values()
            if entry.type == "file"
            and "modify" not in entry.facts
            and (
                noted
                or (
                    (ours := local.get(entry.name)) is not None
                    and ours.kind == "file"
                    and (ours.size == entry.size or by_time_alone)
                )
            )
        ]
        if not doubtful or not self._client._profile.may_try("MDTM"):
            return remote
        times = await exact_times(self._client, [posixpath.join(directory.remote, entry.name) for entry in doubtful])
        refined = dict(remote)
        for entry, mtime in zip(doubtful, times, strict=True):
            if mtime is not None:
                facts = {"modify": "MDTM"}
                refined[entry.name] = Entry(entry.name, entry.type, entry.size, mtime, entry.mode, facts=facts)
        return refined

    # One name

    async def _pair(self, child: _Child, depth: int, workers: Workers) -> _Directory | None:
        """Decide on one name: nothing, a job for a worker, or a directory to be visited."""
        direction = self._options.direction
        ours, theirs = child.ours, child.theirs
        if ours is not None and ours.kind in ("link", "other") and direction != "down":
            self._skipped(child, "a link" if ours.kind == "link" else "not a regular file")
            return None
        if theirs is not None and theirs.type in ("link", "other") and direction != "up":
            self._skipped(child, "a link" if theirs.type == "link" else "not a regular file")
            return None
        if direction == "up" or (direction == "both" and theirs is None):
            if ours is None:
                await self._superfluous_remote(child, workers)
                return None
            return await self._upwards(child, ours, depth, workers)
        if direction == "down" or ours is None:
            if theirs is None:
                await self._superfluous_local(child, workers)
                return None
            return await self._downwards(child, theirs, depth, workers)
        return await self._both_ways(child, depth, workers)

    async def _upwards(self, child: _Child, ours: LocalEntry, depth: int, workers: Workers) -> _Directory | None:
        theirs = child.theirs
        if ours.kind == "dir":
            exists = theirs is not None and theirs.type in ("dir", "link", "unknown")
            if theirs is not None and not exists and not await self._clear_remote(child):
                return None
            if not exists and not await self._make_remote(child):
                return None
            return _Directory(child.path, child.local, child.remote, True, exists, depth + 1)
        if theirs is not None and theirs.type == "dir" and not await self._clear_remote(child):
            return None
        if theirs is None or theirs.type == "dir":
            await workers.add(lambda: self._upload(child, ours))
            return None
        await self._compare_and(child, ours.size, ours.mtime, theirs.size, theirs.mtime, "upload", workers)
        return None

    async def _downwards(self, child: _Child, theirs: Entry, depth: int, workers: Workers) -> _Directory | None:
        ours = child.ours
        if theirs.type == "dir":
            if ours is not None and ours.kind != "dir" and not await self._clear_local(child):
                return None
            exists = ours is not None and ours.kind == "dir"
            if not exists and not await self._make_local(child):
                return None
            return _Directory(child.path, child.local, child.remote, exists, True, depth + 1)
        if ours is not None and ours.kind in ("dir", "other") and not await self._clear_local(child):
            return None
        if ours is None or ours.kind != "file":
            await workers.add(lambda: self._download(child, theirs))
            return None
        await self._compare_and(child, theirs.size, theirs.mtime, ours.size, ours.mtime, "download", workers)
        return None

    async def _both_ways(self, child: _Child, depth: int, workers: Workers) -> _Directory | None:
        ours, theirs = child.ours, child.theirs
        assert ours is not None
        assert theirs is not None
        if ours.kind == "dir" and theirs.type == "dir":
            return _Directory(child.path, child.local, child.remote, True, True, depth + 1)
        if ours.kind == "dir" or theirs.type == "dir":
            self._conflict(child, "a directory on one side, a file on the other")
            return None
        mtime = theirs.mtime
        options = self._options
        same_size = theirs.size is None or ours.size == theirs.size
        same_time = mtime is None or abs(ours.mtime - mtime) <= options.tolerance
        newer = "" if same_time else "upload" if ours.mtime > (mtime or 0.0) else "download"
        if same_size and options.compare == "checksum":
            await workers.add(lambda: self._move_if_different(child, newer))
        elif same_size and (same_time or options.compare == "size"):
            self._skipped(child, "equal")
        elif not newer:
            self._conflict(child, "equal times and different sizes")
        else:
            await workers.add(lambda: self._move(child, newer))
        return None

    async def _compare_and(
        self,
        child: _Child,
        size: int | None,
        mtime: float | None,
        there_size: int | None,
        there_mtime: float | None,
        action: str,
        workers: Workers,
    ) -> None:
        """The source has *size* and *mtime*, the target is there already: move the file if it is to be."""
        options = self._options
        if self._journal is not None and self._journal.finished(child.path, size, mtime):
            self._skipped(child, "finished before")
            return
        same_size = size is None or there_size is None or size == there_size
        newer = mtime is None or there_mtime is None or mtime > there_mtime + options.tolerance
        if options.compare == "checksum" and same_size:
            await workers.add(lambda: self._move_if_different(child, action))
            return
        move = {
            "newer": not same_size or newer,
            "exact": not same_size
            or newer
            or there_mtime is None
            or abs((mtime or 0.0) - there_mtime) > options.tolerance,
            "size": not same_size,
            "newer-only": newer,
            "checksum": True,
            "always": True,
        }[options.compare]
        if not move:
            self._skipped(child, "up to date")
        else:
            await workers.add(lambda: self._move(child, action))

    # Jobs

    async def _move(self, child: _Child, action: str) -> None:
        if action == "upload":
            assert child.ours is not None
            await self._upload(child, child.ours)
        else:
            assert child.theirs is not None
            await self._download(child, child.theirs)

    async def _move_if_different(self, child: _Child, action: str) -> None:
        """*action* is empty where it is not known which of the two is newer."""
        try:
            same = await same_content(self._client, child.local, child.remote)
        except FTPError as error:
            self._failed(action or "conflict", child.local, child.remote, error)
            return
        if same:
            self._skipped(child, "equal content")
        elif not action:
            self._conflict(child, "equal times and sizes, different content")
        else:
            await self._move(child, action)

    async def _upload(self, child: _Child, ours: LocalEntry) -> None:
        options = self._options
        if options.dry_run:
            self._recorder.add(Item("upload", child.local, child.remote, size=ours.size))
            return
        try:
            with self._recorder.following() as part:
                result = await self._client.upload(
                    child.local, child.remote, preserve_time=options.preserve_time, progress=part
                )
        except FTPError as error:
            self._failed("upload", child.local, child.remote, error)
            return
        if self._journal is not None:
            self._journal.note(child.path, ours.size, ours.mtime)
        self._recorder.add(Item("upload", child.local, child.remote, size=result.size))

    async def _download(self, child: _Child, theirs: Entry) -> None:
        options = self._options
        if options.dry_run:
            self._recorder.add(Item("download", child.local, child.remote, size=theirs.size or 0))
            return
        exact = theirs.mtime if "modify" in theirs.facts else None
        try:
            with self._recorder.following() as part:
                result = await self._client.download(
                    child.remote,
                    child.local,
                    preserve_time=options.preserve_time,
                    mtime=exact if options.preserve_time else None,
                    size=theirs.size if theirs.type == "file" else None,
                    progress=part,
                )
        except FTPError as error:
            self._failed("download", child.local, child.remote, error)
            return
        if self._journal is not None:
            self._journal.note(child.path, theirs.size, theirs.mtime)
        self._recorder.add(Item("download", child.local, child.remote, size=result.size))

    # Making and removing

    async def _make_remote(self, child: _Child) -> bool:
        item = Item("mkdir", child.local, child.remote, is_directory=True)
        if not self._options.dry_run:
            try:
                await self._client.mkdir(child.remote, exist_ok=True)
            except FTPError as error:
                self._failed("mkdir", child.local, child.remote, error, is_directory=True)
                return False
        self._recorder.add(item)
        return True

    async def _make_local(self, child: _Child) -> bool:
        if not self._options.dry_run:
            try:
                await self._client._driver.call(make_local_directory, child.local)
            except FTPError as error:
                self._failed("mkdir", child.local, child.remote, error, is_directory=True)
                return False
        self._recorder.add(Item("mkdir", child.local, child.remote, is_directory=True))
        return True

    async def _clear_remote(self, child: _Child) -> bool:
        """A file where a directory is to be, or the reverse: make room, if deleting is allowed."""
        if not self._options.delete:
            self._conflict(child, "a directory on one side, a file on the other")
            return False
        return await self._delete_remote(child)

    async def _clear_local(self, child: _Child) -> bool:
        if not self._options.delete:
            self._conflict(child, "a directory on one side, a file or link on the other, or what is no file at all")
            return False
        return await self._delete_local(child)

    async def _superfluous_remote(self, child: _Child, workers: Workers) -> None:
        if self._options.delete:
            await self._delete(child, self._delete_remote, workers)

    async def _superfluous_local(self, child: _Child, workers: Workers) -> None:
        if self._options.delete:
            await self._delete(child, self._delete_local, workers)

    async def _delete(self, child: _Child, delete: Callable[[_Child], Awaitable[bool]], workers: Workers) -> None:
        async def job() -> None:
            await delete(child)

        if posixpath.basename(child.path) in self._twins:
            await job()
        else:
            await workers.add(job)

    async def _delete_remote(self, child: _Child) -> bool:
        is_directory = child.theirs is not None and child.theirs.type == "dir"
        if not self._options.dry_run:
            try:
                if is_directory:
                    await remove_tree(self._client, child.remote)
                else:
                    await self._client.remove(child.remote, missing_ok=True)
            except FTPError as error:
                self._failed("delete", "", child.remote, error, is_directory=is_directory)
                return False
        self._recorder.add(Item("delete", "", child.remote, is_directory=is_directory))
        return True

    async def _delete_local(self, child: _Child) -> bool:
        is_directory = child.ours is not None and child.ours.kind == "dir"
        if not self._options.dry_run:
            try:
                await self._client._driver.call(remove_local, child.local)
            except FTPError as error:
                self._failed("delete", child.local, "", error, is_directory=is_directory)
                return False
        self._recorder.add(Item("delete", child.local, "", is_directory=is_directory))
        return True

    # Telling

    def _skipped(self, child: _Child, reason: str) -> None:
        self._recorder.add(Item("skip", child.local, child.remote, reason=reason))

    def _conflict(self, child: _Child, reason: str) -> None:
        self._failed("conflict", child.local, child.remote, TransferError(reason, path=child.remote))

    def _failed(self, action: str, local: str, remote: str, error: FTPError, *, is_directory: bool = False) -> None:
        self._recorder.add(Item(action, local, remote, ok=False, error=error, is_directory=is_directory))
        if not self._options.keep_going:
            raise error


@dataclass(frozen=True)
class _Child:
    """One name in a directory, on both sides."""

    path: str
    local: str
    remote: str
    ours: LocalEntry | None
    theirs: Entry | None
