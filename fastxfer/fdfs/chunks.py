"""A file by chunks: each is a request of its own, so a slow consumer holds no connection, and each may fail over."""

from __future__ import annotations

from fastxfer.core.crc32 import crc32
from fastxfer.fdfs.arguments import check_integer
from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.errors import IntegrityError, InvalidArgumentError
from fastxfer.fdfs.plans.download import download_bytes
from fastxfer.fdfs.plans.seek import parsed
from fastxfer.fdfs.plans.size import check_told_size
from fastxfer.fdfs.plans.small import get_file_info
from fastxfer.fdfs.steps import Control, Plan

__all__ = ["CHUNK_SIZE", "ChunkReader"]

CHUNK_SIZE = 1 << 20
"""Bytes in a chunk where the caller does not say: large enough that the round trips do not show."""


class ChunkReader:
    """Reads *length* bytes (0: to the end) from *offset*, chunk by chunk.

    What is read whole of a normal file is verified with the last chunk: :class:`IntegrityError` is raised after it.
    Of an appender file, the size when the reading began counts.
    """

    def __init__(
        self, cluster: Cluster, file_id: str, chunk_size: int, offset: int, length: int, control: Control | None
    ) -> None:
        chunk_size = check_integer("chunk_size", chunk_size, 1)
        offset, length = check_integer("offset", offset), check_integer("length", length)
        self._cluster = cluster
        self._file_id = file_id
        self._file = parsed(file_id)
        self._chunk_size = chunk_size
        self._offset = offset
        self._length = length
        self._control = control
        self._end: int | None = None
        self._crc = 0

    def next(self) -> Plan[bytes]:
        """The next chunk; empty at the end."""
        if self._end is None:
            yield from self._begin()
        left = (self._end or 0) - self._offset
        if left <= 0:
            return b""
        size = min(self._chunk_size, left)
        chunk = yield from download_bytes(
            self._cluster, self._file_id, self._offset, size, self._fetch_control, size=self._size
        )
        if len(chunk) != size:
            raise IntegrityError(f"{self._file_id} ended {size - len(chunk)} bytes early")
        self._offset += size
        if self._verify:
            self._crc = crc32(chunk, self._crc)
            if self._offset == self._end and self._crc != self._file.crc32:
                raise IntegrityError(f"the CRC-32 of {self._file_id} is {self._crc:08x}, not as its ID says")
        return chunk

    def _begin(self) -> Plan[None]:
        # The server is asked even where the ID tells the size: a slave's ID may look like a normal one's.
        info = yield from get_file_info(self._cluster, self._file_id, 3)
        check_told_size(self._cluster, self._file_id, self._file, info.file_size)
        if self._offset > info.file_size:
            raise InvalidArgumentError(
                f"offset {self._offset} is past the end of {self._file_id}, which has {info.file_size} bytes"
            )
        self._size = info.file_size
        self._end = info.file_size if not self._length else min(info.file_size, self._offset + self._length)
        whole = self._offset == 0 and self._end == self._file.size == info.file_size
        self._verify = self._cluster.config.verify and whole and self._end > 0
        # Progress counts chunks as they are handed out; a chunk's own fetch only keeps the end and the cancelling.
        self._fetch_control = None
        if self._control is not None:
            self._fetch_control = self._control.without_progress()
            if self._control.progress is not None and self._control.progress.total is None:
                self._control.progress.total = self._end - self._offset
