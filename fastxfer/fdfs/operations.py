"""The operations on files, written once for the blocking and the asyncio client.

Each makes a plan and hands it to ``_run``: the blocking client returns its result, the asyncio client an awaitable of
it (``aio.pyi`` tells type checkers so).
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, TypeVar

from fastxfer.fdfs.body import memory_body
from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.plans import change, download, files, segmented, small, upload
from fastxfer.fdfs.steps import Control, Plan, TransferOptions
from fastxfer.fdfs.types import FileInfo, MetadataFlag

if TYPE_CHECKING:
    from typing_extensions import Buffer, Unpack

__all__ = ["Operations"]

T = TypeVar("T")
Path = str | PathLike[str]


class Operations:
    """Part of :class:`~fastxfer.fdfs.Client` and :class:`~fastxfer.fdfs.AsyncClient`."""

    _cluster: Cluster

    def _run(self, plan: Plan[T], control: Control | None = None) -> T:
        raise NotImplementedError

    def _control(self, options: TransferOptions) -> Control | None:
        raise NotImplementedError

    # --- uploads

    def upload_file(
        self,
        local_filename: Path,
        metadata: Mapping[str, str] | None = None,
        *,
        file_ext_name: str | None = None,
        group: str | None = None,
        store_path: int | None = None,
        **options: Unpack[TransferOptions],
    ) -> str:
        """Upload a local file and return its file ID.

        Args:
            local_filename: what to upload; a pipe is read to its end first.
            metadata: set on the file once it is stored.
            file_ext_name: extension, with or without its dot; that of *local_filename*, cut to 6 characters, where not
                given.
            group: group to store it in; the tracker chooses where not given.
            store_path: index of the store path to use; the server chooses where not given.

        Raises :class:`FileNotFoundError`, or another OSError, where the local file cannot be read;
        :class:`MetadataNotSetError`, with the file ID, where only the metadata failed; :class:`IntegrityError` where
        the server stored something else; :class:`InsufficientSpaceError`.
        """
        control = self._control(options) if options else None
        plan = files.upload_file(
            self._cluster, local_filename, file_ext_name, metadata, group=group, store_path=store_path, control=control
        )
        return self._run(plan, control)

    def upload_buffer(
        self,
        data: Buffer,
        file_ext_name: str,
        metadata: Mapping[str, str] | None = None,
        *,
        group: str | None = None,
        store_path: int | None = None,
        **options: Unpack[TransferOptions],
    ) -> str:
        """Upload bytes, or anything with a contiguous buffer (not copied). As :meth:`upload_file`."""
        control = self._control(options) if options else None
        plan = upload.upload(
            self._cluster,
            memory_body(data),
            file_ext_name,
            metadata,
            group=group,
            store_path=store_path,
            control=control,
        )
        return self._run(plan, control)

    def upload_appender_file(
        self,
        local_filename: Path,
        metadata: Mapping[str, str] | None = None,
        *,
        file_ext_name: str | None = None,
        group: str | None = None,
        store_path: int | None = None,
        **options: Unpack[TransferOptions],
    ) -> str:
        """Upload a local file as one that can be appended to, modified and truncated. As :meth:`upload_file`."""
        control = self._control(options) if options else None
        plan = files.upload_file(
            self._cluster,
            local_filename,
            file_ext_name,
            metadata,
            appender=True,
            group=group,
            store_path=store_path,
            control=control,
        )
        return self._run(plan, control)

    def upload_appender_buffer(
        self,
        data: Buffer,
        file_ext_name: str,
        metadata: Mapping[str, str] | None = None,
        *,
        group: str | None = None,
        store_path: int | None = None,
        **options: Unpack[TransferOptions],
    ) -> str:
        """Upload bytes as a file that can be appended to, modified and truncated. As :meth:`upload_buffer`."""
        control = self._control(options) if options else None
        plan = upload.upload(
            self._cluster,
            memory_body(data),
            file_ext_name,
            metadata,
            appender=True,
            group=group,
            store_path=store_path,
            control=control,
        )
        return self._run(plan, control)

    def upload_slave_file(
        self,
        master_file_id: str,
        prefix_name: str,
        local_filename: Path,
        metadata: Mapping[str, str] | None = None,
        *,
        file_ext_name: str | None = None,
        **options: Unpack[TransferOptions],
    ) -> str:
        """Upload a local file whose ID is *master_file_id*'s with *prefix_name* (1 to 16 characters) added.

        It outlives its master: delete it by itself. As :meth:`upload_file`; also :class:`FileAlreadyExistsError`
        where the master has a slave of that name. Sent once only: its name cannot be used twice.
        """
        control = self._control(options) if options else None
        plan = files.upload_slave_file(
            self._cluster, master_file_id, prefix_name, local_filename, file_ext_name, metadata, control=control
        )
        return self._run(plan, control)

    def upload_slave_buffer(
        self,
        master_file_id: str,
        prefix_name: str,
        data: Buffer,
        file_ext_name: str,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[TransferOptions],
    ) -> str:
        """Upload bytes as a slave of *master_file_id*. As :meth:`upload_slave_file`."""
        control = self._control(options) if options else None
        plan = upload.upload_slave(
            self._cluster, memory_body(data), master_file_id, prefix_name, file_ext_name, metadata, control=control
        )
        return self._run(plan, control)

    def upload_segmented(
        self,
        local_filename: Path,
        metadata: Mapping[str, str] | None = None,
        *,
        segments: int = 4,
        regenerate: bool = True,
        file_ext_name: str | None = None,
        group: str | None = None,
        store_path: int | None = None,
        **options: Unpack[TransferOptions],
    ) -> str:
        """Upload one big file over several connections at once. As :meth:`upload_file`.

        An appender file is made, its pieces are written into it, and it is made a normal file: that takes servers from
        6.02 on, or *regenerate* False, which leaves it an appender file. It pays where one connection is the
        bottleneck, not the server's disk.

        Args:
            segments: pieces at a time, of 1 MiB at least.
        """
        control = self._control(options) if options else None
        plan = segmented.upload_segmented(
            self._cluster,
            local_filename,
            segments,
            file_ext_name,
            metadata,
            regenerate=regenerate,
            group=group,
            store_path=store_path,
            control=control,
        )
        return self._run(plan, control)

    # --- downloads

    def download_file(
        self,
        file_id: str,
        **options: Unpack[TransferOptions],
    ) -> bytes:
        """The whole file, checked against size and CRC-32 in its ID (:class:`IntegrityError`) where that has them."""
        control = self._control(options) if options else None
        return self._run(download.download_bytes(self._cluster, file_id, control=control), control)

    def download_file_range(
        self,
        file_id: str,
        offset: int,
        length: int,
        **options: Unpack[TransferOptions],
    ) -> bytes:
        """*length* bytes (0: to the end) from *offset*; fewer where the file ends before.

        Raises :class:`InvalidArgumentError` where *offset* is past the end.
        """
        control = self._control(options) if options else None
        return self._run(download.download_bytes(self._cluster, file_id, offset, length, control), control)

    def download_to_file(
        self,
        file_id: str,
        local_filename: Path,
        *,
        offset: int = 0,
        length: int = 0,
        fsync: bool = False,
        **options: Unpack[TransferOptions],
    ) -> int:
        """Save the file, or *length* bytes from *offset*, as *local_filename*, and return the number of bytes.

        It is written beside and renamed when whole and verified: nothing half is ever seen under that name. Missing
        directories are made.

        Args:
            fsync: have it on the disk before it gets its name.

        Raises OSError, with the path, where the local file cannot be written.
        """
        control = self._control(options) if options else None
        plan = download.download_file(
            self._cluster, file_id, local_filename, offset, length, fsync=fsync, control=control
        )
        return self._run(plan, control)

    def download_to_buffer(
        self,
        file_id: str,
        buffer: Buffer,
        offset: int = 0,
        length: int = 0,
        **options: Unpack[TransferOptions],
    ) -> int:
        """Download straight into *buffer* (bytearray, numpy array, mmap …) and return the number of bytes.

        Raises :class:`InvalidArgumentError` where the buffer is too small, read-only or not contiguous. After any error
        its contents are undefined.
        """
        control = self._control(options) if options else None
        return self._run(download.download_buffer(self._cluster, file_id, buffer, offset, length, control), control)

    def download_segmented(
        self,
        file_id: str,
        local_filename: Path,
        *,
        segments: int = 4,
        fsync: bool = False,
        **options: Unpack[TransferOptions],
    ) -> int:
        """Save one big file over several connections at once, to all servers that have it. As :meth:`download_to_file`.

        Room on the disk is taken before. The CRC-32 is that of the segments combined.

        Args:
            segments: ranges at a time, of 1 MiB at least.
        """
        control = self._control(options) if options else None
        plan = segmented.download_segmented(
            self._cluster, file_id, local_filename, segments, fsync=fsync, control=control
        )
        return self._run(plan, control)

    # --- changes

    def append_file(
        self,
        file_id: str,
        local_filename: Path,
        **options: Unpack[TransferOptions],
    ) -> None:
        """Add a local file's bytes at the end of an appender file.

        Where the connection fails after all has been sent, a :class:`NetworkError` with ``maybe_done`` set is raised:
        look at the size (:meth:`get_file_info`) before trying again.
        """
        control = self._control(options) if options else None
        return self._run(files.append_file(self._cluster, file_id, local_filename, control=control), control)

    def append_buffer(
        self,
        file_id: str,
        data: Buffer,
        **options: Unpack[TransferOptions],
    ) -> None:
        """Add bytes at the end of an appender file. As :meth:`append_file`."""
        control = self._control(options) if options else None
        return self._run(change.append(self._cluster, file_id, memory_body(data), control=control), control)

    def modify_file(
        self,
        file_id: str,
        offset: int,
        local_filename: Path,
        **options: Unpack[TransferOptions],
    ) -> None:
        """Write a local file's bytes over those of an appender file from *offset* on, which may be its end at most."""
        control = self._control(options) if options else None
        return self._run(files.modify_file(self._cluster, file_id, offset, local_filename, control=control), control)

    def modify_buffer(
        self,
        file_id: str,
        offset: int,
        data: Buffer,
        **options: Unpack[TransferOptions],
    ) -> None:
        """Write bytes over those of an appender file from *offset* on. As :meth:`modify_file`."""
        control = self._control(options) if options else None
        return self._run(change.modify(self._cluster, file_id, offset, memory_body(data), control=control), control)

    def truncate_file(self, file_id: str, size: int = 0) -> None:
        """Make an appender file *size* bytes long; one that grows is filled up with zeros."""
        return self._run(small.truncate_file(self._cluster, file_id, size))

    def regenerate_appender_file(self, file_id: str) -> str:
        """Make a normal file of an appender file and return its new ID; the old one is gone (6.02 and newer)."""
        return self._run(small.regenerate_appender_file(self._cluster, file_id))

    def delete_file(self, file_id: str) -> None:
        """Delete the file and its metadata; slaves stay."""
        return self._run(small.delete_file(self._cluster, file_id))

    def create_link(
        self,
        source_file_id: str,
        signature: bytes,
        file_ext_name: str,
        *,
        master_file_id: str = "",
        prefix_name: str = "",
    ) -> str:
        """Give *source_file_id*'s content a second file ID, as FastDHT does for files with the same *signature*."""
        return self._run(
            small.create_link(self._cluster, source_file_id, signature, file_ext_name, master_file_id, prefix_name)
        )

    # --- metadata and information

    def set_metadata(
        self, file_id: str, metadata: Mapping[str, str] | None, flag: MetadataFlag = MetadataFlag.OVERWRITE
    ) -> None:
        """Replace the file's metadata (with none: remove it), or merge into it.

        Raises :class:`InvalidMetadataError` for a name over 64 or a value over 256 bytes of UTF-8, an empty name, or
        the bytes 0x00 to 0x02.
        """
        return self._run(small.set_metadata(self._cluster, file_id, metadata, flag))

    def get_metadata(self, file_id: str) -> dict[str, str]:
        """The file's metadata; empty where it has none."""
        return self._run(small.get_metadata(self._cluster, file_id))

    def get_file_info(self, file_id: str, flags: int = 0) -> FileInfo:
        """Size, time, CRC-32 and source of the file, as the server tells them.

        Args:
            flags: 1 spares the server reading an appender or slave file for its CRC-32, 2 its log (6.15 and newer).
        """
        return self._run(small.get_file_info(self._cluster, file_id, flags))

    def file_exists(self, file_id: str) -> bool:
        """Whether there is such a file. False only where the servers say so; what prevents asking them is raised."""
        return self._run(small.file_exists(self._cluster, file_id))
