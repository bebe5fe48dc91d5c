"""A tracker of the node: where to upload, where a file is, and what the cluster consists of."""

from __future__ import annotations

import ipaddress
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fastxfer.fdfs.node import tracker_records as records
from fastxfer.fdfs.node.actions import Action, Close, Reply, Request
from fastxfer.fdfs.node.cluster import Cluster, Group, StorageState, address_text
from fastxfer.fdfs.node.names import MAX_FILENAME, MIN_TRACKER_FILENAME, decode_as_server, is_slave
from fastxfer.fdfs.node.statuses import EEXIST, EINVAL, ENOENT, EOPNOTSUPP, Refused
from fastxfer.fdfs.types import TrackerCommand

GROUP_WIDTH = 16
MAX_ID = 15
RESTART_INTERVAL = 0
"""Seconds between the last two starts; a node does not remember the one before."""
BUFFER_SIZE = 16 * 1024


@dataclass
class TrackerState:
    """One tracker of the node."""

    name: str
    host: str
    port: int = 0
    alive: bool = False
    up_since: int = 0
    connections: int = 0
    max_connections: int = 0

    @property
    def address(self) -> str:
        return address_text(self.host, self.port)


@dataclass
class TrackerTeam:
    """All trackers of the node; the last one that is alive leads."""

    members: list[TrackerState] = field(default_factory=list)

    @property
    def leader(self) -> TrackerState | None:
        return next((tracker for tracker in reversed(self.members) if tracker.alive), None)


class TrackerService:
    """A tracker behind its listening socket."""

    closes_on_einval = False
    pipelines = True
    parses_refused_body = False
    length_bits = 32
    buffer_size = BUFFER_SIZE

    def __init__(self, cluster: Cluster, team: TrackerTeam, state: TrackerState) -> None:
        self.name = state.name
        self.cluster = cluster
        self.team = team
        self.state = state

    def handle(self, request: Request) -> Action:
        command = COMMANDS.get(request.command)
        if command is None:
            raise Refused(EINVAL, f"unknown command {request.command}")
        if not request.whole:
            raise Refused(EINVAL, f"body of {request.length} bytes is too long")
        with self.cluster.lock:
            answer = command(self, request)
        return answer if isinstance(answer, Close) else Reply(body=answer)

    def opened(self) -> None:
        self.state.connections += 1
        self.state.max_connections = max(self.state.max_connections, self.state.connections)

    def closed(self) -> None:
        self.state.connections -= 1

    # What replies are made of

    def server_fields(self, storage: StorageState) -> bytes:
        """Address and port as query replies have them."""
        width = 45 if self.cluster.config.wide_addresses else 15
        return struct.pack(f">{width}sq", storage.host.encode(), storage.port)


def _require_empty(request: Request) -> None:
    if request.length:
        raise Refused(EINVAL, f"no body is expected, not {request.length} bytes")


def _group_field(raw: bytes) -> str:
    return raw[:GROUP_WIDTH].partition(b"\0")[0].decode("latin-1")


def _named_group(tracker: TrackerService, request: Request) -> Group:
    """The group of a request whose body is a group's name."""
    if request.length != GROUP_WIDTH:
        raise Refused(EINVAL, f"a group name of {GROUP_WIDTH} bytes is expected, not {request.length}")
    return tracker.cluster.group(_group_field(request.body))


def _group_and_text(tracker: TrackerService, request: Request, longest: int) -> tuple[Group, str]:
    """A request of a group's name and a text behind it."""
    if not GROUP_WIDTH < request.length <= GROUP_WIDTH + longest:
        raise Refused(EINVAL, f"body of {request.length} bytes")
    text = request.body[GROUP_WIDTH:].partition(b"\0")[0].decode("latin-1")
    return tracker.cluster.group(_group_field(request.body)), text


def _group_header(group: Group) -> bytes:
    return struct.pack("16s", group.name.encode())


# Uploads


