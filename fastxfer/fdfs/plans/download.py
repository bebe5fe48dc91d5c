"""Downloads: into memory, into the caller's buffer, into a file that appears only when it is whole, by chunks."""

from __future__ import annotations

import errno
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING

from fastxfer.core.crc32 import crc32, crc32_combine
from fastxfer.core.wire import FileId, download_request
from fastxfer.fdfs.arguments import LARGEST, check_integer
from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.commands import Command, as_it_is
from fastxfer.fdfs.commands.storage import FLAG_NO_CRC32, FLAG_SILENT
from fastxfer.fdfs.errors import (
    FastDFSError,
    IntegrityError,
    InvalidArgumentError,
    InvalidResponseError,
    NetworkError,
    TransferCancelledError,
)
from fastxfer.fdfs.local_file import ArrivingFile
from fastxfer.fdfs.plans.seek import Search, parsed, perform, seek
from fastxfer.fdfs.plans.size import check_told_size
from fastxfer.fdfs.plans.small import get_file_info
from fastxfer.fdfs.steps import Blocking, Control, Move, Moved, Plan, Sleep
from fastxfer.net.address import Address

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["SMALL", "download_buffer", "download_bytes", "download_file"]

SMALL = 256 * 1024
"""Files of this size at most are fetched by one call, their CRC-32 computed afterwards, in cache."""

_DOWNLOAD_FILE = 14
_EINVAL = 22

_READER_INTERVAL = 0.02
"""Seconds between two looks whether somebody reads from a pipe."""

_DOUBTFUL = (IntegrityError, InvalidResponseError, InvalidArgumentError)
"""What a download ends with where the ID tells another size than the file has."""


def download_bytes(
    cluster: Cluster,
    file_id: str,
    offset: int = 0,
    length: int = 0,
    control: Control | None = None,
    *,
    size: int | None = None,
    source: Address | None = None,
) -> Plan[bytes]:
    """*length* bytes from *offset* (0: to the end), in memory. *size* is the file's, where a server has told it;
    *source* as of :func:`~fastxfer.fdfs.plans.seek.perform`."""
    file = parsed(file_id)
    if size is None:
        size = file.size
    wanted = _wanted(file_id, size, offset, length) if offset or length else size
    if wanted == 0:
        return (yield from _nothing(cluster, file_id, offset))
    try:
        if wanted is not None and wanted <= SMALL and cluster.small_by_call(control):
            whole = cluster.config.verify and wanted == file.size
            command = Command(
                _DOWNLOAD_FILE,
                download_request(file_id, offset, length),
                partial(_verified, file_id, wanted, file.crc32 if whole else None),
            )
            return (yield from perform(cluster, file_id, file, command, limit=wanted, source=source))
        fetch = _Fetch(cluster, file_id, file, offset, length, wanted, control)
        return (yield from fetch.run(source))
    except _DOUBTFUL as error:
        yield from _check_size(cluster, file_id, file, error)
    fetch = _Fetch(cluster, file_id, file, offset, length, None, control)
    return (yield from fetch.run())


def download_buffer(
    cluster: Cluster, file_id: str, buffer: Buffer, offset: int = 0, length: int = 0, control: Control | None = None
) -> Plan[int]:
    """Into *buffer*; the number of bytes."""
    try:
        view = memoryview(buffer)
    except TypeError:
        raise InvalidArgumentError(f"a writable buffer is needed, not {type(buffer).__name__}") from None
    if view.readonly:
        raise InvalidArgumentError("the buffer is read-only")
    if not view.c_contiguous:
        raise InvalidArgumentError("the buffer is not contiguous")
    room = view.nbytes
    file = parsed(file_id)
    wanted = _wanted(file_id, file.size, offset, length)
    if wanted == 0:
        yield from _nothing(cluster, file_id, offset)
        return 0
    if wanted is not None and wanted > room:
        raise InvalidArgumentError(f"{wanted} bytes do not fit into a buffer of {room}")
    target = view.cast("B")
    try:
        fetch = _Fetch(cluster, file_id, file, offset, length, wanted, control)
        fetch.into = target if wanted is None else target[:wanted]
        yield from fetch.run()
        return fetch.total
    except _DOUBTFUL as error:
        yield from _check_size(cluster, file_id, file, error)
    fetch = _Fetch(cluster, file_id, file, offset, length, None, control)
    fetch.into = target
    yield from fetch.run()
    return fetch.total


