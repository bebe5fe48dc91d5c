"""The operations of :class:`AsyncClient` as type checkers see them: those of :class:`Client`, awaited.

``tests/fdfs/test_fdfs_interface.py`` holds this file and the code together.
"""

from collections.abc import AsyncGenerator, Mapping
from os import PathLike
from types import TracebackType
from typing import Protocol

from typing_extensions import Buffer, Unpack

from fastxfer.fdfs.async_batch_methods import AsyncBatchMethods
from fastxfer.fdfs.async_stream import AnyStream
from fastxfer.fdfs.config import ClientConfig
from fastxfer.fdfs.stats import ClientStats
from fastxfer.fdfs.steps import TransferOptions
from fastxfer.fdfs.types import (
    FileInfo,
    GroupInfo,
    MetadataFlag,
    StorageIdEntry,
    StorageInfo,
    StorageServer,
    StorageStat,
    StorageState,
    StorageStatus,
    TrackerStat,
    TrackerStatus,
    VolumeStat,
)

__all__ = ["AsyncClient"]

_Path = str | PathLike[str]

class Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...

class AsyncClient(AsyncBatchMethods):
    config: ClientConfig
    closed: bool
    def __init__(self, config: ClientConfig) -> None: ...
    async def upload_file(
        self,
        local_filename: _Path,
        metadata: Mapping[str, str] | None = None,
        *,
        file_ext_name: str | None = None,
        group: str | None = None,
        store_path: int | None = None,
        **options: Unpack[TransferOptions],
    ) -> str: ...
    async def upload_buffer(
        self,
        data: Buffer,
        file_ext_name: str,
        metadata: Mapping[str, str] | None = None,
        *,
        group: str | None = None,
        store_path: int | None = None,
        **options: Unpack[TransferOptions],
    ) -> str: ...
    async def upload_appender_file(
        self,
        local_filename: _Path,
        metadata: Mapping[str, str] | None = None,
        *,
        file_ext_name: str | None = None,
        group: str | None = None,
        store_path: int | None = None,
        **options: Unpack[TransferOptions],
    ) -> str: ...
    async def upload_appender_buffer(
        self,
        data: Buffer,
        file_ext_name: str,
        metadata: Mapping[str, str] | None = None,
        *,
        group: str | None = None,
        store_path: int | None = None,
        **options: Unpack[TransferOptions],
    ) -> str: ...
    async def upload_slave_file(
        self,
        master_file_id: str,
        prefix_name: str,
        local_filename: _Path,
        metadata: Mapping[str, str] | None = None,
        *,
        file_ext_name: str | None = None,
        **options: Unpack[TransferOptions],
    ) -> str: ...
    async def upload_slave_buffer(
        self,
        master_file_id: str,
        prefix_name: str,
        data: Buffer,
        file_ext_name: str,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[TransferOptions],
    ) -> str: ...
    async def upload_segmented(
        self,
        local_filename: _Path,
        metadata: Mapping[str, str] | None = None,
        *,
        segments: int = 4,
        regenerate: bool = True,
        file_ext_name: str | None = None,
        group: str | None = None,
        store_path: int | None = None,
        **options: Unpack[TransferOptions],
    ) -> str: ...
    async def download_file(
        self,
        file_id: str,
        **options: Unpack[TransferOptions],
    ) -> bytes: ...
    async def download_file_range(
        self,
        file_id: str,
        offset: int,
        length: int,
        **options: Unpack[TransferOptions],
    ) -> bytes: ...
    async def download_to_file(
        self,
        file_id: str,
        local_filename: _Path,
        *,
        offset: int = 0,
        length: int = 0,
        fsync: bool = False,
        **options: Unpack[TransferOptions],
    ) -> int: ...
    async def download_to_buffer(
        self,
        file_id: str,
        buffer: Buffer,
        offset: int = 0,
        length: int = 0,
        **options: Unpack[TransferOptions],
    ) -> int: ...
    async def download_segmented(
        self,
        file_id: str,
        local_filename: _Path,
        *,
        segments: int = 4,
        fsync: bool = False,
        **options: Unpack[TransferOptions],
    ) -> int: ...
    async def append_file(
        self,
        file_id: str,
        local_filename: _Path,
        **options: Unpack[TransferOptions],
    ) -> None: ...
    async def append_buffer(
        self,
        file_id: str,
        data: Buffer,
        **options: Unpack[TransferOptions],
    ) -> None: ...
    async def modify_file(
        self,
        file_id: str,
        offset: int,
        local_filename: _Path,
        **options: Unpack[TransferOptions],
    ) -> None: ...
    async def modify_buffer(
        self,
        file_id: str,
        offset: int,
        data: Buffer,
        **options: Unpack[TransferOptions],
    ) -> None: ...
    async def truncate_file(self, file_id: str, size: int = 0) -> None: ...
    async def regenerate_appender_file(self, file_id: str) -> str: ...
    async def delete_file(self, file_id: str) -> None: ...
    async def create_link(
        self,
        source_file_id: str,
        signature: bytes,
        file_ext_name: str,
        *,
        master_file_id: str = "",
        prefix_name: str = "",
    ) -> str: ...
    async def set_metadata(
        self, file_id: str, metadata: Mapping[str, str] | None, flag: MetadataFlag = MetadataFlag.OVERWRITE
    ) -> None: ...
    async def get_metadata(self, file_id: str) -> dict[str, str]: ...
    async def get_file_info(self, file_id: str, flags: int = 0) -> FileInfo: ...
    async def file_exists(self, file_id: str) -> bool: ...
    async def upload_stream(
        self,
        stream: AnyStream,
        file_ext_name: str,
        metadata: Mapping[str, str] | None = None,
        *,
        appender: bool = False,
        group: str | None = None,
        store_path: int | None = None,
        **options: Unpack[TransferOptions],
    ) -> str: ...
    def download_iter(
        self,
        file_id: str,
        chunk_size: int = ...,
        *,
        offset: int = 0,
        length: int = 0,
        **options: Unpack[TransferOptions],
    ) -> AsyncGenerator[bytes]: ...
    async def download_to_stream(
        self,
        file_id: str,
        stream: Writable,
        *,
        offset: int = 0,
        length: int = 0,
        **options: Unpack[TransferOptions],
    ) -> int: ...
    async def list_groups(self) -> list[GroupInfo]: ...
    async def get_group(self, group_name: str) -> GroupInfo: ...
    async def list_storages(self, group_name: str, storage_id: str = "") -> list[StorageInfo]: ...
    async def delete_storage(self, group_name: str, storage_id: str) -> None: ...
    async def delete_group(self, group_name: str) -> None: ...
    async def set_trunk_server(self, group_name: str, storage_id: str = "") -> str: ...
    async def active_test(self, server: str | None = None) -> None: ...
    async def get_leader(self) -> str: ...
    async def get_tracker_status(self) -> TrackerStatus: ...
    async def get_parameters(self) -> dict[str, str]: ...
    async def tracker_cluster_stat(
        self, *, active: bool | None = None, leader: bool | None = None
    ) -> list[TrackerStat]: ...
    async def storage_cluster_stat(
        self,
        *,
        trunk_server: bool | None = None,
        status: StorageStatus | None = None,
        status_is_not: bool = False,
    ) -> list[StorageStat]: ...
    async def storage_volume_stat(
        self, *, disk: bool | None = None, trunk: bool | None = None, space: bool | None = None
    ) -> list[VolumeStat]: ...
    async def list_storage_ids(self) -> list[StorageIdEntry]: ...
    async def get_storage_status(self, group_name: str, server: str) -> StorageState: ...
    async def get_storage_id(self, group_name: str, server: str) -> str: ...
    async def get_group_name(self, server: str) -> str: ...
    async def get_my_ip(self, group_name: str = "", port: int = 0) -> str: ...
    async def query_upload_server(self, group_name: str | None = None) -> StorageServer: ...
    async def query_download_servers(self, file_id: str, *, every: bool = True) -> list[StorageServer]: ...
    async def query_update_server(self, file_id: str) -> StorageServer: ...
    def stats(self) -> ClientStats: ...
    async def aclose(self) -> None: ...
    async def close(self) -> None: ...
    async def __aenter__(self) -> AsyncClient: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
