"""Asking trackers: fail over from one to the next, and learn what the cluster looks like."""

from __future__ import annotations

import errno
from typing import TypeVar

from fastxfer.core.wire import HEADER_SIZE, pack_header, unpack_header
from fastxfer.fdfs.cluster import Cluster, Group, UploadTargets
from fastxfer.fdfs.commands import Command
from fastxfer.fdfs.commands.cluster import list_storages
from fastxfer.fdfs.commands.tracker import StoreTargets, query_store, query_store_all
from fastxfer.fdfs.errors import (
    ConnectionTimeoutError,
    FastDFSError,
    InvalidResponseError,
    NetworkError,
    NoStorageServerError,
    PoolTimeoutError,
    TrackerServerOfflineError,
    status_error,
)
from fastxfer.fdfs.outcome import meaning
from fastxfer.fdfs.steps import Background, Call, Once, Pipeline, Plan
from fastxfer.fdfs.types import TrackerCommand
from fastxfer.net.address import Address

__all__ = ["ask_one", "ask_tracker", "is_stale", "learn_group", "learn_unknown_group", "refresh_group", "store_target"]

T = TypeVar("T")

_ENOENT = 2
_PIPELINED_QUERIES = 8
"""How many upload targets are asked for at once: enough to see how the tracker deals uploads out to the groups."""


def is_stale(error: NetworkError, repeatable: bool) -> bool:
    """Whether *error* only means that a pooled connection had died while idle, and the request may be sent again."""
    return (
        error.reused
        and error.operation != "connect"
        and error.errno != errno.ETIMEDOUT
        and (repeatable or not error.maybe_done)
    )


def ask_one(address: Address, command: Command[T], *, repeatable: bool = True) -> Plan[T]:
    """Ask one server; :func:`status_error` for any status but 0."""
    step = Call(address, command, certain=not repeatable)
    try:
        status, value = yield step
    except NetworkError as error:
        if not is_stale(error, repeatable):
            raise
        status, value = yield step._replace(fresh=True)
    if status:
        raise status_error(status, str(address), command.code)
    return value  # type: ignore[no-any-return]


def ask_tracker(cluster: Cluster, command: Command[T], *, repeatable: bool = True) -> Plan[T]:
    """Ask the trackers in turn until one answers; its status, if not 0, is the error.

    Raises :class:`ConnectionTimeoutError` where none could be connected to in time,
    :class:`InvalidResponseError` where the only one talks something else, else :class:`TrackerServerOfflineError`.
    """
    failures: list[FastDFSError] = []
    for address in cluster.trackers():
        try:
            answer = yield from ask_one(address, command, repeatable=repeatable)
        except PoolTimeoutError:
            raise
        except (NetworkError, InvalidResponseError) as error:
            cluster.health.failed(address)
            failures.append(error)
            if not repeatable and isinstance(error, NetworkError) and error.maybe_done:
                raise
            continue
        except FastDFSError:
            cluster.health.worked(address)
            raise
        cluster.health.worked(address)
        return answer
    raise _no_tracker(failures)


def _no_tracker(failures: list[FastDFSError]) -> FastDFSError:
    last = failures[-1]
    if len(failures) == 1 and not isinstance(last, NetworkError):
        return last
    if all(isinstance(failure, ConnectionTimeoutError) for failure in failures):
        return last
    servers = ", ".join(dict.fromkeys(failure.server or "" for failure in failures))
    error = TrackerServerOfflineError(servers, "; ".join(map(str, failures)))
    error.__cause__ = last
    error.command = last.command
    return error


def learn_group(cluster: Cluster, name: str) -> Plan[Group]:
    """Ask for the servers of group *name* now.

    Raises :class:`NoStorageServerError` where there is no such group.
    """
    try:
        storages = yield from ask_tracker(cluster, list_storages(name))
    except InvalidResponseError:
        # A layout not known here: everything goes by way of the tracker, then.
        storages = []
    except FastDFSError as error:
        if error.status == _ENOENT:
            raise NoStorageServerError(f"the tracker knows no group {name!r}") from error
        raise
    group = Group(storages, cluster.config.topology_age)
    cluster.learned(name, group)
    return group


