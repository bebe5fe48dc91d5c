"""What a tracker is asked on behalf of one file: where to store it, where to find it."""

from __future__ import annotations

from fastxfer.core.wire import (
    file_request,
    group_request,
    pack_header,
    unpack_fetch_target,
    unpack_fetch_targets,
    unpack_store_target,
    unpack_store_targets,
)
from fastxfer.fdfs.commands import Command, nothing
from fastxfer.fdfs.types import TrackerCommand
from fastxfer.net.address import Address

__all__ = [
    "StoreTargets",
    "active_test",
    "query_fetch_all",
    "query_fetch_one",
    "query_store",
    "query_store_all",
    "query_update",
]

StoreTargets = tuple[str, list[Address], int]
"""Group, its servers, store path index that goes with the first of them."""


def query_store(group: str | None = None) -> Command[StoreTargets]:
    """QUERY_STORE_*_ONE: one server that takes uploads, in *group* or wherever the tracker likes."""
    if group is None:
        code: int = TrackerCommand.SERVICE_QUERY_STORE_WITHOUT_GROUP_ONE
        return Command(code, pack_header(0, code), _store_target)
    code = TrackerCommand.SERVICE_QUERY_STORE_WITH_GROUP_ONE
    return Command(code, group_request(code, group), _store_target)


def query_store_all(group: str | None = None) -> Command[StoreTargets]:
    """QUERY_STORE_*_ALL: all servers of one group that take uploads."""
    if group is None:
        code: int = TrackerCommand.SERVICE_QUERY_STORE_WITHOUT_GROUP_ALL
        return Command(code, pack_header(0, code), _store_targets)
    code = TrackerCommand.SERVICE_QUERY_STORE_WITH_GROUP_ALL
    return Command(code, group_request(code, group), _store_targets)


def query_fetch_one(file_id: str) -> Command[list[Address]]:
    """QUERY_FETCH_ONE: a server to read the file from, in turn among those that should have it."""
    code: int = TrackerCommand.SERVICE_QUERY_FETCH_ONE
    return Command(code, file_request(code, file_id), _fetch_target)


def query_fetch_all(file_id: str) -> Command[list[Address]]:
    """QUERY_FETCH_ALL: all servers that should have the file."""
    code: int = TrackerCommand.SERVICE_QUERY_FETCH_ALL
    return Command(code, file_request(code, file_id), _fetch_targets)


def query_update(file_id: str) -> Command[list[Address]]:
    """QUERY_UPDATE: the server for changes: the file's source if it may be written to, else another."""
    code: int = TrackerCommand.SERVICE_QUERY_UPDATE
    return Command(code, file_request(code, file_id), _fetch_target)


def active_test() -> Command[None]:
    """ACTIVE_TEST: whether the server, tracker or storage, answers at all."""
    code: int = TrackerCommand.ACTIVE_TEST
    return Command(code, pack_header(0, code), nothing)


def _store_target(body: bytes) -> StoreTargets:
    group, host, port, path = unpack_store_target(body)
    return group, [Address(host, port)], path


def _store_targets(body: bytes) -> StoreTargets:
    group, servers, path = unpack_store_targets(body)
    return group, [Address(host, port) for host, port in servers], path


def _fetch_target(body: bytes) -> list[Address]:
    _, host, port = unpack_fetch_target(body)
    return [Address(host, port)]


def _fetch_targets(body: bytes) -> list[Address]:
    return [Address(host, port) for host, port in unpack_fetch_targets(body)[1]]