def download_file(
    cluster: Cluster,
    file_id: str,
    local_filename: str | PathLike[str],
    offset: int = 0,
    length: int = 0,
    *,
    fsync: bool = False,
    control: Control | None = None,
) -> Plan[int]:
    """Into a local file, written beside its place and moved there when whole; the number of bytes."""
    file = parsed(file_id)
    wanted = _wanted(file_id, file.size, offset, length)
    with ArrivingFile(local_filename, wait=False) as arriving:
        while arriving.fd < 0 and not arriving.open_pipe():
            if control is not None and control.out_of_time():
                raise TimeoutError(errno.ETIMEDOUT, "nobody reads from the pipe", arriving.path)
            yield Sleep(_READER_INTERVAL, control)
        if wanted == 0:
            yield from _nothing(cluster, file_id, offset)
            size = 0
        else:
            size = yield from _fetch_into_file(cluster, file_id, file, offset, length, wanted, arriving, control)
        if fsync:
            yield Blocking(arriving.sync)
        arriving.keep()
        return size


def _fetch_into_file(
    cluster: Cluster,
    file_id: str,
    file: FileId,
    offset: int,
    length: int,
    wanted: int | None,
    arriving: ArrivingFile,
    control: Control | None,
) -> Plan[int]:
    fetch = _Fetch(cluster, file_id, file, offset, length, wanted, control, arriving)
    try:
        yield from fetch.run()
        return fetch.total
    except _DOUBTFUL as error:
        if fetch.spilt:
            raise
        yield from _check_size(cluster, file_id, file, error)
    fetch = _Fetch(cluster, file_id, file, offset, length, None, control, arriving)
    yield from fetch.run()
    return fetch.total


class _Fetch:
    """One download by transfers: begun again, or gone on with, on another server where a connection fails.

    A file never changes under its ID unless it is an appender, so what has come stays good where it can be gone on
    with: in a local file, of a file whose size is known.

    Attributes:
        spilt: bytes that turned out to be of no use have gone where none can be taken back, into a pipe: it is over.
    """

    def __init__(
        self,
        cluster: Cluster,
        file_id: str,
        file: FileId,
        offset: int,
        length: int,
        wanted: int | None,
        control: Control | None,
        arriving: ArrivingFile | None = None,
    ) -> None:
        self.cluster = cluster
        self.file_id = file_id
        self.file = file
        self.offset = offset
        self.length = length
        self.wanted = wanted
        self.control = control
        self.arriving = arriving
        self.into: memoryview | None = None
        self.verify = cluster.config.verify and wanted is not None and wanted == file.size
        self.total = 0
        self.spilt = False
        self._search: Search | None = None
        self._crc = 0
        if control is not None and control.progress is not None and control.progress.total is None:
            control.progress.total = wanted

    def run(self, source: Address | None = None) -> Plan[bytes]:
        """What was fetched, where it went into no buffer or file; :attr:`total` counts it. *source* as of
        :func:`~fastxfer.fdfs.plans.seek.perform`."""
        address = self.cluster.at_once(self.file, False) if source is None else source
        status, failure = 0, None
        if address is not None:
            # The usual case, without the machinery: the file's source has it.
            try:
                status, transfer = yield from self._attempt(address, False)
                if status == 0:
                    self.cluster.health.worked(address)
                    return transfer.body
            except TransferCancelledError as error:
                error.file_id = error.file_id or self.file_id
                raise
            except (NetworkError, InvalidResponseError, IntegrityError) as error:
                failure = error
        search = self._search = Search(self.cluster, self.file_id, self.file, _DOWNLOAD_FILE, control=self.control)
        search.final = self.spilt
        try:
            if address is not None and failure is not None:
                search.trouble(address, failure)
            elif address is not None:
                search.note(address, status)
            transfer = yield from seek(search, self._attempt)
        except InvalidArgumentError as error:
            if error.status != _EINVAL or self.wanted is not None:
                raise
            yield from self._explain(error)
            return b""
        return transfer.body

    def _explain(self, error: InvalidArgumentError) -> Plan[None]:
        """The server refuses to send nothing: return where nothing is what there is to send, else say why not."""
        info = yield from get_file_info(self.cluster, self.file_id, FLAG_NO_CRC32 | FLAG_SILENT)
        if self.offset > info.file_size:
            raise _past_the_end(self.file_id, self.offset, info.file_size) from error
        if self.offset < info.file_size:
            raise error

    def _attempt(self, address: Address, fresh: bool) -> Plan[tuple[int, Moved]]:
        missing = -1 if self.wanted is None else self.wanted - self.total
        # To the end is asked for as such: a file that is longer than its ID says is noticed, not cut.
        length = self.length if self.wanted is None or not self.length else missing
        step = Move(
            address,
            Command(_DOWNLOAD_FILE, download_request(self.file_id, self.offset + self.total, length), as_it_is),
            recv_count=missing,
            recv_limit=self.cluster.config.max_buffered if self.wanted is None else self.wanted,
            crc=self.verify,
            control=self.control,
            fresh=fresh,
        )
        if self.arriving is not None:
            if self.wanted is None:
                self.arriving.clear()
            step.recv_fd, step.recv_offset = self.arriving.fd, self.arriving.offset(self.total)
        else:
            step.recv_into = self.into
        try:
            transfer, _ = yield step
        except NetworkError as error:
            if self.arriving is not None and self.wanted is not None:
                self._go_on_after(error)
            elif error.transfer is not None and error.transfer.received:
                self._spill()
            raise
        if transfer.status:
            return transfer.status, transfer
        if self.length and self.total + transfer.received > self.length:
            self._spill()
            raise InvalidResponseError(
                f"{transfer.received} bytes came of {self.file_id} where {length} were asked for"
            )
        self.total += transfer.received
        if self.verify:
            self._check(crc32_combine(self._crc, transfer.crc32, transfer.received))
        return 0, transfer

    def _spill(self) -> None:
        if self.arriving is not None and not self.arriving.seekable:
            self.spilt = True
            if self._search is not None:
                self._search.final = True

    def _go_on_after(self, error: NetworkError) -> None:
        broken = error.transfer
        if broken is None or not broken.received:
            return
        if self.verify:
            self._crc = crc32_combine(self._crc, broken.crc32, broken.received)
        self.total += broken.received
        error.bytes_done = self.total
        if self.control is not None and self.control.progress is not None:
            self.control.progress.advance(broken.received)

    def _check(self, crc: int) -> None:
        if self.total == self.wanted and crc == self.file.crc32:
            return
        total, self.total, self._crc = self.total, 0, 0
        self._spill()
        raise _mismatch(self.file_id, total, self.file.size, crc, self.file.crc32)


