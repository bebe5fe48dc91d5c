"""What a tracker is asked about the cluster, and told to do with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fastxfer.core.wire import group_request, pack_header
from fastxfer.fdfs.arguments import check_integer
from fastxfer.fdfs.commands import Command, nothing, records
from fastxfer.fdfs.types import (
    GroupInfo,
    StorageIdEntry,
    StorageInfo,
    StorageStat,
    StorageState,
    StorageStatus,
    TrackerCommand,
    TrackerStat,
    TrackerStatus,
    VolumeStat,
)
from fastxfer.net.address import Address, parse_address

__all__ = [
    "delete_group",
    "delete_storage",
    "fetch_storage_ids",
    "get_group_name",
    "get_leader",
    "get_my_ip",
    "get_parameters",
    "get_storage_id",
    "get_storage_state",
    "get_tracker_status",
    "list_groups",
    "list_one_group",
    "list_storages",
    "set_trunk_server",
    "storage_cluster_stat",
    "storage_volume_stat",
    "tracker_cluster_stat",
]

T = TypeVar("T")


def list_groups() -> Command[list[GroupInfo]]:
    """LIST_ALL_GROUPS."""
    return _bare(TrackerCommand.SERVER_LIST_ALL_GROUPS, records.groups)


def list_one_group(group: str) -> Command[list[GroupInfo]]:
    """LIST_ONE_GROUP."""
    return _about(TrackerCommand.SERVER_LIST_ONE_GROUP, group, "", _one_group)


def list_storages(group: str, storage_id: str = "") -> Command[list[StorageInfo]]:
    """LIST_STORAGE: of a group, or the one with *storage_id*."""
    return _about(TrackerCommand.SERVER_LIST_STORAGE, group, storage_id, records.storages)


def delete_storage(group: str, storage_id: str) -> Command[None]:
    """DELETE_STORAGE, to be sent to each tracker: marks it. EBUSY while it is up, EALREADY the second time."""
    return _about(TrackerCommand.SERVER_DELETE_STORAGE, group, _required(storage_id, "storage ID"), nothing)


def delete_group(group: str) -> Command[None]:
    """DELETE_GROUP: EBUSY while it has servers; to be sent to each tracker."""
    return _about(TrackerCommand.SERVER_DELETE_GROUP, group, "", nothing)


def set_trunk_server(group: str, storage_id: str = "") -> Command[str]:
    """SET_TRUNK_SERVER: the reply is the ID of the one chosen. Only by the leader; EEXIST where it already is it."""
    return _about(TrackerCommand.SERVER_SET_TRUNK_SERVER, group, storage_id, _text)


def get_storage_state(group: str, server: Address) -> Command[StorageState]:
    """STORAGE_GET_STATUS."""
    return _about(TrackerCommand.STORAGE_GET_STATUS, group, str(server), records.storage_state)


def get_storage_id(group: str, server: Address) -> Command[str]:
    """STORAGE_GET_SERVER_ID; without storage IDs its address comes back, even that of an unknown one."""
    return _about(TrackerCommand.STORAGE_GET_SERVER_ID, group, str(server), _told)


def get_my_ip(group: str, port: int) -> Command[str]:
    """GET_MY_IP: the address under which the tracker sees this client."""
    code = TrackerCommand.GET_MY_IP
    name = group.encode() if isinstance(group, str) else b"\0"
    if len(name) > 16 or b"\0" in name:
        raise ValueError(f"{group!r} is no group name")
    body = name.ljust(17, b"\0") + check_integer("port", port, 0, 65535).to_bytes(4, "big")
    return Command(code, pack_header(len(body), code) + body, _told)


def fetch_storage_ids(start: int, *, allow_empty: bool = True) -> Command[tuple[int, int, list[StorageIdEntry]]]:
    """FETCH_STORAGE_IDS: total, how many come here, and those, from the one at index *start*.

    A cluster without storage IDs answers with none, or, unless *allow_empty*, EOPNOTSUPP.
    """
    code = TrackerCommand.FETCH_STORAGE_IDS
    body = start.to_bytes(4, "big") + bytes((allow_empty,))
    return Command(code, pack_header(len(body), code) + body, _storage_ids)


def get_group_name(host: str, port: int) -> Command[str]:
    """GET_GROUP_NAME of the storage server at that address (storage IDs only, else EOPNOTSUPP)."""
    code = TrackerCommand.GET_GROUP_NAME
    body = host.encode() + port.to_bytes(4, "big")
    return Command(code, pack_header(len(body), code) + body, _told)


def get_parameters() -> Command[dict[str, str]]:
    """PARAMETER_REQ: the tracker's settings that concern storage servers."""
    return _bare(TrackerCommand.PARAMETER_REQ, _parameters)


