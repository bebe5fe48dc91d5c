"""What the trackers of a node know: groups, storage servers, their states and counters, and who serves what."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from fastxfer.core.wire import FileId
from fastxfer.fdfs.node.config import NodeConfig, StorageSpec
from fastxfer.fdfs.node.replication import Replicator
from fastxfer.fdfs.node.statuses import EALREADY, EBUSY, ENOENT, ENOSPC, Refused
from fastxfer.fdfs.node.store import Store
from fastxfer.fdfs.node.trunk import TrunkSpace
from fastxfer.fdfs.types import StorageStatus

VERSION = "6.16.1"
"""The release whose answers the node gives."""
SYNC_FILE_MAX_DELAY = 86400
"""Seconds after which a file is taken to be everywhere."""
FILE_OPERATIONS = {
    "upload": ("file_open", "file_write"),
    "append": ("file_open", "file_write"),
    "modify": ("file_open", "file_write"),
    "download": ("file_open", "file_read"),
}
"""What is counted along with an operation."""
SERVING = (StorageStatus.ONLINE, StorageStatus.ACTIVE)


def address_text(host: str, port: int) -> str:
    """``host:port``, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass
class Counters:
    """What a storage server has done. Names are those of the records' fields."""

    values: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, operation: str, *, success: bool, size: int = 0) -> None:
        """Count one *operation* (``upload``, ``download``, ...), the bytes it moved, and what it did to files."""
        with self.lock:
            for counted in (operation, *FILE_OPERATIONS.get(operation, ())):
                self.values[f"total_{counted}_count"] += 1
                self.values[f"success_{counted}_count"] += success
            self.values[f"total_{operation}_bytes"] += size
            self.values[f"success_{operation}_bytes"] += size if success else 0

    def synchronised(self, direction: str, size: int) -> None:
        """Count *size* bytes that were replicated (``in`` or ``out``)."""
        with self.lock:
            self.values[f"total_sync_{direction}_bytes"] += size
            self.values[f"success_sync_{direction}_bytes"] += size
        if direction == "in":
            self.stamp("last_sync_update")
            self.stamp("last_synced_timestamp")

    def stamp(self, name: str) -> None:
        """Set a time to now."""
        self.values[name] = int(time.time())

    def connected(self, change: int) -> None:
        with self.lock:
            self.values["connection_current_count"] += change
            self.values["connection_max_count"] = max(
                self.values["connection_max_count"], self.values["connection_current_count"]
            )


class StorageState:
    """One storage server as the trackers see it."""

    def __init__(self, spec: StorageSpec, name: str, store: Store, config: NodeConfig, joined_at: int) -> None:
        self.spec = spec
        self.name = name
        self.store = store
        self.group = spec.group
        self.host = spec.host
        self.port = spec.port
        self.status = StorageStatus.OFFLINE
        self.joined_at = joined_at
        self.up_since = 0
        self.deleted_on: set[str] = set()
        """The trackers that were told to delete it; each keeps a mark of its own."""
        self.counters = Counters()
        self._config = config

    @property
    def source(self) -> str | int:
        """How file IDs name it."""
        if self._config.use_storage_id:
            assert self.spec.storage_id is not None
            return self.spec.storage_id
        return self.host

    @property
    def id(self) -> str:
        """How lists name it."""
        return str(self.source)

    @property
    def address(self) -> str:
        return address_text(self.host, self.port)

    @property
    def serving(self) -> bool:
        return self.status in SERVING

    def status_on(self, tracker: str) -> StorageStatus:
        """Its state as one tracker sees it."""
        return StorageStatus.DELETED if tracker in self.deleted_on else self.status

    def is_source_of(self, file_id: FileId) -> bool:
        if file_id.storage_id is not None:
            return file_id.storage_id == self.spec.storage_id
        return file_id.source_ip == self.host


