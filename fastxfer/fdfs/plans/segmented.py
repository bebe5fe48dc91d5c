"""One big file over several connections at once."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import NamedTuple

from fastxfer.core.crc32 import crc32_combine
from fastxfer.core.wire import FileId, decode_file_id, download_request, modify_request
from fastxfer.core.xfer import Transfer
from fastxfer.fdfs.arguments import check_integer
from fastxfer.fdfs.body import Body, file_body, memory_body
from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.commands import Command, as_it_is, nothing
from fastxfer.fdfs.commands.storage import FLAG_NO_CRC32, FLAG_SILENT
from fastxfer.fdfs.commands.tracker import query_fetch_all
from fastxfer.fdfs.errors import FastDFSError, IntegrityError, InvalidArgumentError, MetadataNotSetError
from fastxfer.fdfs.local_file import ArrivingFile, LocalFile
from fastxfer.fdfs.plans import small
from fastxfer.fdfs.plans.download import download_file
from fastxfer.fdfs.plans.seek import Search, parsed, seek
from fastxfer.fdfs.plans.size import check_told_size
from fastxfer.fdfs.plans.tracking import ask_tracker
from fastxfer.fdfs.plans.upload import send_body, upload
from fastxfer.fdfs.protocol import get_file_ext_name
from fastxfer.fdfs.steps import Blocking, Control, Move, Parallel, Plan
from fastxfer.net.address import Address
from fastxfer.net.cancel import CancelToken

__all__ = ["download_segmented", "upload_segmented"]

SMALLEST = 1 << 20
"""No segment is made smaller than so many bytes."""

_DOWNLOAD_FILE = 14
_MODIFY_FILE = 34


class _Range(NamedTuple):
    offset: int
    length: int


def download_segmented(
    cluster: Cluster,
    file_id: str,
    local_filename: str | PathLike[str],
    segments: int,
    *,
    fsync: bool = False,
    control: Control | None = None,
) -> Plan[int]:
    """Into a local file by *segments* ranges at once, from the servers that have the file in turn; its size."""
    file = parsed(file_id)
    segments = check_integer("segments", segments, 1)
    info = yield from small.get_file_info(cluster, file_id, FLAG_NO_CRC32 | FLAG_SILENT)
    check_told_size(cluster, file_id, file, info.file_size)
    ranges = _ranges(info.file_size, segments)
    if len(ranges) < 2:
        return (yield from download_file(cluster, file_id, local_filename, fsync=fsync, control=control))
    verify = cluster.config.verify and file.crc32 is not None and file.size == info.file_size
    servers = yield from _servers(cluster, file_id)
    with ArrivingFile(local_filename, wait=False) as arriving:
        if not arriving.seekable:
            raise InvalidArgumentError(f"{arriving.path} is no regular file: it cannot take segments")
        yield Blocking(lambda: arriving.allocate(info.file_size))
        with _Shared(control, info.file_size) as shared:
            fetches = [
                _fetch(cluster, file_id, file, arriving, part, servers[index % len(servers)], verify, shared.control())
                for index, part in enumerate(ranges)
            ]
            crcs = yield Parallel(fetches, shared.token)
        if verify:
            _check(file_id, file, ranges, crcs)
        if fsync:
            yield Blocking(arriving.sync)
        arriving.keep()
    return info.file_size


def upload_segmented(
    cluster: Cluster,
    local_filename: str | PathLike[str],
    segments: int,
    extension: str | None,
    metadata: Mapping[str, str] | None,
    *,
    regenerate: bool = True,
    group: str | None = None,
    store_path: int | None = None,
    control: Control | None = None,
) -> Plan[str]:
    """A local file by *segments* pieces at once: an appender file is made as large, and each piece written into it.

    With *regenerate* (servers from 6.02 on) it becomes a normal file in the end.
    """
    segments = check_integer("segments", segments, 1)
    if metadata:
        metadata = small.checked_metadata(metadata)
    ext = get_file_ext_name(local_filename) if extension is None else extension
    with LocalFile(local_filename, wait=False) as local:
        if not local.regular:
            raise InvalidArgumentError(f"{local.path} is no regular file: it has no segments")
        ranges = _ranges(local.size, segments)
        if len(ranges) < 2:
            body = file_body(local.fd, local.size)
            return (
                yield from upload(
                    cluster,
                    body,
                    ext,
                    metadata,
                    appender=not regenerate,
                    group=group,
                    store_path=store_path,
                    control=control,
                )
            )
        file_id = yield from upload(
            cluster, memory_body(b""), ext, None, appender=True, group=group, store_path=store_path
        )
        try:
            crcs = yield from _write(cluster, file_id, local, ranges, control)
            if regenerate:
                file_id = yield from small.regenerate_appender_file(cluster, file_id)
                if cluster.config.verify:
                    _check(file_id, decode_file_id(file_id), ranges, crcs)
        except BaseException as error:
            if isinstance(error, (FastDFSError, OSError)):
                yield from _discard(cluster, file_id)
            raise
    if metadata:
        try:
            yield from small.set_metadata(cluster, file_id, metadata)
        except FastDFSError as error:
            raise MetadataNotSetError(file_id, error) from error
    return file_id


class _Shared:
    """What the segments of one operation have in common: they end together, and count together.

    Attributes:
        token: ends them all.
    """

    def __init__(self, control: Control | None, total: int) -> None:
        self._outer = control
        self.token = CancelToken()
        if control is not None and control.progress is not None and control.progress.total is None:
            control.progress.total = total

    def __enter__(self) -> _Shared:
        if self._outer is not None and self._outer.cancel is not None:
            self._outer.cancel.watch(self.token)
        return self

    def __exit__(self, *_: object) -> None:
        if self._outer is not None and self._outer.cancel is not None:
            self._outer.cancel.release(self.token)

    def control(self) -> Control:
        """For one segment."""
        own = Control(None, None, self.token)
        if self._outer is not None:
            own.deadline = self._outer.deadline
            if self._outer.progress is not None:
                own.progress = self._outer.progress.part()
        return own


def _ranges(size: int, segments: int) -> list[_Range]:
    count = max(1, min(segments, size // SMALLEST))
    edges = [size * index // count for index in range(count + 1)]
    return [_Range(start, end - start) for start, end in itertools.pairwise(edges)]


def _servers(cluster: Cluster, file_id: str) -> Plan[Sequence[Address | None]]:
    """All servers that should have the file; None stands for its source where no tracker can tell."""
    try:
        return (yield from ask_tracker(cluster, query_fetch_all(file_id)))
    except FastDFSError:
        return [None]


def _fetch(
    cluster: Cluster,
    file_id: str,
    file: FileId,
    arriving: ArrivingFile,
    part: _Range,
    server: Address | None,
    verify: bool,
    control: Control,
) -> Plan[int]:
    """One range into its place; its CRC-32."""
    command = Command(_DOWNLOAD_FILE, download_request(file_id, part.offset, part.length), as_it_is)

    def attempt(address: Address, fresh: bool) -> Plan[tuple[int, int]]:
        step = Move(
            address,
            command,
            recv_fd=arriving.fd,
            recv_offset=part.offset,
            recv_count=part.length,
            crc=verify,
            control=control,
            fresh=fresh,
        )
        transfer: Transfer
        transfer, _ = yield step
        return transfer.status, transfer.crc32 if verify else 0

    search = Search(cluster, file_id, file, _DOWNLOAD_FILE, control=control, prefer=server)
    return (yield from seek(search, attempt))


def _write(
    cluster: Cluster, file_id: str, local: LocalFile, ranges: list[_Range], control: Control | None
) -> Plan[list[int]]:
    """Make the appender file as large as it will be, and write all ranges into it; their CRC-32s."""
    yield from small.truncate_file(cluster, file_id, local.size)
    file = parsed(file_id)
    with _Shared(control, local.size) as shared:
        writes = [
            _put(cluster, file_id, file, part, file_body(local.fd, part.length, part.offset), shared.control())
            for part in ranges
        ]
        return (yield Parallel(writes, shared.token))  # type: ignore[no-any-return]


def _put(cluster: Cluster, file_id: str, file: FileId, part: _Range, body: Body, control: Control) -> Plan[int]:
    command = Command(_MODIFY_FILE, modify_request(file_id, part.offset, part.length), nothing)

    def attempt(address: Address, fresh: bool) -> Plan[tuple[int, int]]:
        status, _, crc = yield from send_body(cluster, address, command, body, repeatable=True, control=control)
        return status, crc or 0

    search = Search(cluster, file_id, file, _MODIFY_FILE, update=True, control=control)
    return (yield from seek(search, attempt))


def _check(file_id: str, file: FileId, ranges: list[_Range], crcs: list[int]) -> None:
    crc = 0
    for part, own in zip(ranges, crcs, strict=True):
        crc = crc32_combine(crc, own, part.length)
    size = sum(part.length for part in ranges)
    if (size, crc) != (file.size, file.crc32):
        error = IntegrityError(f"the segments of {file_id} have {size} bytes and CRC-32 {crc:08x}, not as its ID says")
        error.file_id = file_id
        raise error


def _discard(cluster: Cluster, file_id: str) -> Plan[None]:
    """Delete what has not become whole; the error that follows matters more than one from here."""
    try:
        yield from small.delete_file(cluster, file_id)
    except FastDFSError:
        return
