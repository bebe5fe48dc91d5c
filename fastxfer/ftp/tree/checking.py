"""Comparing a local tree with a remote one."""

from __future__ import annotations

import os
import posixpath

from fastxfer.core.ftpwire import Entry
from fastxfer.ftp.errors import FTPError, LocalFileError, NotFoundError, PermanentError, VerificationError
from fastxfer.ftp.file_operations import FileOperations
from fastxfer.ftp.tree.comparing import same_content
from fastxfer.ftp.tree.filters import Filter
from fastxfer.ftp.tree.local_side import LocalEntry, scan
from fastxfer.ftp.tree.report import Item, Recorder
from fastxfer.ftp.tree.workers import Workers

__all__ = ["check_tree"]


async def check_tree(
    client: FileOperations,
    local: str,
    remote: str,
    *,
    checksum: bool,
    wanted: Filter,
    recorder: Recorder,
    parallel: int,
) -> None:
    """Record an item for each file of either side."""
    check = _Check(client, wanted, recorder, checksum=checksum)
    async with Workers(parallel) as workers:
        if os.path.isfile(local):
            await check.one_file(local, remote)
        elif os.path.isdir(local):
            await check.tree(local, remote, workers)
        else:
            raise LocalFileError(f"there is no local file or directory {local!r}")


class _Check:
    def __init__(self, client: FileOperations, wanted: Filter, recorder: Recorder, *, checksum: bool) -> None:
        self._client = client
        self._wanted = wanted
        self._recorder = recorder
        self._checksum = checksum

    async def one_file(self, local: str, remote: str) -> None:
        """Compare a single file."""
        try:
            theirs = await self._client.stat(remote)
        except NotFoundError:
            self._tell("missing", local, remote, "not there")
            return
        await self._compare(local, remote, os.path.getsize(local), theirs)

    async def tree(self, local: str, remote: str, workers: Workers) -> None:
        """Compare directory by directory."""
        waiting = [("", local, remote)]
        while waiting:
            path, here, there = waiting.pop()
            ours = await self._client._driver.call(scan, here, False)
            try:
                theirs = {entry.name: entry for entry in await self._client.list(there)}
            except FTPError as error:
                if not path:
                    # Servers differ in what they say when there is none.
                    if isinstance(error, PermanentError) and not await self._client.exists(remote or "/"):
                        raise NotFoundError(550, "there is no such remote directory", path=remote) from error
                    raise
                self._recorder.add(Item("missing", here, there, ok=False, error=error, is_directory=True))
                continue
            for name in sorted(ours.keys() | theirs.keys()):
                below = f"{path}/{name}" if path else name
                mine, other = ours.get(name), theirs.get(name)
                is_directory = (mine is not None and mine.kind == "dir") or (mine is None and _is_directory(other))
                if not self._wanted.takes(below, is_directory=is_directory):
                    continue
                pair = (os.path.join(here, name), posixpath.join(there, name))
                if mine is not None and mine.kind == "dir" and _is_directory(other):
                    waiting.append((below, *pair))
                else:
                    await self._pair(mine, other, *pair, workers)

    async def _pair(
        self, mine: LocalEntry | None, other: Entry | None, local: str, remote: str, workers: Workers
    ) -> None:
        if mine is None:
            self._tell("extra", "", remote, "only there", is_directory=_is_directory(other))
        elif mine.kind in ("link", "other"):
            self._recorder.add(Item("skip", local, remote, reason="not a regular file"))
        elif other is None:
            self._tell("missing", local, remote, "not there", is_directory=mine.kind == "dir")
        elif mine.kind == "dir" or _is_directory(other):
            self._tell("differ", local, remote, "a directory on one side, a file on the other")
        else:
            size = mine.size
            await workers.add(lambda: self._compare(local, remote, size, other))

    async def _compare(self, local: str, remote: str, size: int, theirs: Entry) -> None:
        try:
            there = theirs.size if theirs.size is not None else await self._client.size(remote)
            if there != size:
                self._tell("differ", local, remote, f"{there} bytes there, {size} here")
                return
            if self._checksum and not await same_content(self._client, local, remote):
                self._tell("differ", local, remote, "different content")
                return
        except FTPError as error:
            self._recorder.add(Item("differ", local, remote, ok=False, error=error))
            return
        self._recorder.add(Item("match", local, remote, size=size))

    def _tell(self, action: str, local: str, remote: str, why: str, *, is_directory: bool = False) -> None:
        error = VerificationError(why, path=remote)
        self._recorder.add(Item(action, local, remote, ok=False, error=error, is_directory=is_directory))


def _is_directory(entry: Entry | None) -> bool:
    return entry is not None and entry.type == "dir"