def _store_one(tracker: TrackerService, group: Group) -> bytes:
    storage = group.next_for_upload()
    return _group_header(group) + tracker.server_fields(storage) + bytes([storage.store.choose_path()])


def _store_all(tracker: TrackerService, group: Group) -> bytes:
    first = group.next_for_upload()
    servers = b"".join(tracker.server_fields(storage) for storage in group.serving)
    return _group_header(group) + servers + bytes([first.store.choose_path()])


def query_store_one(tracker: TrackerService, request: Request) -> bytes:
    """QUERY_STORE_WITHOUT_GROUP_ONE."""
    _require_empty(request)
    return _store_one(tracker, tracker.cluster.next_group())


def query_store_group_one(tracker: TrackerService, request: Request) -> bytes:
    """QUERY_STORE_WITH_GROUP_ONE."""
    return _store_one(tracker, _named_group(tracker, request))


def query_store_all(tracker: TrackerService, request: Request) -> bytes:
    """QUERY_STORE_WITHOUT_GROUP_ALL."""
    _require_empty(request)
    return _store_all(tracker, tracker.cluster.next_group())


def query_store_group_all(tracker: TrackerService, request: Request) -> bytes:
    """QUERY_STORE_WITH_GROUP_ALL."""
    return _store_all(tracker, _named_group(tracker, request))


# Where a file is


def _holders(tracker: TrackerService, request: Request, *, update: bool) -> tuple[Group, list[StorageState]]:
    raw = request.body[GROUP_WIDTH:]
    if not MIN_TRACKER_FILENAME <= len(raw) <= MAX_FILENAME:
        raise Refused(EINVAL, f"file name of {len(raw)} bytes")
    group = tracker.cluster.group(_group_field(request.body))
    filename = raw.decode("latin-1")
    file_id = decode_as_server(group.name, filename)
    changes = update or (file_id is not None and (file_id.appender or is_slave(filename, file_id)))
    return group, tracker.cluster.holders(group, file_id, changes=changes)


def query_fetch_one(tracker: TrackerService, request: Request) -> bytes:
    """QUERY_FETCH_ONE."""
    group, holders = _holders(tracker, request, update=False)
    return _group_header(group) + tracker.server_fields(group.next_for_download(holders))


def query_update(tracker: TrackerService, request: Request) -> bytes:
    """QUERY_UPDATE."""
    group, holders = _holders(tracker, request, update=True)
    return _group_header(group) + tracker.server_fields(holders[0])


def query_fetch_all(tracker: TrackerService, request: Request) -> bytes:
    """QUERY_FETCH_ALL."""
    group, holders = _holders(tracker, request, update=False)
    return _group_header(group) + b"".join(map(tracker.server_fields, holders))


# Lists


def list_one_group(tracker: TrackerService, request: Request) -> bytes:
    """LIST_ONE_GROUP."""
    return records.group_record(tracker.cluster, _named_group(tracker, request))


def list_all_groups(tracker: TrackerService, request: Request) -> bytes:
    """LIST_ALL_GROUPS."""
    _require_empty(request)
    return b"".join(records.group_record(tracker.cluster, group) for group in tracker.cluster.groups.values())


def list_storage(tracker: TrackerService, request: Request) -> bytes:
    """LIST_STORAGE: all of a group, or the one of an ID."""
    if request.length == GROUP_WIDTH:
        group = _named_group(tracker, request)
        wanted = group.joined
    else:
        group, storage_id = _group_and_text(tracker, request, MAX_ID)
        wanted = [tracker.cluster.find(group, storage_id)]
    return b"".join(
        records.storage_record(tracker.cluster, group, storage, storage.status_on(tracker.name)) for storage in wanted
    )


def storage_get_status(tracker: TrackerService, request: Request) -> bytes:
    """STORAGE_GET_STATUS, by ``address:port``."""
    group, address = _group_and_text(tracker, request, 64)
    if ":" not in address or address.endswith("]"):
        raise Refused(EINVAL, f"no port in {address!r}")
    for storage in group.joined:
        if storage.address == address:
            return records.storage_status(storage, storage.status_on(tracker.name))
    raise Refused(ENOENT, f"no storage {address} in group {group.name}")