def get_tracker_status() -> Command[TrackerStatus]:
    """TRACKER_GET_STATUS."""
    return _bare(TrackerCommand.TRACKER_GET_STATUS, _tracker_status)


def get_leader() -> Command[str]:
    """GET_LEADER, ``host:port``; ENOENT while there is none."""
    return _bare(TrackerCommand.GET_LEADER, _address)


def tracker_cluster_stat(*, active: bool | None = None, leader: bool | None = None) -> Command[list[TrackerStat]]:
    """TRACKER_CLUSTER_STAT, filtered where an argument is given. Only by the leader, else EOPNOTSUPP."""
    filters = (active is not None) << 0 | (leader is not None) << 1
    return _filtered(
        TrackerCommand.TRACKER_CLUSTER_STAT, bytes((filters, bool(active), bool(leader))), records.tracker_stats
    )


def storage_cluster_stat(
    *, trunk_server: bool | None = None, status: StorageStatus | None = None, status_is_not: bool = False
) -> Command[list[StorageStat]]:
    """STORAGE_CLUSTER_STAT, filtered where an argument is given."""
    filters = (trunk_server is not None) << 0 | (status is not None) << 1
    operator = b"\0" if status is None else b"!" if status_is_not else b"="
    body = bytes((filters,)) + operator + bytes((status or 0, bool(trunk_server)))
    return _filtered(TrackerCommand.STORAGE_CLUSTER_STAT, body, records.storage_stats)


def storage_volume_stat(
    *, disk: bool | None = None, trunk: bool | None = None, space: bool | None = None
) -> Command[list[VolumeStat]]:
    """STORAGE_VOLUME_STAT, filtered by availability where an argument is given."""
    filters = (disk is not None) << 0 | (trunk is not None) << 1 | (space is not None) << 2
    body = bytes((filters, bool(disk), bool(trunk), bool(space)))
    return _filtered(TrackerCommand.STORAGE_VOLUME_STAT, body, records.volume_stats)


def _bare(code: int, decode: Callable[[bytes], T]) -> Command[T]:
    return Command(code, pack_header(0, code), decode)


def _about(code: int, group: str, server: str, decode: Callable[[bytes], T]) -> Command[T]:
    return Command(code, group_request(code, group, server), decode)


def _filtered(code: int, body: bytes, decode: Callable[[bytes], T]) -> Command[T]:
    return Command(code, pack_header(len(body), code) + body, decode)


def _required(text: str, what: str) -> str:
    if not text:
        raise ValueError(f"the {what} is empty")
    return text


def _text(body: bytes) -> str:
    return body.partition(b"\0")[0].decode("utf-8", "replace")


def _told(body: bytes) -> str:
    text = _text(body)
    if not text:
        raise ValueError("the answer is empty")
    return text


def _address(body: bytes) -> str:
    return str(parse_address(_text(body)))


def _one_group(body: bytes) -> list[GroupInfo]:
    groups = records.groups(body)
    if len(groups) != 1:
        raise ValueError(f"{len(groups)} groups came where one was asked for")
    return groups


def _parameters(body: bytes) -> dict[str, str]:
    pairs = (line.partition("=") for line in _text(body).splitlines())
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def _tracker_status(body: bytes) -> TrackerStatus:
    if len(body) != 17:
        raise ValueError(f"a reply of {len(body)} bytes is not a tracker's status")
    return TrackerStatus(bool(body[0]), int.from_bytes(body[1:9], "big"), int.from_bytes(body[9:17], "big"))


def _storage_ids(body: bytes) -> tuple[int, int, list[StorageIdEntry]]:
    if len(body) < 8:
        raise ValueError(f"a reply of {len(body)} bytes is not a list of storage IDs")
    total, count = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
    entries = [_storage_id(line) for line in _text(body[8:]).splitlines() if line.strip()]
    if len(entries) != count:
        raise ValueError(f"{len(entries)} storage IDs where {count} were announced")
    return total, count, entries


def _storage_id(line: str) -> StorageIdEntry:
    own_id, group, place, *options = line.split()
    addresses, port = place, 0
    head, colon, tail = place.rpartition(":")
    # An IPv6 address stands in brackets; a colon after the last of them, or after plain IPv4 ones, begins the port.
    if colon and tail.isdigit() and "]" not in tail and (head.endswith("]") or ":" not in head.rpartition("]")[2]):
        addresses, port = head, int(tail)
    rights = next((option.partition("=")[2] for option in options if option.startswith("rw=")), "")
    return StorageIdEntry(own_id, group, tuple(part.strip("[]") for part in addresses.split(",")), port, rights)
