"""A FastDFS cluster as a place: paths are file IDs, and there are no directories."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn

import click

from fastxfer.cli.urls.place import Listed, Moved, Moving
from fastxfer.cli.urls.standard_input import PipedInput
from fastxfer.core.crc32 import crc32
from fastxfer.fdfs import Client, IntegrityError, parse_file_id

CHUNK = 1 << 20
PART_SUFFIX = ".fastxfer-part"
_NOT_RESUMED = "an upload to FastDFS cannot be resumed: it would be another file"


class FdfsPlace:
    """Files of a cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def close(self) -> None:
        self._client.close()

    def stat(self, path: str) -> Listed:
        if "/" not in path:
            group = self._client.get_group(path)
            return Listed(group.group_name, "group", extra={"storages": group.storage_count, "free_mb": group.free_mb})
        info = self._client.get_file_info(path)
        extra = {"crc32": f"{info.crc32:08x}", "source": info.source_ip_addr}
        return Listed(path, "file", info.file_size, info.create_time.timestamp(), None, extra)

    def entries(self, path: str) -> Iterator[Listed]:
        if path.strip("/"):
            raise click.UsageError("FastDFS keeps no directories: only fdfs://TRACKER/ can be listed (its groups)")
        for group in self._client.list_groups():
            extra = {"storages": group.storage_count, "free_mb": group.free_mb}
            yield Listed(group.group_name, "group", extra=extra)

    def join(self, path: str, name: str) -> str:
        return path

    def read(self, path: str) -> Iterator[bytes]:
        return self._client.download_iter(path)

    def write(self, stream: BinaryIO | PipedInput, path: str, how: Moving) -> Moved:
        if how.resume:
            raise click.UsageError(_NOT_RESUMED)
        counter = _Counter(stream)
        file_id = self._client.upload_stream(counter, "", group=_group_of(path))
        return Moved(file_id, counter.count)

    def download(self, path: str, target: Path, how: Moving) -> Moved:
        if not how.overwrite and target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        if how.resume:
            return self._download_resumed(path, target, how)
        if how.segments > 1:
            self._client.download_segmented(
                path, target, segments=how.segments, progress=how.progress, cancel=how.cancel
            )
        else:
            self._client.download_to_file(path, target, progress=how.progress, cancel=how.cancel)
        self._preserve(path, target, how)
        return Moved(str(target), target.stat().st_size, "crc32" if parse_file_id(path).crc32 is not None else "")

    def _download_resumed(self, path: str, target: Path, how: Moving) -> Moved:
        """Go on with a part left by an earlier attempt; the whole is verified by the CRC-32 in the file ID."""
        part = target.with_name(target.name + PART_SUFFIX)
        size = self._client.get_file_info(path, 1).file_size
        part.parent.mkdir(parents=True, exist_ok=True)
        have = part.stat().st_size if part.exists() else 0
        with open(part, "r+b" if 0 < have <= size else "wb") as file:
            file.seek(0, os.SEEK_END)
            if file.tell() < size:
                self._client.download_to_stream(
                    path, file, offset=file.tell(), progress=how.progress, cancel=how.cancel
                )
        expected = parse_file_id(path).crc32
        if expected is not None and _file_crc32(part) != expected:
            part.unlink()
            raise IntegrityError(f"{path} differs from the CRC-32 in its file ID; the part is removed")
        os.replace(part, target)
        self._preserve(path, target, how)
        return Moved(str(target), size, "crc32" if expected is not None else "")

    def _preserve(self, path: str, target: Path, how: Moving) -> None:
        if how.preserve:
            moment = parse_file_id(path).created
            os.utime(target, (moment, moment))

    def upload(self, source: Path, path: str, how: Moving) -> Moved:
        if how.resume:
            raise click.UsageError(_NOT_RESUMED)
        size = source.stat().st_size
        group = _group_of(path)
        if how.segments > 1:
            file_id = self._client.upload_segmented(
                source, segments=how.segments, group=group, progress=how.progress, cancel=how.cancel
            )
        else:
            file_id = self._client.upload_file(source, group=group, progress=how.progress, cancel=how.cancel)
        return Moved(file_id, size, "crc32")

    def remove(self, path: str) -> None:
        self._client.delete_file(path)

    def remove_tree(self, path: str) -> int:
        self.remove(path)
        return 1

    def make_directory(self, path: str, *, parents: bool) -> None:
        _no_directories()

    def rename(self, source: str, target: str) -> None:
        raise click.UsageError("FastDFS gives files their names: they cannot be moved")


class _Counter:
    """Counts what is read from a stream."""

    def __init__(self, stream: BinaryIO | PipedInput) -> None:
        self._stream = stream
        self.count = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self.count += len(data)
        return data


def _group_of(path: str) -> str | None:
    group = path.strip("/")
    if "/" in group:
        raise click.UsageError("FastDFS gives files their names: upload to fdfs://TRACKER/ or fdfs://TRACKER/GROUP")
    return group or None


def _no_directories() -> NoReturn:
    raise click.UsageError("FastDFS keeps no directories")


def _file_crc32(path: Path) -> int:
    value = 0
    with open(path, "rb") as file:
        while data := file.read(CHUNK):
            value = crc32(data, value)
    return value