def storage_get_server_id(tracker: TrackerService, request: Request) -> bytes:
    """STORAGE_GET_SERVER_ID, by ``address:port``; without storage IDs it is the address, known or not."""
    group, address = _group_and_text(tracker, request, 64)
    if not tracker.cluster.config.use_storage_id:
        return address.rpartition(":")[0].encode() if ":" in address else address.encode()
    for storage in group.storages:
        if storage.address == address:
            return storage.id.encode()
    raise Refused(ENOENT, f"no storage {address} in group {group.name}")


def fetch_storage_ids(tracker: TrackerService, request: Request) -> bytes:
    """FETCH_STORAGE_IDS: lines from an index on."""
    if request.length != 5:
        raise Refused(EINVAL, f"body of {request.length} bytes")
    start, allow_empty = struct.unpack(">iB", request.body)
    if not tracker.cluster.config.use_storage_id:
        if not allow_empty:
            raise Refused(EOPNOTSUPP, "storage IDs are not used")
        return bytes(8)
    storages = list(tracker.cluster.storages)
    if not 0 <= start <= len(storages):
        raise Refused(EINVAL, f"index {start} is not within {len(storages)} storage IDs")
    lines = [f"{storage.id} {storage.group} {storage.address}\n" for storage in storages[start:]]
    return struct.pack(">ii", len(storages), len(lines)) + "".join(lines).encode()


def get_group_name(tracker: TrackerService, request: Request) -> bytes:
    """GET_GROUP_NAME: the group of a storage, by address (default: the asker's) and port."""
    if request.length < 4:
        raise Refused(EINVAL, f"body of {request.length} bytes")
    if not tracker.cluster.config.use_storage_id:
        raise Refused(EOPNOTSUPP, "storage IDs are not used")
    host = request.body[:-4].partition(b"\0")[0].decode("latin-1") or request.peer
    (port,) = struct.unpack(">i", request.body[-4:])
    for storage in tracker.cluster.storages:
        if (storage.host, storage.port) == (host, port):
            return struct.pack("16s", storage.group.encode())
    raise Refused(ENOENT, f"no storage at {address_text(host, port)}")


def get_my_ip(tracker: TrackerService, request: Request) -> bytes:
    """GET_MY_IP: the address the tracker sees."""
    if request.length != 21:
        raise Refused(EINVAL, f"body of {request.length} bytes")
    tracker.cluster.group(_group_field(request.body))
    return str(ipaddress.ip_address(request.peer.partition("%")[0])).encode()


def parameter_req(tracker: TrackerService, request: Request) -> bytes:
    """PARAMETER_REQ: the settings that storages take over from trackers."""
    _require_empty(request)
    config = tracker.cluster.config
    settings: dict[str, object] = {
        "use_storage_id": int(config.use_storage_id),
        "id_type_in_filename": "id" if config.use_storage_id else "ip",
        "trust_storage_server_id": 1,
        "response_ip_addr_size": 46 if config.wide_addresses else 16,
        "storage_ip_changed_auto_adjust": 1,
        "storage_sync_file_max_delay": 86400,
        "store_path": 0,
        "reserved_storage_space": f"{config.reserved_mb}MB",
        "use_trunk_file": int(config.use_trunk_file),
        "slot_min_size": 256,
        "slot_max_size": config.slot_max_size,
        "trunk_alloc_alignment_size": 256,
        "trunk_file_size": config.trunk_file_size,
        "trunk_create_file_advance": 0,
        "trunk_create_file_time_base": "02:00",
        "trunk_create_file_interval": 86400,
        "trunk_create_file_space_threshold": 21474836480,
        "trunk_init_check_occupying": 0,
        "trunk_init_reload_from_binlog": 0,
        "trunk_free_space_merge": 1,
        "delete_unused_trunk_files": 0,
        "trunk_compress_binlog_min_interval": 86400,
        "trunk_compress_binlog_interval": 86400,
        "trunk_compress_binlog_time_base": "03:00",
        "trunk_binlog_max_backups": 7,
        "store_slave_file_use_link": int(config.store_slave_file_use_link),
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items()).encode()


