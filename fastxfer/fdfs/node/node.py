"""The node: trackers and storages in one process, started, stopped and killed together or one by one."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from fastxfer.core.wire import split_file_id
from fastxfer.fdfs.node.cluster import Cluster, Group, StorageState
from fastxfer.fdfs.node.config import NodeConfig, StorageSpec, plan_storages
from fastxfer.fdfs.node.directory import DirectoryLock, check_identity
from fastxfer.fdfs.node.faults import Fault, Faults
from fastxfer.fdfs.node.listener import Listener
from fastxfer.fdfs.node.replication import Replicator
from fastxfer.fdfs.node.storage import StorageService
from fastxfer.fdfs.node.store import Store
from fastxfer.fdfs.node.tracker import TrackerService, TrackerState, TrackerTeam
from fastxfer.fdfs.node.trunk import TrunkSpace
from fastxfer.fdfs.node.worker import Worker
from fastxfer.fdfs.types import StorageStatus

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Node", "StorageServer", "TrackerServer"]


class TrackerServer:
    """One tracker of a node."""

    def __init__(self, state: TrackerState, listener: Listener) -> None:
        self._state = state
        self._listener = listener

    @property
    def name(self) -> str:
        """``tracker1``, ``tracker2``, ..."""
        return self._state.name

    @property
    def address(self) -> str:
        """``host:port``."""
        return self._state.address

    @property
    def running(self) -> bool:
        return self._listener.running

    def start(self) -> None:
        """Listen, on the same port as before. OSError where that cannot be had."""
        if self.running:
            return
        self._state.port = self._listener.start(self._state.host, self._state.port)
        self._state.alive = True
        self._state.up_since = int(time.time())

    def stop(self) -> None:
        """Stop listening and close all connections in an orderly way."""
        self._state.alive = False
        self._listener.stop(reset=False)

    def kill(self) -> None:
        """Stop at once, connections reset, as if the process had been killed."""
        self._state.alive = False
        self._listener.stop(reset=True)


class StorageServer:
    """One storage server of a node."""

    def __init__(self, state: StorageState, listener: Listener, replicator: Replicator, directory: Path) -> None:
        self._state = state
        self._listener = listener
        self._replicator = replicator
        self._directory = directory

    @property
    def name(self) -> str:
        """``group1/storage1``, ``group1/storage2``, ..."""
        return self._state.name

    @property
    def group(self) -> str:
        return self._state.group

    @property
    def id(self) -> str:
        """Its storage ID, or without storage IDs its address."""
        return self._state.id

    @property
    def address(self) -> str:
        """``host:port``."""
        return self._state.address

    @property
    def host(self) -> str:
        return self._state.host

    @property
    def port(self) -> int:
        return self._state.port

    @property
    def running(self) -> bool:
        return self._listener.running

    @property
    def status(self) -> StorageStatus:
        """Its state as the trackers see it."""
        return self._state.status

    @status.setter
    def status(self, status: StorageStatus) -> None:
        self._state.status = status

    @property
    def waiting_changes(self) -> int:
        """Changes of its peers that it has still to take over."""
        return self._replicator.waiting(self._state.name)

    def path_of(self, file_id: str) -> Path:
        """Where it keeps the file (of a file inside a trunk file: where its metadata goes, less ``-m``)."""
        _, filename = split_file_id(file_id)
        index = int(filename[1:3], 16)
        return self._directory / f"path{index}" / "data" / filename.partition("/")[2]

    def start(self) -> None:
        """Listen, on the same port as before, and be active. OSError where the port cannot be had."""
        if self.running:
            return
        self._state.port = self._listener.start(self._state.host, self._state.port)
        self._state.up_since = int(time.time())
        self._state.deleted_on.clear()
        self._state.status = StorageStatus.ACTIVE
        self._replicator.set_up(self._state.name, True)

    def stop(self) -> None:
        """Stop in an orderly way; the trackers know at once."""
        self._state.status = StorageStatus.OFFLINE
        self._replicator.set_up(self._state.name, False)
        self._listener.stop(reset=False)

    def kill(self, *, noticed: bool = True) -> None:
        """Stop at once, connections reset and bodies under way thrown away, as if the process had been killed.

        *noticed* False leaves the trackers believing that it is active, as they do until a heart beat is missed; set
        :attr:`status` later.
        """
        if noticed:
            self._state.status = StorageStatus.OFFLINE
        self._replicator.set_up(self._state.name, False)
        self._listener.stop(reset=True)

    def restart(self) -> None:
        """Stop, and start on the same port."""
        self.stop()
        self.start()


class Node:
    """A FastDFS cluster on loopback addresses in this process, for development, tests and demonstrations.

    It answers as FastDFS 6.16 does, keeps files in the same layout under the same kind of names, and keeps them over
    restarts. It is not a production server: it checks nobody's identity, and all its "machines" are one.

    >>> with Node("/tmp/node") as node:  # doctest: +SKIP
    ...     client = Client(ClientConfig(tracker_addrs=node.tracker_addrs))

    Args:
        directory: where everything is kept; made if it is not there. One node at a time may use it.
        groups: how many storages each group has.
        trackers: how many trackers.
        host: loopback address of the trackers and storages. Where a group has several storages and no storage IDs are
            used, they listen on 127.0.0.11, 127.0.0.12 and so on instead (Linux). An IPv6 address needs storage IDs.
        tracker_port: port of the first tracker, the others follow; 0 for any that are free.
        storage_port: likewise for the storages.
        store_paths: store paths of each storage.
        config: how the servers behave.
        tracker_hosts: the trackers' addresses, instead of *trackers* and *host*.
        storages: the storages one by one, instead of *groups*, *storage_port* and *store_paths*.

    Raises:
        ValueError: the arguments do not go together, or not with what is in *directory*.
        OSError: the directory cannot be used, or (:meth:`start`) an address cannot be had.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        groups: Mapping[str, int] | None = None,
        trackers: int = 1,
        host: str = "127.0.0.1",
        tracker_port: int = 0,
        storage_port: int = 0,
        store_paths: int = 1,
        config: NodeConfig | None = None,
        tracker_hosts: Sequence[str] | None = None,
        storages: Sequence[StorageSpec] | None = None,
    ) -> None:
        config = config or NodeConfig()
        if storages is None:
            storages = plan_storages(
                groups or {"group1": 1}, host, storage_port, store_paths, use_storage_id=config.use_storage_id
            )
        if any(":" in spec.host for spec in storages):
            if not config.use_storage_id:
                raise ValueError("file IDs cannot hold IPv6 addresses: storages with IPv6 need use_storage_id")
            config = dataclasses.replace(config, wide_addresses=True)
        hosts = list(tracker_hosts) if tracker_hosts is not None else [host] * trackers
        if not hosts:
            raise ValueError("a node needs at least one tracker")
        if not storages:
            raise ValueError("a node needs at least one storage")
        self.config = config
        self.directory = Path(directory)
        self.faults = Faults()
        """What is to go wrong: see :class:`Fault`."""
        self.trackers: list[TrackerServer] = []
        self.storages: list[StorageServer] = []
        self._lock = DirectoryLock(self.directory)
        self._specs = _numbered(storages, config)
        self._tracker_addresses = [
            (address, tracker_port + index if tracker_port else 0) for index, address in enumerate(hosts)
        ]
        self._workers: list[Worker] = []
        self._states: dict[str, StorageState] = {}
        self._replicator = Replicator(config.replication_delay, self._count_copied)
        self._started = False

    @property
    def running(self) -> bool:
        return self._started

    @property
    def tracker_addrs(self) -> list[str]:
        """``host:port`` of every tracker, as clients want them."""
        return [tracker.address for tracker in self.trackers]

    def storage(self, name: str) -> StorageServer:
        """The storage of that name (``group1/storage1``) or ``host:port``; KeyError where there is none."""
        for storage in self.storages:
            if name in (storage.name, storage.address):
                return storage
        raise KeyError(name)

    def inject(self, fault: Fault) -> Fault:
        """Arm *fault*; the same as ``node.faults.add``."""
        return self.faults.add(fault)

    def start(self) -> None:
        """Start every server and return when all of them listen. Nothing happens where it runs already."""
        if self._started:
            return
        self._lock.acquire()
        try:
            self._build()
            for worker in self._workers:
                worker.start()
            self._started = True
            self._replicator.start()
            for tracker in self.trackers:
                tracker.start()
            for storage, (spec, _) in zip(self.storages, self._specs, strict=True):
                if spec.joined:
                    storage.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every server; what is not replicated yet goes on after the next start. Idempotent."""
        if self._started:
            for storage in self.storages:
                storage.stop()
            for tracker in self.trackers:
                tracker.stop()
        self._replicator.stop()
        for worker in self._workers:
            if self._started:
                worker.stop()
        self._started = False
        self._workers = []
        self._lock.release()

    def wait_replicated(self, timeout: float = 30.0) -> None:
        """Wait until every storage that runs has all changes of those that run. TimeoutError where it takes longer."""
        if not self._replicator.drain(timeout):
            raise TimeoutError(f"replication was not finished after {timeout} seconds")

    def pause_replication(self) -> None:
        """Let changes pile up until :meth:`resume_replication`."""
        self._replicator.pause()

    def resume_replication(self) -> None:
        self._replicator.resume()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _build(self) -> None:
        config = self.config
        joined_at = check_identity(self.directory, config, self._specs)
        old_ports = {server.name: server.port for server in self.storages}
        old_tracker_ports = {server.name: int(server.address.rpartition(":")[2]) for server in self.trackers}
        self._replicator = Replicator(config.replication_delay, self._count_copied)
        self._workers = [Worker(f"fastxfer-node-{number}", config.buffer_size) for number in range(config.workers)]
        cluster = Cluster(config, self._replicator)
        self.storages = []
        for spec, name in self._specs:
            group = cluster.groups.get(spec.group)
            if group is None:
                group = Group(spec.group, TrunkSpace(config.trunk_file_size) if config.use_trunk_file else None)
                cluster.groups[spec.group] = group
            directory = self.directory / name
            store = Store(directory, spec.store_paths, config.subdir_count, config.reserved_mb, config.capacity)
            state = StorageState(spec, name, store, config, joined_at[name])
            state.port = spec.port or old_ports.get(name, 0)
            if not spec.joined:
                state.status = StorageStatus.NONE
            group.storages.append(state)
            self._states[name] = state
            self._replicator.add(name, spec.group, store, directory / "replication.journal")
            service = StorageService(cluster, group, state)
            listener = Listener(service, self._workers, self.faults, config.network_timeout)
            self.storages.append(StorageServer(state, listener, self._replicator, directory))
        for group in cluster.groups.values():
            if group.trunk is not None:
                group.trunk.scan(storage.store for storage in group.storages)
                group.trunk_server = group.joined[0] if group.joined else None
        team = TrackerTeam()
        self.trackers = []
        for number, (host, port) in enumerate(self._tracker_addresses, 1):
            tracker = TrackerState(f"tracker{number}", host)
            tracker.port = port or old_tracker_ports.get(tracker.name, 0)
            team.members.append(tracker)
            service_of_tracker = TrackerService(cluster, team, tracker)
            listener = Listener(service_of_tracker, self._workers, self.faults, config.network_timeout)
            self.trackers.append(TrackerServer(tracker, listener))

    def _count_copied(self, source: str, target: str, size: int) -> None:
        self._states[source].counters.synchronised("out", size)
        self._states[target].counters.synchronised("in", size)


def _numbered(specs: Sequence[StorageSpec], config: NodeConfig) -> list[tuple[StorageSpec, str]]:
    """The storages with their names, and with storage IDs where those are used and not given."""
    counts: dict[str, int] = {}
    numbered: list[tuple[StorageSpec, str]] = []
    sources: set[tuple[str, str | int]] = set()
    for index, spec in enumerate(specs, 1):
        counts[spec.group] = counts.get(spec.group, 0) + 1
        if config.use_storage_id and spec.storage_id is None:
            spec = dataclasses.replace(spec, storage_id=100000 + index)
        source: str | int = spec.host if not config.use_storage_id else spec.storage_id or 0
        if (spec.group, source) in sources:
            raise ValueError(f"two storages of group {spec.group} cannot both be {source}")
        sources.add((spec.group, source))
        numbered.append((spec, f"{spec.group}/storage{counts[spec.group]}"))
    return numbered
