"""Constants, command codes and the values that operations return."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

TRACKER_DEFAULT_PORT = 22122
STORAGE_DEFAULT_PORT = 23000

FDFS_PROTO_HEADER_LEN = 10
FDFS_GROUP_NAME_MAX_LEN = 16
FDFS_FILE_EXT_NAME_MAX_LEN = 6
FDFS_MAX_META_NAME_LEN = 64
FDFS_MAX_META_VALUE_LEN = 256
FDFS_FILE_PREFIX_MAX_LEN = 16
FDFS_STORAGE_ID_MAX_SIZE = 16
FDFS_VERSION_SIZE = 8
IP_ADDRESS_SIZE = 16
IPV6_ADDRESS_SIZE = 46

FDFS_RECORD_SEPARATOR = b"\x01"
FDFS_FIELD_SEPARATOR = b"\x02"

STORE_PATH_ANY = 0xFF
"""Store path index that lets the storage server choose."""


class TrackerCommand(IntEnum):
    """Requests to a tracker that are for clients."""

    GET_MY_IP = 60
    TRACKER_GET_STATUS = 64
    FETCH_STORAGE_IDS = 69
    STORAGE_GET_SERVER_ID = 70
    STORAGE_GET_STATUS = 71
    PARAMETER_REQ = 75
    QUIT = 82
    SERVER_LIST_ONE_GROUP = 90
    SERVER_LIST_ALL_GROUPS = 91
    SERVER_LIST_STORAGE = 92
    SERVER_DELETE_STORAGE = 93
    SERVER_SET_TRUNK_SERVER = 94
    GET_LEADER = 95
    TRACKER_CLUSTER_STAT = 96
    STORAGE_CLUSTER_STAT = 97
    STORAGE_VOLUME_STAT = 98
    SERVICE_QUERY_STORE_WITHOUT_GROUP_ONE = 101
    SERVICE_QUERY_FETCH_ONE = 102
    SERVICE_QUERY_UPDATE = 103
    SERVICE_QUERY_STORE_WITH_GROUP_ONE = 104
    SERVICE_QUERY_FETCH_ALL = 105
    SERVICE_QUERY_STORE_WITHOUT_GROUP_ALL = 106
    SERVICE_QUERY_STORE_WITH_GROUP_ALL = 107
    SERVER_DELETE_GROUP = 108
    GET_GROUP_NAME = 109
    ACTIVE_TEST = 111


class StorageCommand(IntEnum):
    """Requests to a storage server."""

    UPLOAD_FILE = 11
    DELETE_FILE = 12
    SET_METADATA = 13
    DOWNLOAD_FILE = 14
    GET_METADATA = 15
    CREATE_LINK = 20
    UPLOAD_SLAVE_FILE = 21
    QUERY_FILE_INFO = 22
    UPLOAD_APPENDER_FILE = 23
    APPEND_FILE = 24
    MODIFY_FILE = 34
    TRUNCATE_FILE = 36
    REGENERATE_APPENDER_FILENAME = 38
    QUIT = 82
    ACTIVE_TEST = 111


class StorageStatus(IntEnum):
    """State of a storage server as its tracker sees it."""

    INIT = 0
    WAIT_SYNC = 1
    SYNCING = 2
    IP_CHANGED = 3
    DELETED = 4
    OFFLINE = 5
    ONLINE = 6
    ACTIVE = 7
    RECOVERY = 9
    NONE = 99


class MetadataFlag(IntEnum):
    """What setting metadata does to those there are."""

    OVERWRITE = ord("O")
    """Replace them all."""
    MERGE = ord("M")
    """Add, and replace those of the same name."""


@dataclass
class FileInfo:
    """What the storage server says of a file.

    Attributes:
        file_size: bytes.
        create_time: when it was stored (of an appender: last changed), local time.
        crc32: CRC-32 of the content; 0 for an appender or slave file where it was not asked for.
        source_ip_addr: the storage server that it was uploaded to.
    """

    file_size: int
    create_time: datetime
    crc32: int
    source_ip_addr: str

    def __getstate__(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in ("file_size", "create_time", "crc32", "source_ip_addr")}


class _CreateTime:
    """Makes the date when it is asked for: most who ask for a file's size and CRC-32 never do, and finding out what
    time it is here takes as long as all else together. From ``stored_at``, seconds since 1970, which is set instead."""

    def __get__(self, info: FileInfo | None, owner: type[FileInfo]) -> datetime:
        stored_at = None if info is None else info.__dict__.get("stored_at")
        if info is None or stored_at is None:
            raise AttributeError("create_time")
        info.create_time = moment = datetime.fromtimestamp(stored_at)
        return moment


# Not in the class body: there it would be taken for the field's default.
setattr(FileInfo, "create_time", _CreateTime())  # noqa: B010


@dataclass
class StorageServer:
    """A storage server as a place to go to.

    Attributes:
        ip_addr: its address.
        port: its port.
        store_path_index: store path to use, from 0; 255 lets it choose.
    """

    ip_addr: str
    port: int
    store_path_index: int = 0


@dataclass
class TrackerHeader:
    """The header of a request or reply.

    Attributes:
        length: bytes of body.
        cmd: command; 100 in replies.
        status: 0, or the errno of a reply.
    """

    length: int
    cmd: int
    status: int


@dataclass
class UploadResponse:
    """What an upload is answered with.

    Attributes:
        group_name: group that stores the file.
        remote_filename: its name there, ``M00/00/00/…``.
    """

    group_name: str
    remote_filename: str


@dataclass(frozen=True)
class GroupInfo:
    """A group as its tracker sees it. Space in MB; counts of servers from trackers older than 6.13 are those active.

    Attributes:
        reserved_mb: kept free (6.13.1 and newer, else 0).
        trunk_free_mb: free inside trunk files.
        readable_count: servers that may be read from.
        writable_count: servers that may be written to.
        current_write_server: index of the server that took the last upload.
        current_trunk_file_id: -1 where trunk files are off.
    """

    group_name: str
    total_mb: int
    free_mb: int
    reserved_mb: int
    trunk_free_mb: int
    storage_count: int
    storage_port: int
    readable_count: int
    writable_count: int
    current_write_server: int
    store_path_count: int
    subdir_count_per_path: int
    current_trunk_file_id: int


@dataclass(frozen=True)
class StorageCounters:
    """What a storage server has done since it began: attempts (``total_``) and successes; bytes likewise.

    The four times at the end are seconds since 1970, 0 for never.
    """

    connection_alloc_count: int
    connection_current_count: int
    connection_max_count: int
    total_upload_count: int
    success_upload_count: int
    total_append_count: int
    success_append_count: int
    total_modify_count: int
    success_modify_count: int
    total_truncate_count: int
    success_truncate_count: int
    total_set_meta_count: int
    success_set_meta_count: int
    total_delete_count: int
    success_delete_count: int
    total_download_count: int
    success_download_count: int
    total_get_meta_count: int
    success_get_meta_count: int
    total_create_link_count: int
    success_create_link_count: int
    total_delete_link_count: int
    success_delete_link_count: int
    total_upload_bytes: int
    success_upload_bytes: int
    total_append_bytes: int
    success_append_bytes: int
    total_modify_bytes: int
    success_modify_bytes: int
    total_download_bytes: int
    success_download_bytes: int
    total_sync_in_bytes: int
    success_sync_in_bytes: int
    total_sync_out_bytes: int
    success_sync_out_bytes: int
    total_file_open_count: int
    success_file_open_count: int
    total_file_read_count: int
    success_file_read_count: int
    total_file_write_count: int
    success_file_write_count: int
    last_source_update: int
    last_sync_update: int
    last_synced_timestamp: int
    last_heart_beat_time: int


@dataclass(frozen=True)
class StorageInfo:
    """A storage server as its tracker sees it. Space in MB, times in seconds since 1970.

    Attributes:
        status: its state; an int where this library knows no name for it.
        readable: may be read from (6.13 and newer; older: always).
        writable: may be written to (likewise).
        id: its ID; without storage IDs, its address.
        source_id: the server it was first synchronised from; may be empty.
        upload_priority: lower is preferred.
        is_trunk_server: whether it hands out the places in trunk files.
        counters: what it has done.
    """

    status: StorageStatus | int
    readable: bool
    writable: bool
    id: str
    ip_addr: str
    source_id: str
    version: str
    join_time: int
    up_time: int
    total_mb: int
    free_mb: int
    reserved_mb: int
    upload_priority: int
    store_path_count: int
    subdir_count_per_path: int
    current_write_path: int
    storage_port: int
    counters: StorageCounters = field(repr=False)
    is_trunk_server: bool = False


@dataclass(frozen=True)
class StorageState:
    """Answer to the question for one storage server's state."""

    status: StorageStatus | int
    port: int
    id: str
    ip_addr: str