class Group:
    """The storage servers that hold the same files."""

    def __init__(self, name: str, trunk: TrunkSpace | None) -> None:
        self.name = name
        self.trunk = trunk
        self.trunk_server: StorageState | None = None
        self.storages: list[StorageState] = []
        self._next_write = 0
        self._next_read = 0

    @property
    def serving(self) -> list[StorageState]:
        return [storage for storage in self.storages if storage.serving]

    @property
    def joined(self) -> list[StorageState]:
        return [storage for storage in self.storages if storage.spec.joined]

    @property
    def current_write(self) -> int:
        serving = self.serving
        return self._next_write % len(serving) if serving else 0

    def next_for_upload(self) -> StorageState:
        """The storage server for the next upload. Refused: ENOENT where none serves, ENOSPC where the disk is full."""
        serving = self.serving
        if not serving:
            raise Refused(ENOENT, f"no storage of group {self.name} is active")
        self._next_write += 1
        storage = serving[self._next_write % len(serving)]
        if storage.store.full():
            raise Refused(ENOSPC, f"group {self.name} has no space left")
        return storage

    def next_for_download(self, candidates: list[StorageState]) -> StorageState:
        self._next_read += 1
        return candidates[self._next_read % len(candidates)]


class Cluster:
    """All groups, by name, and the rules by which trackers choose."""

    def __init__(self, config: NodeConfig, replicator: Replicator) -> None:
        self.config = config
        self.replicator = replicator
        self.groups: dict[str, Group] = {}
        self.lock = threading.RLock()
        self._next_group = 0

    @property
    def storages(self) -> Iterator[StorageState]:
        for group in self.groups.values():
            yield from group.storages

    def group(self, name: str) -> Group:
        """The group of that name; Refused (ENOENT) where there is none."""
        try:
            return self.groups[name]
        except KeyError:
            raise Refused(ENOENT, f"no group {name!r}") from None

    def next_group(self) -> Group:
        """The group for the next upload: around and around, those that cannot take it left out."""
        usable = [group for group in self.groups.values() if group.serving]
        if not usable:
            raise Refused(ENOENT, "no storage is active")
        with_space = [group for group in usable if not all(storage.store.full() for storage in group.serving)]
        if not with_space:
            raise Refused(ENOSPC, "no group has space left")
        self._next_group += 1
        return with_space[self._next_group % len(with_space)]

    def holders(self, group: Group, file_id: FileId | None, *, changes: bool) -> list[StorageState]:
        """The serving storages that have the file for certain, its source first; *changes*: only the source does.

        Refused (ENOENT) where none serves; where no serving one has it for certain, all that serve.
        """
        serving = group.serving
        if not serving:
            raise Refused(ENOENT, f"no storage of group {group.name} is active")
        if file_id is None:
            return serving
        sources = [storage for storage in serving if storage.is_source_of(file_id)]
        if changes:
            return sources or serving
        old = file_id.created < time.time() - SYNC_FILE_MAX_DELAY
        others = [
            storage
            for storage in serving
            if storage not in sources and (old or self.replicator.is_synchronised(storage.name, file_id.created))
        ]
        return sources + others or serving

    def source_address(self, file_id: FileId) -> str:
        """The address of the storage that the name tells; empty where a storage ID is not known."""
        if file_id.source_ip is not None:
            return file_id.source_ip
        for storage in self.storages:
            if storage.is_source_of(file_id):
                return storage.host
        return ""

    def find(self, group: Group, storage_id: str) -> StorageState:
        """The storage of that ID which has joined; Refused (ENOENT) where there is none."""
        for storage in group.joined:
            if storage.id == storage_id:
                return storage
        raise Refused(ENOENT, f"no storage {storage_id!r} in group {group.name}")

    def delete_storage(self, tracker: str, group: Group, storage_id: str) -> None:
        """Mark a storage that is down as deleted, on one tracker."""
        storage = self.find(group, storage_id)
        if storage.serving:
            raise Refused(EBUSY, f"storage {storage_id} is {storage.status.name}")
        if tracker in storage.deleted_on:
            raise Refused(EALREADY, f"storage {storage_id} is deleted already")
        storage.deleted_on.add(tracker)

    def delete_group(self, name: str) -> None:
        """Drop an empty group; those with storages, deleted ones too, are busy."""
        group = self.group(name)
        if group.joined:
            raise Refused(EBUSY, f"group {name} has storages")
        del self.groups[name]
