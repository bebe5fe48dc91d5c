"""The tree tools as methods of the client."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from functools import partial

from fastxfer.ftp.base import RemotePath
from fastxfer.ftp.errors import FTPError, InvalidArgumentError, NotFoundError, PermanentError
from fastxfer.ftp.fxp import FXPOperations
from fastxfer.ftp.segmented import SegmentedOperations
from fastxfer.ftp.tree.checking import check_tree
from fastxfer.ftp.tree.filters import Filter, PathPattern
from fastxfer.ftp.tree.removing import remove_tree
from fastxfer.ftp.tree.report import Item, OnItem, Recorder, TreeProgress, TreeReport
from fastxfer.ftp.tree.syncing import Synchronizer, SyncOptions
from fastxfer.ftp.tree.workers import Workers
from fastxfer.ftp.walking import Found

__all__ = ["LocalPath", "TreeOperations"]

LocalPath = str | os.PathLike[str]
Pairs = Iterable[tuple[LocalPath, RemotePath]] | AsyncIterable[tuple[LocalPath, RemotePath]]
RemotePairs = Iterable[tuple[RemotePath, LocalPath]] | AsyncIterable[tuple[RemotePath, LocalPath]]


class TreeOperations(SegmentedOperations, FXPOperations):
    """Tools for many files. They use several of the pool's connections at once and go on after failures.

    ``on_item`` is called with an :class:`Item` for each file or directory dealt with. ``parallel`` is how many files
    are moved at a time; None takes the pool's limit. ``progress`` is a :class:`TreeProgress`, or a function called with
    one while bytes move.
    """

    # Lists of files

    async def batch(
        self,
        pairs: Pairs,
        *,
        parallel: int | None = None,
        overwrite: bool = True,
        make_directories: bool = True,
        preserve_time: bool = False,
        on_item: OnItem | None = None,
        progress: TreeProgress | None = None,
    ) -> TreeReport:
        """Upload many files: pairs of local and remote path, from any iterable, asynchronous or not.

        With ``overwrite=False`` what is there already is skipped.
        """
        recorder = Recorder(on_item, progress)

        async def move(local: str, remote: str) -> None:
            await self._one(
                recorder, "upload", local, remote, overwrite, make_directories=make_directories, preserve=preserve_time
            )

        async with Workers(self._abreast(parallel)) as workers:
            async for local, remote in _each(pairs):
                here, there = os.fspath(local), str(remote)
                await workers.add(partial(move, here, there))
        return recorder.finish()

    async def fetch(
        self,
        pairs: RemotePairs,
        *,
        parallel: int | None = None,
        overwrite: bool = True,
        make_directories: bool = True,
        preserve_time: bool = False,
        on_item: OnItem | None = None,
        progress: TreeProgress | None = None,
    ) -> TreeReport:
        """Download many files: pairs of remote and local path, from any iterable, asynchronous or not.

        With ``overwrite=False`` what is there already is skipped.
        """
        recorder = Recorder(on_item, progress)

        async def move(remote: str, local: str) -> None:
            await self._one(
                recorder,
                "download",
                local,
                remote,
                overwrite,
                make_directories=make_directories,
                preserve=preserve_time,
            )

        async with Workers(self._abreast(parallel)) as workers:
            async for remote, local in _each(pairs):
                there, here = str(remote), os.fspath(local)
                await workers.add(partial(move, there, here))
        return recorder.finish()

    async def _one(
        self,
        recorder: Recorder,
        action: str,
        local: str,
        remote: str,
        overwrite: bool,
        *,
        make_directories: bool,
        preserve: bool,
    ) -> None:
        """Move one file and record what came of it."""
        progress = recorder.progress
        part = progress.begin_file() if progress is not None else None
        item = Item(action, local, remote)
        try:
            if action == "upload":
                if not overwrite and await self.exists(remote):
                    item = Item("skip", local, remote, reason="exists")
                    return
                result = await self.upload(
                    local, remote, make_directories=make_directories, preserve_time=preserve, progress=part
                )
            else:
                if not overwrite and os.path.lexists(local):
                    item = Item("skip", local, remote, reason="exists")
                    return
                result = await self.download(
                    remote, local, make_directories=make_directories, preserve_time=preserve, progress=part
                )
            item = Item(action, local, remote, size=result.size)
        except FTPError as error:
            item = Item(action, local, remote, ok=False, error=error)
        finally:
            if progress is not None and part is not None:
                progress.end_file(part, ok=item.ok)
            recorder.add(item)

    # Trees

    async def sync(
        self,
        local: LocalPath,
        remote: RemotePath,
        direction: str = "up",
        *,
        compare: str = "newer",
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        delete: bool = False,
        dry_run: bool = False,
        parallel: int | None = None,
        follow_links: bool = False,
        preserve_time: bool = True,
        tolerance: float = 2.0,
        journal: LocalPath | None = None,
        keep_going: bool = True,
        on_item: OnItem | None = None,
        progress: TreeProgress | None = None,
    ) -> TreeReport:
        """Make one tree like the other. Memory stays bounded by the largest single directory.

        Args:
            local: the local directory.
            remote: the remote directory.
            direction: ``"up"``, ``"down"``, or ``"both"``: what is missing is copied over, of what differs the newer.
            compare: when a file that is there is moved nevertheless: ``"newer"``: another size, or the source is newer;
                ``"exact"``: another size or time; ``"size"``; ``"newer-only"``: only if the source is newer;
                ``"checksum"``: another size or content; ``"always"``.
            include: patterns of files: see :class:`Filter`.
            exclude: patterns of files and directories that are left alone on both sides.
            delete: remove what the source does not have, and what stands in the way.
            dry_run: only tell what would be done.
            parallel: files moved at a time.
            follow_links: upload what local links point to; else links are left out. Remote links are never followed.
            preserve_time: give copies the time of what they are copied from, where the server can.
            tolerance: times this many seconds apart are equal.
            journal: a local file that notes what is finished, so that a killed run does not move it again when times
                can not be preserved. Removed when all went well.
            keep_going: record failures and go on; else the first is raised.
            on_item: called for each file or directory dealt with.
            progress: of all files together.
        """
        options = SyncOptions(
            direction=direction,
            compare=compare,
            tolerance=tolerance,
            delete=delete,
            dry_run=dry_run,
            follow_links=follow_links,
            preserve_time=preserve_time,
            keep_going=keep_going,
        )
        wanted = Filter(include, exclude)
        here = os.fspath(local)
        there = self._path(remote) if str(remote) else self._state.directory or ""
        recorder = Recorder(on_item, progress, dry_run=dry_run)
        notes = None
        if journal is not None and not dry_run:
            # SQLite takes more than a megabyte, which only those who keep a journal have a use for.
            from fastxfer.ftp.tree.journal import Journal

            notes = Journal(journal, f"{direction} {os.path.abspath(here)} {self.host}:{self.port} {there}")
        try:
            await Synchronizer(self, here, there, options, wanted, recorder, notes, self._abreast(parallel)).run()
        except BaseException:
            if notes is not None:
                notes.close(remove=False)
            raise
        report = recorder.finish()
        if notes is not None:
            notes.close(remove=report.ok)
        return report

    async def mirror(
        self,
        local: LocalPath,
        remote: RemotePath,
        direction: str = "up",
        *,
        compare: str = "newer",
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        delete: bool = True,
        dry_run: bool = False,
        parallel: int | None = None,
        follow_links: bool = False,
        preserve_time: bool = True,
        tolerance: float = 2.0,
        journal: LocalPath | None = None,
        keep_going: bool = True,
        on_item: OnItem | None = None,
        progress: TreeProgress | None = None,
    ) -> TreeReport:
        """As :meth:`sync`, ``"up"`` or ``"down"``, removing what the source does not have.

        Nothing is removed where the source's directory could not be listed.
        """
        if direction == "both":
            raise InvalidArgumentError("a mirror has one direction: up or down")
        return await self.sync(
            local,
            remote,
            direction,
            compare=compare,
            include=include,
            exclude=exclude,
            delete=delete,
            dry_run=dry_run,
            parallel=parallel,
            follow_links=follow_links,
            preserve_time=preserve_time,
            tolerance=tolerance,
            journal=journal,
            keep_going=keep_going,
            on_item=on_item,
            progress=progress,
        )

    async def backup(
        self,
        paths: Iterable[LocalPath],
        target: RemotePath,
        *,
        name: str = "backup_%Y%m%d_%H%M%S",
        exclude: Iterable[str] = (),
        parallel: int | None = None,
        follow_links: bool = False,
        on_item: OnItem | None = None,
        progress: TreeProgress | None = None,
    ) -> TreeReport:
        """Upload files and directories into a new directory of *target*, named after the time (local, ``strftime``).

        The report's ``path`` is that directory. Two sources of one name are an error before anything is sent.
        """
        sources = [os.path.abspath(path) for path in ([paths] if isinstance(paths, (str, os.PathLike)) else paths)]
        names = [os.path.basename(source) for source in sources]
        if len(set(names)) != len(names) or not all(names):
            raise InvalidArgumentError("the things to be backed up need names, each another")
        for source in sources:
            if not os.path.exists(source):
                raise InvalidArgumentError(f"there is no {source!r}")
        place = await self._new_directory(posixpath.join(self._path(target), time.strftime(name)))
        recorder = Recorder(on_item, progress)
        recorder.report.path = place
        options = SyncOptions(direction="up", compare="always", follow_links=follow_links)
        for source, base in zip(sources, names, strict=True):
            there = posixpath.join(place, base)
            if os.path.isdir(source):
                await Synchronizer(
                    self, source, there, options, Filter((), exclude), recorder, None, self._abreast(parallel)
                ).run()
            else:
                await self._one(recorder, "upload", source, there, True, make_directories=False, preserve=True)
        return recorder.finish()

    async def _new_directory(self, path: str) -> str:
        """Make a directory that was not there; two backups in one second get two."""
        await self.mkdir(posixpath.dirname(path), parents=True)
        for number in range(1, 100):
            candidate = path if number == 1 else f"{path}_{number}"
            try:
                await self.mkdir(candidate)
            except PermanentError:
                if not await self.exists(candidate):
                    raise
            else:
                return candidate
        raise InvalidArgumentError("too many backups of one name", path=path)

    async def restore(
        self,
        backup: RemotePath,
        target: LocalPath,
        *,
        compare: str = "newer",
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        parallel: int | None = None,
        on_item: OnItem | None = None,
        progress: TreeProgress | None = None,
    ) -> TreeReport:
        """Download what :meth:`backup` has made into the local directory *target*."""
        return await self.sync(
            target,
            backup,
            "down",
            compare=compare,
            include=include,
            exclude=exclude,
            parallel=parallel,
            on_item=on_item,
            progress=progress,
        )

    async def verify(
        self,
        local: LocalPath,
        remote: RemotePath,
        *,
        checksum: bool = False,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        parallel: int | None = None,
        on_item: OnItem | None = None,
    ) -> TreeReport:
        """Compare a local tree, or one file, with a remote one, by size, and by content with *checksum*.

        The items' actions are ``"match"``, ``"differ"``, ``"missing"`` (not there) and ``"extra"`` (only there); all
        but the first are failures. Content is compared by the server's checksums, or by reading where it has none.
        """
        recorder = Recorder(on_item, None)
        there = self._path(remote)
        await check_tree(
            self,
            os.fspath(local),
            there,
            checksum=checksum,
            wanted=Filter(include, exclude),
            recorder=recorder,
            parallel=self._abreast(parallel),
        )
        return recorder.finish()

    async def search(
        self,
        pattern: str = "*",
        path: RemotePath = "",
        *,
        kind: str | None = None,
        min_size: int | None = None,
        max_size: int | None = None,
        newer_than: float | None = None,
        older_than: float | None = None,
    ) -> AsyncIterator[Found]:
        """What is below *path* and has a name like *pattern* (a path below it, where the pattern has a ``/``).

        Args:
            pattern: ``*``, ``?``, ``[…]``; ``**`` in patterns of paths.
            path: where to begin.
            kind: ``"file"``, ``"dir"`` or ``"link"`` for only those.
            min_size: bytes.
            max_size: bytes.
            newer_than: POSIX seconds.
            older_than: POSIX seconds.
        """
        top = self._path(path) if str(path) else self._state.directory or ""
        by_path = PathPattern(pattern) if "/" in pattern else None
        async for here, entry in self.walk(path):
            if kind is not None and entry.type != kind:
                continue
            if by_path is not None:
                below = here[len(top) :].lstrip("/")
                if not by_path.matches(below):
                    continue
            elif not fnmatch.fnmatchcase(entry.name, pattern):
                continue
            if min_size is not None and (entry.size is None or entry.size < min_size):
                continue
            if max_size is not None and (entry.size is None or entry.size > max_size):
                continue
            if newer_than is not None and (entry.mtime is None or entry.mtime <= newer_than):
                continue
            if older_than is not None and (entry.mtime is None or entry.mtime >= older_than):
                continue
            yield Found(here, entry)

    async def remove_tree(self, path: RemotePath, *, missing_ok: bool = False) -> int:
        """Remove a directory and all that is in it, or a file: how many names were removed. Links are not followed."""
        remote = self._path(path)
        if not posixpath.normpath(remote).strip("/."):
            raise InvalidArgumentError("the top directory is not to be removed", path=remote)
        try:
            found = await self.stat(remote)
        except NotFoundError:
            if missing_ok:
                return 0
            raise
        if found.type != "dir":
            await self.remove(remote)
            return 1
        return await remove_tree(self, remote)

    async def move(self, source: RemotePath, target: RemotePath, *, make_directories: bool = False) -> None:
        """Move a file or directory on the server; into *target*, where that is a directory."""
        old, new = self._path(source), self._path(target)
        if await self.is_directory(new):
            new = posixpath.join(new, posixpath.basename(old.rstrip("/")))
        if make_directories and posixpath.dirname(new):
            await self.mkdir(posixpath.dirname(new), parents=True)
        await self.rename(old, new)

    def _abreast(self, parallel: int | None) -> int:
        if parallel is not None and parallel < 1:
            raise InvalidArgumentError(f"parallel must be at least 1, not {parallel}")
        return min(parallel or self._config.limits.connections, self._config.limits.connections)


async def _each(pairs: Iterable[tuple[object, object]] | AsyncIterable[tuple[object, object]]) -> AsyncIterator[tuple]:  # type: ignore[type-arg]
    if isinstance(pairs, AsyncIterable):
        async for pair in pairs:
            yield pair
    else:
        for pair in pairs:
            yield pair