def _wanted(file_id: str, size: int | None, offset: int, length: int) -> int | None:
    """How many bytes there are to come of a file of *size*; None where that is not known."""
    if offset.__class__ is not int or not 0 <= offset <= LARGEST:
        offset = check_integer("offset", offset)
    if length.__class__ is not int or not 0 <= length <= LARGEST:
        length = check_integer("length", length)
    if size is None:
        return None
    if offset > size:
        raise _past_the_end(file_id, offset, size)
    left = size - offset
    return min(length, left) if length else left


def _past_the_end(file_id: str, offset: int, size: int) -> InvalidArgumentError:
    error = InvalidArgumentError(f"offset {offset} is past the end of {file_id}, which has {size} bytes")
    error.file_id = file_id
    return error


def _nothing(cluster: Cluster, file_id: str, offset: int) -> Plan[bytes]:
    """No bytes of a file: the server would refuse to send none, so it is only asked whether there is such a file."""
    yield from get_file_info(cluster, file_id, FLAG_NO_CRC32 | FLAG_SILENT)
    return b""


def _verified(file_id: str, size: int, crc: int | None, body: bytes) -> bytes:
    if len(body) != size:
        raise _mismatch(file_id, len(body), size, None, None)
    if crc is not None:
        actual = crc32(body)
        if actual != crc:
            raise _mismatch(file_id, len(body), size, actual, crc)
    return body


def _mismatch(file_id: str, size: int, wanted: int | None, crc: int | None, wanted_crc: int | None) -> IntegrityError:
    if size != wanted:
        error = IntegrityError(f"{size} bytes came of {file_id} where its ID says {wanted}")
    else:
        error = IntegrityError(f"the CRC-32 of {file_id} is {crc:08x} where its ID says {wanted_crc:08x}")
    error.file_id, error.bytes_done = file_id, size
    return error


def _check_size(cluster: Cluster, file_id: str, file: FileId, error: FastDFSError) -> Plan[None]:
    """Return where the size in the ID is not the file's, so that *error* may mean nothing; else raise *error*.

    A slave's name may be as long as a normal one's; what its ID then tells is about its master. But a file that has
    become shorter on the server's disk must not pass for one.
    """
    if file.size is None:
        raise error
    try:
        info = yield from get_file_info(cluster, file_id, FLAG_NO_CRC32 | FLAG_SILENT)
    except FastDFSError:
        raise error from None
    if info.file_size == file.size:
        raise error
    check_told_size(cluster, file_id, file, info.file_size)