def learn_unknown_group(cluster: Cluster, name: str) -> Plan[None]:
    """Ask for the servers of group *name*, unless they are known by now."""
    if cluster.wants_group(name):
        yield from learn_group(cluster, name)


def refresh_group(cluster: Cluster, name: str) -> Plan[None]:
    """Have the servers of group *name* asked for beside what goes on, if it is time."""
    group = cluster.groups.get(name)
    if group is not None and group.due.claim():
        yield Background(lambda: learn_group(cluster, name))


def store_target(cluster: Cluster, group: str | None, without: set[Address]) -> Plan[tuple[Address, int | None]]:
    """Where the next upload goes: a server not in *without*, and the store path index if the tracker named one.

    Raises :class:`NoStorageServerError` where the tracker names none but those in *without*,
    :class:`InsufficientSpaceError` where it says that all are full.
    """
    if cluster.config.upload_target_age > 0:
        if group not in cluster.targets:
            yield Once(("targets", group), lambda: _learn_unknown_targets(cluster, group))
        targets = cluster.targets.get(group)
        if targets is not None:
            if targets.due.claim():
                yield Background(lambda: _learn_targets(cluster, group))
            address = targets.next(cluster.health, without)
            if address is not None:
                return address, None
        if not without:
            targets = yield from _learn_targets(cluster, group)
            address = targets.next(cluster.health, without)
            if address is not None:
                return address, None
    _, servers, path = yield from _ask_store(cluster, query_store(group), group)
    if servers[0] not in without:
        return servers[0], path
    _, servers, _ = yield from _ask_store(cluster, query_store_all(group), group)
    for address in cluster.health.sorted(servers):
        if address not in without:
            return address, None
    raise NoStorageServerError("all that the tracker names have failed")


def _ask_store(cluster: Cluster, command: Command[StoreTargets], group: str | None) -> Plan[StoreTargets]:
    try:
        return (yield from ask_tracker(cluster, command))
    except FastDFSError as error:
        if error.status == _ENOENT:
            where = "the cluster has no active storage server" if group is None else f"none active in group {group!r}"
            raise NoStorageServerError(where) from error
        raise


def _learn_targets(cluster: Cluster, group: str | None) -> Plan[UploadTargets]:
    first = yield from _ask_store(cluster, query_store_all(group), group)
    replies = [first]
    if group is None:
        replies += yield from _ask_often(cluster, query_store_all())
    # The groups in turn as the tracker deals them out, and within each turn the next of that group's servers.
    addresses: list[Address] = []
    turns: dict[str, int] = {}
    for name, servers, _ in replies:
        turn = turns.get(name, 0)
        turns[name] = turn + 1
        addresses.append(servers[turn % len(servers)])
    for _, servers, _ in replies:
        addresses += [server for server in servers if server not in addresses]
    targets = UploadTargets(addresses, cluster.config.upload_target_age)
    cluster.targets[group] = targets
    return targets


def _learn_unknown_targets(cluster: Cluster, group: str | None) -> Plan[None]:
    if group not in cluster.targets:
        yield from _learn_targets(cluster, group)


def _ask_often(cluster: Cluster, command: Command[StoreTargets]) -> Plan[list[StoreTargets]]:
    """The answers to the same question asked several times at once; fewer, or none, where something is off."""
    address = cluster.trackers()[0]
    requests = command.request * _PIPELINED_QUERIES + pack_header(0, TrackerCommand.QUIT)
    try:
        stream = yield Pipeline(address, requests)
    except (NetworkError, InvalidResponseError):
        return []
    answers: list[StoreTargets] = []
    start = HEADER_SIZE
    for _ in range(_PIPELINED_QUERIES):
        if len(stream) < start:
            break
        length, _, status = unpack_header(stream[start - HEADER_SIZE : start])
        if not 0 <= length <= len(stream) - start:
            break
        if status == 0:
            try:
                answers.append(meaning(command, stream[start : start + length], address))
            except InvalidResponseError:
                break
        start += length + HEADER_SIZE
    return answers
