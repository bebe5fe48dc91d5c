"""The records in a tracker's replies: groups, storages, volumes, cluster state. Widths as FastDFS 6.16 has them."""

from __future__ import annotations

import dataclasses
import struct
import time

from fastxfer.fdfs.node.cluster import VERSION, Cluster, Group, StorageState
from fastxfer.fdfs.types import StorageCounters, StorageStatus

READ_AND_WRITE = 6
UPLOAD_PRIORITY = 10
CONNECTIONS_ALLOCATED = 64
MIB = 1 << 20
_GROUP = struct.Struct(">17s12q")
_STATUS = struct.Struct(">Bi16s46s")
_STORAGE_CLUSTER = struct.Struct(">16s52sBB3i8sqq")
_TRACKER_CLUSTER = struct.Struct(">52sBB3i8sqq")
_VOLUME = struct.Struct(">17s5q2B")
_COUNTERS = [field.name for field in dataclasses.fields(StorageCounters)]


def megabytes(group: Group) -> tuple[int, int]:
    """Total and free space of a group, MiB: that of the storage that has least."""
    storages = group.joined
    if not storages:
        return 0, 0
    spaces = [_space(storage) for storage in storages]
    return min(total for total, _ in spaces), min(free for _, free in spaces)


def _space(storage: StorageState) -> tuple[int, int]:
    pairs = [storage.store.space(index) for index in range(storage.store.count)]
    return sum(total for total, _ in pairs) // MIB, sum(free for _, free in pairs) // MIB


def group_record(cluster: Cluster, group: Group) -> bytes:
    """113 bytes."""
    total, free = megabytes(group)
    joined = group.joined
    serving = len(group.serving)
    return _GROUP.pack(
        group.name.encode(),
        total,
        free,
        cluster.config.reserved_mb,
        group.trunk.free_bytes // MIB if group.trunk else 0,
        len(joined),
        joined[0].port if joined else 0,
        serving,
        serving,
        group.current_write,
        joined[0].store.count if joined else 0,
        cluster.config.subdir_count,
        group.trunk.current_id if group.trunk else -1,
    )


def storage_record(cluster: Cluster, group: Group, storage: StorageState, status: StorageStatus) -> bytes:
    """487 bytes, or 517 with wide addresses."""
    width = 46 if cluster.config.wide_addresses else 16
    total, free = _space(storage)
    head = struct.pack(
        f">BB16s{width}s16s8s10q",
        status,
        READ_AND_WRITE,
        storage.id.encode(),
        storage.host.encode(),
        b"",
        VERSION.encode(),
        storage.joined_at,
        storage.up_since,
        total,
        free,
        cluster.config.reserved_mb,
        UPLOAD_PRIORITY,
        storage.store.count,
        cluster.config.subdir_count,
        0,
        storage.port,
    )
    values = [_counter(storage, name) for name in _COUNTERS]
    return head + struct.pack(">3i42q", *values) + bytes([storage is group.trunk_server])


def _counter(storage: StorageState, name: str) -> int:
    if name == "connection_alloc_count":
        return CONNECTIONS_ALLOCATED
    if name == "last_heart_beat_time" and storage.serving:
        return int(time.time())
    return storage.counters.values[name]


def storage_status(storage: StorageState, status: StorageStatus) -> bytes:
    """67 bytes; the address is always wide."""
    return _STATUS.pack(status, storage.port, storage.id.encode(), storage.host.encode())


def storage_cluster_record(group: Group, storage: StorageState, status: StorageStatus) -> bytes:
    """106 bytes."""
    return _STORAGE_CLUSTER.pack(
        storage.id.encode(),
        storage.address.encode(),
        storage is group.trunk_server,
        status,
        CONNECTIONS_ALLOCATED,
        storage.counters.values["connection_current_count"],
        storage.counters.values["connection_max_count"],
        VERSION.encode(),
        storage.up_since,
        _counter(storage, "last_heart_beat_time"),
    )


def tracker_cluster_record(
    address: str, *, is_leader: bool, is_active: bool, connections: int, max_connections: int, up_since: int
) -> bytes:
    """90 bytes."""
    return _TRACKER_CLUSTER.pack(
        address.encode(),
        is_leader,
        is_active,
        256,
        connections,
        max_connections,
        VERSION.encode(),
        up_since,
        0,
    )


def volume_record(cluster: Cluster, group: Group) -> bytes:
    """59 bytes."""
    total, free = megabytes(group)
    reserved = cluster.config.reserved_mb
    available = max(0, free - reserved)
    trunk_free = group.trunk.free_bytes // MIB if group.trunk else 0
    return _VOLUME.pack(
        group.name.encode(),
        total,
        free,
        reserved,
        available,
        trunk_free,
        has_disk_space(cluster, group),
        group.trunk is not None,
    )


def has_disk_space(cluster: Cluster, group: Group) -> bool:
    return any(not storage.store.full() for storage in group.joined)
