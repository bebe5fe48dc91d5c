"""What a node consists of and how it answers."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["NodeConfig", "StorageSpec", "plan_storages"]

MAX_GROUP_NAME = 16
MAX_STORAGE_ID = 0xFFFFFF
MAX_STORE_PATHS = 256


@dataclass(frozen=True)
class StorageSpec:
    """One storage server of a node.

    Args:
        group: name of its group, 1 to 16 letters and digits.
        host: the loopback address it listens on; it stands in the file IDs unless storage IDs are used.
        port: 0 for one that is free.
        storage_id: its number, 1 to 0xFFFFFF, used where the node has ``use_storage_id``; None numbers them in order.
        store_paths: how many store paths it has, 1 to 256.
        joined: False for one that the trackers know from their list of storage IDs only.
    """

    group: str
    host: str = "127.0.0.1"
    port: int = 0
    storage_id: int | None = None
    store_paths: int = 1
    joined: bool = True

    def __post_init__(self) -> None:
        if not (self.group.isascii() and self.group.isalnum() and len(self.group) <= MAX_GROUP_NAME):
            raise ValueError(f"group name {self.group!r} must be 1 to {MAX_GROUP_NAME} ASCII letters and digits")
        if not 1 <= self.store_paths <= MAX_STORE_PATHS:
            raise ValueError(f"a storage has 1 to {MAX_STORE_PATHS} store paths, not {self.store_paths}")
        if self.storage_id is not None and not 1 <= self.storage_id <= MAX_STORAGE_ID:
            raise ValueError(f"storage ID {self.storage_id} is not in 1..{MAX_STORAGE_ID}")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port {self.port} is not in 0..65535")


@dataclass(frozen=True)
class NodeConfig:
    """How the servers of a node behave; the names are those of FastDFS's own settings where it has them.

    Args:
        use_storage_id: file IDs and lists carry storage IDs instead of addresses.
        wide_addresses: address fields of replies have room for IPv6 (``response_ip_addr_size``).
        store_slave_file_use_link: a slave is a symbolic link to a file with a name of its own.
        use_trunk_file: small files are stored inside trunk files.
        trunk_file_size: bytes of one trunk file.
        slot_max_size: largest file that goes into a trunk file, bytes.
        replication_delay: seconds until another storage of the group has a change; 0 replicates before the reply.
        subdir_count: directories on each of the two levels below a store path, 1 to 256.
        buffer_size: bytes of a request that are read before it is looked at; a larger one that is refused is answered
            early, and (see ``quirks``) the rest of it taken for new requests.
        reserved_mb: uploads are refused (ENOSPC) while less than this is free on the disk, MiB.
        capacity: bytes that the files of one storage may occupy; None for no limit of its own.
        network_timeout: seconds after which a connection that stalls in the middle of a request is closed.
        workers: threads that serve connections.
        quirks: do as a real storage server does where that is a trap: after an early error the rest of the body is
            taken for new requests, and of requests written in one go only the first is answered. False closes the
            connection in the first case and answers them all in the second.
    """

    use_storage_id: bool = False
    wide_addresses: bool = False
    store_slave_file_use_link: bool = False
    use_trunk_file: bool = False
    trunk_file_size: int = 8 * 1024 * 1024
    slot_max_size: int = 1024 * 1024
    replication_delay: float = 0.0
    subdir_count: int = 256
    buffer_size: int = 256 * 1024
    reserved_mb: int = 64
    capacity: int | None = None
    network_timeout: float = 60.0
    workers: int = 2
    quirks: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.subdir_count <= 256:
            raise ValueError(f"subdir_count {self.subdir_count} is not in 1..256")
        if self.buffer_size < 8192:
            raise ValueError(f"buffer_size {self.buffer_size} is below 8192")
        if self.workers < 1:
            raise ValueError(f"a node needs at least one worker, not {self.workers}")
        if self.replication_delay < 0:
            raise ValueError(f"replication_delay {self.replication_delay} is negative")
        if self.slot_max_size + 24 > self.trunk_file_size:
            raise ValueError("a trunk file must hold at least one slot of slot_max_size and its header")


def plan_storages(
    groups: Mapping[str, int], host: str, port: int, store_paths: int, *, use_storage_id: bool
) -> list[StorageSpec]:
    """Storages for the wanted number of servers in each group.

    A file ID tells its source by address, so that without storage IDs two storages of one group need two addresses.
    Linux answers on all of 127.0.0.0/8; elsewhere several storages in a group need ``use_storage_id``.
    """
    specs: list[StorageSpec] = []
    for number, (group, count) in enumerate(groups.items(), 1):
        if count < 1:
            raise ValueError(f"group {group!r} needs at least one storage, not {count}")
        for index in range(count):
            address = host
            if count > 1 and not use_storage_id:
                if not (sys.platform == "linux" and host == "127.0.0.1" and number < 26 and count < 10):
                    raise ValueError(
                        f"{count} storages in group {group!r} on {host} need use_storage_id, "
                        "because a file ID would not tell which of them it is on"
                    )
                address = f"127.0.0.{number * 10 + index + 1}"
            specs.append(
                StorageSpec(
                    group,
                    address,
                    port + len(specs) if port else 0,
                    100000 + number * 100 + index + 1 if use_storage_id else None,
                    store_paths,
                )
            )
    return specs
