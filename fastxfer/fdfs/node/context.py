"""What the command functions of a storage server work with."""

from __future__ import annotations

import struct

from fastxfer.fdfs.node.actions import Request
from fastxfer.fdfs.node.cluster import Cluster, Group, StorageState
from fastxfer.fdfs.node.config import NodeConfig
from fastxfer.fdfs.node.names import Location, parse_filename
from fastxfer.fdfs.node.statuses import EINVAL, Refused
from fastxfer.fdfs.node.store import Store

GROUP_WIDTH = 16


class StorageContext:
    """One storage server: its state, its disk and its cluster."""

    def __init__(self, cluster: Cluster, group: Group, state: StorageState) -> None:
        self.cluster = cluster
        self.group = group
        self.state = state

    @property
    def config(self) -> NodeConfig:
        return self.cluster.config

    @property
    def store(self) -> Store:
        return self.state.store

    def changed(self, filename: str, *, appended: bool = False) -> None:
        """Note a change of this storage, for its peers."""
        self.state.counters.stamp("last_source_update")
        self.cluster.replicator.changed(self.state.name, filename, appended=appended)

    def locate(self, raw: bytes) -> Location:
        """The file that a request names, without group."""
        return parse_filename(raw, self.store.count, self.store.subdir_count)

    def locate_in_group(self, raw: bytes) -> Location:
        """The file that a request names by group and name; the group must be this server's own."""
        if len(raw) <= GROUP_WIDTH:
            raise Refused(EINVAL, "no file name")
        name = raw[:GROUP_WIDTH].partition(b"\0")[0].decode("latin-1")
        if name != self.group.name:
            raise Refused(EINVAL, f"group {name!r} is not this server's")
        return self.locate(raw[GROUP_WIDTH:])

    def file_id_body(self, filename: str) -> bytes:
        """The reply to whatever makes a file."""
        return struct.pack("16s", self.group.name.encode()) + filename.encode()


def require_whole(request: Request) -> None:
    """Refuse a request that does not fit the server's buffer, where only a file's bytes may be larger."""
    if not request.whole:
        raise Refused(EINVAL, f"body of {request.length} bytes is larger than the server's buffer")