# The cluster


def tracker_get_status(tracker: TrackerService, request: Request) -> bytes:
    """TRACKER_GET_STATUS."""
    _require_empty(request)
    running = int(time.time()) - tracker.state.up_since
    return struct.pack(">Bqq", tracker.team.leader is tracker.state, running, RESTART_INTERVAL)


def get_leader(tracker: TrackerService, request: Request) -> bytes:
    """GET_LEADER."""
    _require_empty(request)
    leader = tracker.team.leader
    if leader is None:
        raise Refused(ENOENT, "there is no leader")
    return leader.address.encode()


def _require_leader(tracker: TrackerService) -> None:
    if tracker.team.leader is not tracker.state:
        raise Refused(EOPNOTSUPP, "this tracker is not the leader")


def tracker_cluster_stat(tracker: TrackerService, request: Request) -> bytes:
    """TRACKER_CLUSTER_STAT: the trackers, those not active or not leader filtered out on request."""
    if request.length != 3:
        raise Refused(EINVAL, f"body of {request.length} bytes")
    _require_leader(tracker)
    filter_by, active, leader = request.body
    shown = []
    for member in tracker.team.members:
        is_leader = member is tracker.team.leader
        if (filter_by & 1 and member.alive != bool(active)) or (filter_by & 2 and is_leader != bool(leader)):
            continue
        shown.append(
            records.tracker_cluster_record(
                member.address,
                is_leader=is_leader,
                is_active=member.alive,
                connections=member.connections,
                max_connections=member.max_connections,
                up_since=member.up_since,
            )
        )
    return bytes([len(shown)]) + b"".join(shown)


def storage_cluster_stat(tracker: TrackerService, request: Request) -> bytes:
    """STORAGE_CLUSTER_STAT: all storages in short, filtered by status or by being a trunk server."""
    if request.length != 4:
        raise Refused(EINVAL, f"body of {request.length} bytes")
    filter_by, operator, status, trunk = request.body
    shown = []
    for group in tracker.cluster.groups.values():
        for storage in group.joined:
            is_trunk = storage is group.trunk_server
            state = storage.status_on(tracker.name)
            if filter_by & 1 and is_trunk != bool(trunk):
                continue
            if filter_by & 2 and (state == status) != (operator == ord("=")):
                continue
            shown.append(records.storage_cluster_record(group, storage, state))
    config = tracker.cluster.config
    return struct.pack(">BBi", config.use_storage_id, config.use_trunk_file, len(shown)) + b"".join(shown)


def storage_volume_stat(tracker: TrackerService, request: Request) -> bytes:
    """STORAGE_VOLUME_STAT: space per group, filtered by disk space, trunk space, or either being there."""
    if request.length != 4:
        raise Refused(EINVAL, f"body of {request.length} bytes")
    filter_by, disk, trunk, space = request.body
    shown = []
    for group in tracker.cluster.groups.values():
        has_disk = records.has_disk_space(tracker.cluster, group)
        has_trunk = group.trunk is not None
        if (
            (filter_by & 1 and has_disk != bool(disk))
            or (filter_by & 2 and has_trunk != bool(trunk))
            or (filter_by & 4 and (has_disk or has_trunk) != bool(space))
        ):
            continue
        shown.append(records.volume_record(tracker.cluster, group))
    head = struct.pack(">Bi", tracker.cluster.config.use_trunk_file, len(shown))
    return head + b"".join(shown)