@dataclass(frozen=True)
class StorageIdEntry:
    """One line of the cluster's list of storage IDs. *port* is 0 where the line names none."""

    id: str
    group_name: str
    ip_addrs: tuple[str, ...]
    port: int = 0
    read_write: str = ""


@dataclass(frozen=True)
class TrackerStatus:
    """How one tracker stands: *running_time* and *restart_interval* in seconds."""

    is_leader: bool
    running_time: int
    restart_interval: int


@dataclass(frozen=True)
class TrackerStat:
    """A tracker as the leader sees it (6.15 and newer); times in seconds since 1970."""

    host: str
    is_leader: bool
    is_active: bool
    connection_alloc_count: int
    connection_current_count: int
    connection_max_count: int
    version: str
    up_time: int
    last_heart_beat_time: int


@dataclass(frozen=True)
class StorageStat:
    """A storage server in short (6.14 and newer); times in seconds since 1970."""

    id: str
    host: str
    is_trunk_server: bool
    status: StorageStatus | int
    connection_alloc_count: int
    connection_current_count: int
    connection_max_count: int
    version: str
    up_time: int
    last_heart_beat_time: int


@dataclass(frozen=True)
class VolumeStat:
    """A group's space (6.14 and newer), MB."""

    group_name: str
    total_mb: int
    free_mb: int
    reserved_mb: int
    available_mb: int
    trunk_free_mb: int
    is_disk_available: bool
    is_trunk_available: bool
