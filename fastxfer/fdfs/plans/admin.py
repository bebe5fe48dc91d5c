"""Questions to trackers about the cluster, and orders to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.commands import Command
from fastxfer.fdfs.commands import cluster as commands
from fastxfer.fdfs.commands.tracker import active_test, query_fetch_all, query_fetch_one, query_store, query_update
from fastxfer.fdfs.errors import (
    AlreadyDoneError,
    FastDFSError,
    InvalidArgumentError,
    NetworkError,
    NoStorageServerError,
)
from fastxfer.fdfs.plans.seek import parsed
from fastxfer.fdfs.plans.tracking import ask_one, ask_tracker
from fastxfer.fdfs.steps import Plan
from fastxfer.fdfs.types import STORAGE_DEFAULT_PORT, GroupInfo, StorageIdEntry, StorageServer
from fastxfer.net.address import Address, parse_address

__all__ = [
    "ask",
    "ask_leader",
    "fetch_storage_ids",
    "get_group",
    "ping",
    "query_download_servers",
    "query_update_server",
    "query_upload_server",
    "storage_address",
    "tell_all",
]

T = TypeVar("T")

_ENOENT = 2


def ask(cluster: Cluster, command: Callable[[], Command[T]]) -> Plan[T]:
    """Ask any tracker; what makes no request is :class:`InvalidArgumentError`."""
    return (yield from ask_tracker(cluster, _made(command)))


def ask_leader(cluster: Cluster, command: Callable[[], Command[T]]) -> Plan[T]:
    """Ask the tracker that leads the others."""
    request = _made(command)
    leader = yield from ask_tracker(cluster, commands.get_leader())
    return (yield from ask_one(parse_address(leader), request))


def tell_all(cluster: Cluster, command: Callable[[], Command[None]]) -> Plan[None]:
    """Tell every tracker: each keeps its own list. One that has done it already is content."""
    request = _made(command)
    failures: list[FastDFSError] = []
    done_before = 0
    for address in cluster.settings.trackers:
        try:
            yield from ask_one(address, request)
        except AlreadyDoneError as error:
            done_before += 1
            last = error
        except (NetworkError, FastDFSError) as error:
            failures.append(error)
    if failures:
        raise failures[0]
    if done_before == len(cluster.settings.trackers):
        raise last


def fetch_storage_ids(cluster: Cluster) -> Plan[list[StorageIdEntry]]:
    """All storage IDs of the cluster; none where it does not use them."""
    entries: list[StorageIdEntry] = []
    while True:
        start = len(entries)
        total, count, some = yield from ask_tracker(cluster, commands.fetch_storage_ids(start))
        entries += some
        if len(entries) >= total or count == 0:
            return entries


def ping(cluster: Cluster, server: str | None) -> Plan[None]:
    """Have *server*, or else any tracker, answer."""
    if server is None:
        return (yield from ask_tracker(cluster, active_test()))
    try:
        address = parse_address(server)
    except (ValueError, TypeError) as reason:
        raise InvalidArgumentError(str(reason)) from None
    return (yield from ask_one(address, active_test()))


def query_upload_server(cluster: Cluster, group: str | None) -> Plan[StorageServer]:
    """Where a tracker would have the next upload go."""
    try:
        _, servers, path = yield from ask(cluster, lambda: query_store(group))
    except FastDFSError as error:
        if error.status == _ENOENT:
            raise NoStorageServerError(f"none that takes uploads in group {group!r}" if group else "") from error
        raise
    return StorageServer(servers[0].host, servers[0].port, path)


def get_group(cluster: Cluster, name: str) -> Plan[GroupInfo]:
    """One group."""
    groups = yield from ask(cluster, lambda: commands.list_one_group(name))
    return groups[0]


def query_download_servers(cluster: Cluster, file_id: str, every: bool) -> Plan[list[StorageServer]]:
    """Where a tracker would have a file read from: one server in turn, or every."""
    parsed(file_id)
    return (yield from _servers(cluster, file_id, query_fetch_all(file_id) if every else query_fetch_one(file_id)))


def query_update_server(cluster: Cluster, file_id: str) -> Plan[StorageServer]:
    """Where a tracker would have a file changed."""
    parsed(file_id)
    servers = yield from _servers(cluster, file_id, query_update(file_id))
    return servers[0]


def _servers(cluster: Cluster, file_id: str, query: Command[list[Address]]) -> Plan[list[StorageServer]]:
    try:
        servers = yield from ask_tracker(cluster, query)
    except FastDFSError as error:
        if error.status == _ENOENT:
            raise NoStorageServerError(f"none in service for {file_id}") from error
        raise
    return [StorageServer(server.host, server.port) for server in servers]


def storage_address(text: str) -> Address:
    """``host:port``, or a host alone with the usual port; ValueError otherwise."""
    return parse_address(text, STORAGE_DEFAULT_PORT)


def _made(command: Callable[[], Command[T]]) -> Command[T]:
    try:
        return command()
    except (ValueError, TypeError, OverflowError) as reason:
        raise InvalidArgumentError(str(reason)) from None