def set_trunk_server(tracker: TrackerService, request: Request) -> bytes:
    """SET_TRUNK_SERVER: name the storage of a group that hands out the slots of trunk files, or let it be chosen.

    As long as the present one serves, another cannot be named (EEXIST).
    """
    storage_id = ""
    if request.length == GROUP_WIDTH:
        group = _named_group(tracker, request)
    else:
        group, storage_id = _group_and_text(tracker, request, MAX_ID)
    _require_leader(tracker)
    if not tracker.cluster.config.use_trunk_file:
        raise Refused(EOPNOTSUPP, "trunk files are not used")
    has_one = group.trunk_server is not None and group.trunk_server.serving
    if storage_id:
        wanted = tracker.cluster.find(group, storage_id)
        if has_one:
            raise Refused(EEXIST, f"group {group.name} has a trunk server")
        group.trunk_server = wanted
    elif not has_one:
        if not group.serving:
            raise Refused(ENOENT, f"no storage of group {group.name} is active")
        group.trunk_server = group.serving[0]
    assert group.trunk_server is not None
    return group.trunk_server.id.encode() + b"\0"


def delete_storage(tracker: TrackerService, request: Request) -> bytes:
    """DELETE_STORAGE: it is only marked, on this tracker."""
    group, storage_id = _group_and_text(tracker, request, MAX_ID)
    tracker.cluster.delete_storage(tracker.name, group, storage_id)
    return b""


def delete_group(tracker: TrackerService, request: Request) -> bytes:
    """DELETE_GROUP."""
    tracker.cluster.delete_group(_named_group(tracker, request).name)
    return b""


def active_test(tracker: TrackerService, request: Request) -> bytes:
    """ACTIVE_TEST."""
    _require_empty(request)
    return b""


def quit_connection(tracker: TrackerService, request: Request) -> Close:
    """QUIT."""
    return Close()


COMMANDS: dict[int, Callable[[TrackerService, Request], bytes | Close]] = {
    TrackerCommand.SERVICE_QUERY_STORE_WITHOUT_GROUP_ONE: query_store_one,
    TrackerCommand.SERVICE_QUERY_STORE_WITH_GROUP_ONE: query_store_group_one,
    TrackerCommand.SERVICE_QUERY_STORE_WITHOUT_GROUP_ALL: query_store_all,
    TrackerCommand.SERVICE_QUERY_STORE_WITH_GROUP_ALL: query_store_group_all,
    TrackerCommand.SERVICE_QUERY_FETCH_ONE: query_fetch_one,
    TrackerCommand.SERVICE_QUERY_UPDATE: query_update,
    TrackerCommand.SERVICE_QUERY_FETCH_ALL: query_fetch_all,
    TrackerCommand.SERVER_LIST_ONE_GROUP: list_one_group,
    TrackerCommand.SERVER_LIST_ALL_GROUPS: list_all_groups,
    TrackerCommand.SERVER_LIST_STORAGE: list_storage,
    TrackerCommand.SERVER_DELETE_STORAGE: delete_storage,
    TrackerCommand.SERVER_DELETE_GROUP: delete_group,
    TrackerCommand.SERVER_SET_TRUNK_SERVER: set_trunk_server,
    TrackerCommand.STORAGE_GET_STATUS: storage_get_status,
    TrackerCommand.STORAGE_GET_SERVER_ID: storage_get_server_id,
    TrackerCommand.FETCH_STORAGE_IDS: fetch_storage_ids,
    TrackerCommand.GET_GROUP_NAME: get_group_name,
    TrackerCommand.GET_MY_IP: get_my_ip,
    TrackerCommand.PARAMETER_REQ: parameter_req,
    TrackerCommand.TRACKER_GET_STATUS: tracker_get_status,
    TrackerCommand.GET_LEADER: get_leader,
    TrackerCommand.TRACKER_CLUSTER_STAT: tracker_cluster_stat,
    TrackerCommand.STORAGE_CLUSTER_STAT: storage_cluster_stat,
    TrackerCommand.STORAGE_VOLUME_STAT: storage_volume_stat,
    TrackerCommand.ACTIVE_TEST: active_test,
    TrackerCommand.QUIT: quit_connection,
}
