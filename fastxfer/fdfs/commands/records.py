"""The tracker's records of groups and storage servers; which layout is in use is told by the length of the reply."""

from __future__ import annotations

import struct
from typing import NamedTuple

from fastxfer.fdfs.types import (
    GroupInfo,
    StorageCounters,
    StorageInfo,
    StorageStat,
    StorageState,
    StorageStatus,
    TrackerStat,
    VolumeStat,
)

__all__ = ["groups", "storage_state", "storage_stats", "storages", "tracker_stats", "volume_stats"]

_GROUP = struct.Struct(">17s12q")
_GROUP_BEFORE_6_13 = struct.Struct(">17s11q")


class _StorageLayout(NamedTuple):
    """Widths that changed over the versions.

    Attributes:
        head: status, rights, ID, address, source ID and version as struct fields; the names of those present.
        domain: whether a domain name stands after the address, and an HTTP port at the end (up to 6.12).
        connections: whether the three connection counts are there (5.x: from 5.08 on).
    """

    head: str
    domain: bool
    connections: bool

    @property
    def record(self) -> struct.Struct:
        return struct.Struct(f">{self.head}10q{'3i' if self.connections else ''}42qB")


_STORAGE_LAYOUTS = tuple(
    (layout, layout.record)
    for layout in (
        _StorageLayout("BB16s16s16s8s", False, True),
        _StorageLayout("BB16s46s16s8s", False, True),
        _StorageLayout("B16s16s128s16s6s", True, True),
        _StorageLayout("B16s16s128s16s8s", True, True),
        _StorageLayout("B16s46s128s16s8s", True, True),
        _StorageLayout("B16s16s128s16s6s", True, False),
    )
)
"""6.13.1 and newer with IPv4 and IPv6 fields (487, 517 bytes); older ones (612, 614, 644, 600)."""

_TRACKER_STAT = struct.Struct(">52sBB3i8sqq")
_STORAGE_STAT = struct.Struct(">16s52sBB3i8sqq")
_VOLUME_STAT = struct.Struct(">17s5qBB")
_STATE = struct.Struct(">Bi16s46s")


def groups(body: bytes) -> list[GroupInfo]:
    """LIST_ONE_GROUP and LIST_ALL_GROUPS."""
    if len(body) % _GROUP.size == 0:
        return [GroupInfo(_text(name), *numbers) for name, *numbers in _GROUP.iter_unpack(body)]
    if len(body) % _GROUP_BEFORE_6_13.size == 0:
        return [_old_group(name, numbers) for name, *numbers in _GROUP_BEFORE_6_13.iter_unpack(body)]
    raise ValueError(f"a reply of {len(body)} bytes is not a list of groups")


def storages(body: bytes) -> list[StorageInfo]:
    """LIST_STORAGE."""
    for layout, record in _STORAGE_LAYOUTS:
        if len(body) % record.size == 0:
            return [_storage(layout, fields) for fields in record.iter_unpack(body)]
    raise ValueError(f"a reply of {len(body)} bytes is not a list of storage servers")


def storage_state(body: bytes) -> StorageState:
    """STORAGE_GET_STATUS: 67 bytes whatever the address family."""
    if len(body) != _STATE.size:
        raise ValueError(f"a reply of {len(body)} bytes is not a storage server's state")
    status, port, server_id, address = _STATE.unpack(body)
    return StorageState(_status(status), port, _text(server_id), _text(address))


def tracker_stats(body: bytes) -> list[TrackerStat]:
    """TRACKER_CLUSTER_STAT: a count in one byte, then that many records."""
    if len(body) < 1 or len(body) != 1 + body[0] * _TRACKER_STAT.size:
        raise ValueError(f"a reply of {len(body)} bytes is not a list of trackers")
    return [
        TrackerStat(_text(host), bool(leader), bool(active), alloc, current, most, _text(version), up, heard)
        for host, leader, active, alloc, current, most, version, up, heard in _TRACKER_STAT.iter_unpack(body[1:])
    ]


def storage_stats(body: bytes) -> list[StorageStat]:
    """STORAGE_CLUSTER_STAT: two flags, a count in four bytes, then that many records."""
    _check_counted(body, 6, _STORAGE_STAT, "storage servers")
    return [
        StorageStat(
            _text(own_id), _text(host), bool(trunk), _status(status), alloc, current, most, _text(version), up, heard
        )
        for own_id, host, trunk, status, alloc, current, most, version, up, heard in _STORAGE_STAT.iter_unpack(body[6:])
    ]


def volume_stats(body: bytes) -> list[VolumeStat]:
    """STORAGE_VOLUME_STAT: a flag, a count in four bytes, then that many records."""
    _check_counted(body, 5, _VOLUME_STAT, "volumes")
    return [
        VolumeStat(_text(group), total, free, reserved, available, trunk_free, bool(disk), bool(trunk))
        for group, total, free, reserved, available, trunk_free, disk, trunk in _VOLUME_STAT.iter_unpack(body[5:])
    ]


def _check_counted(body: bytes, head: int, record: struct.Struct, what: str) -> None:
    count = int.from_bytes(body[head - 4 : head], "big") if len(body) >= head else -1
    if len(body) != head + count * record.size:
        raise ValueError(f"a reply of {len(body)} bytes is not a list of {what}")


def _old_group(name: bytes, numbers: list[int]) -> GroupInfo:
    total, free, trunk_free, count, port, _http_port, active, current, paths, subdirs, trunk_file = numbers
    return GroupInfo(
        _text(name), total, free, 0, trunk_free, count, port, active, active, current, paths, subdirs, trunk_file
    )


def _storage(layout: _StorageLayout, fields: tuple[object, ...]) -> StorageInfo:
    values = list(fields)
    status = _status(int(values.pop(0)))  # type: ignore[call-overload]
    rights = 6 if layout.domain else int(values.pop(0))  # type: ignore[call-overload]
    own_id, address = _text(values.pop(0)), _text(values.pop(0))
    if layout.domain:
        del values[0]
    source_id, version = _text(values.pop(0)), _text(values.pop(0))
    numbers = [int(value) for value in values]  # type: ignore[call-overload]
    basic, counters, trunk = numbers[:10], numbers[10:-1], numbers[-1]
    if layout.domain:
        # No reserved space in these; the tenth number is the HTTP port.
        basic = [*basic[:4], 0, *basic[4:9]]
    joined, up, total, free, reserved, priority, paths, subdirs, write_path, port = basic
    if not layout.connections:
        counters = [0, 0, 0, *counters]
    return StorageInfo(
        status,
        bool(rights & 4),
        bool(rights & 2),
        own_id,
        address,
        source_id,
        version,
        joined,
        up,
        total,
        free,
        reserved,
        priority,
        paths,
        subdirs,
        write_path,
        port,
        StorageCounters(*counters),
        bool(trunk),
    )


def _status(value: int) -> StorageStatus | int:
    try:
        return StorageStatus(value)
    except ValueError:
        return value


def _text(field: object) -> str:
    assert isinstance(field, bytes)
    # Older servers leave rubbish behind the NUL.
    return field.partition(b"\0")[0].decode("utf-8", "replace")
