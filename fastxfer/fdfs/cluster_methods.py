"""The questions about the cluster, written once for the blocking and the asyncio client."""

from __future__ import annotations

from typing import TypeVar

from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.commands import cluster as commands
from fastxfer.fdfs.plans import admin
from fastxfer.fdfs.steps import Control, Plan
from fastxfer.fdfs.types import (
    GroupInfo,
    StorageIdEntry,
    StorageInfo,
    StorageServer,
    StorageStat,
    StorageState,
    StorageStatus,
    TrackerStat,
    TrackerStatus,
    VolumeStat,
)

__all__ = ["ClusterMethods"]

T = TypeVar("T")


class ClusterMethods:
    """Part of :class:`~fastxfer.fdfs.Client` and :class:`~fastxfer.fdfs.AsyncClient`."""

    _cluster: Cluster

    def _run(self, plan: Plan[T], control: Control | None = None) -> T:
        raise NotImplementedError

    def list_groups(self) -> list[GroupInfo]:
        """All groups."""
        return self._run(admin.ask(self._cluster, commands.list_groups))

    def get_group(self, group_name: str) -> GroupInfo:
        """One group. Raises :class:`FileNotFoundError` where there is none of that name."""
        return self._run(admin.get_group(self._cluster, group_name))

    def list_storages(self, group_name: str, storage_id: str = "") -> list[StorageInfo]:
        """The storage servers of a group, or the one with *storage_id*, with all their counters."""
        return self._run(admin.ask(self._cluster, lambda: commands.list_storages(group_name, storage_id)))

    def delete_storage(self, group_name: str, storage_id: str) -> None:
        """Take a storage server that is down out of its group, on every tracker; they keep it listed as deleted.

        Raises :class:`ServerBusyError` while it is up, :class:`AlreadyDoneError` where it was deleted before.
        """
        return self._run(admin.tell_all(self._cluster, lambda: commands.delete_storage(group_name, storage_id)))

    def delete_group(self, group_name: str) -> None:
        """Delete a group on every tracker. Raises :class:`ServerBusyError` while it has storage servers."""
        return self._run(admin.tell_all(self._cluster, lambda: commands.delete_group(group_name)))

    def set_trunk_server(self, group_name: str, storage_id: str = "") -> str:
        """Choose the trunk server of a group (or have it chosen) and return its ID.

        Raises :class:`OperationNotSupportedError` where trunk files are off, :class:`FileAlreadyExistsError` where the
        one given is it already.
        """
        return self._run(admin.ask_leader(self._cluster, lambda: commands.set_trunk_server(group_name, storage_id)))

    def active_test(self, server: str | None = None) -> None:
        """Have *server* (``host:port``, tracker or storage), or any tracker, answer; raises where it does not."""
        return self._run(admin.ping(self._cluster, server))

    def get_leader(self) -> str:
        """The tracker that leads, ``host:port``. Raises :class:`FileNotFoundError` while there is none."""
        return self._run(admin.ask(self._cluster, commands.get_leader))

    def get_tracker_status(self) -> TrackerStatus:
        """How the tracker that is asked stands."""
        return self._run(admin.ask(self._cluster, commands.get_tracker_status))

    def get_parameters(self) -> dict[str, str]:
        """The tracker's settings that concern storage servers."""
        return self._run(admin.ask(self._cluster, commands.get_parameters))

    def tracker_cluster_stat(self, *, active: bool | None = None, leader: bool | None = None) -> list[TrackerStat]:
        """The trackers as their leader sees them, filtered where asked (6.15 and newer)."""
        return self._run(
            admin.ask_leader(self._cluster, lambda: commands.tracker_cluster_stat(active=active, leader=leader))
        )

    def storage_cluster_stat(
        self,
        *,
        trunk_server: bool | None = None,
        status: StorageStatus | None = None,
        status_is_not: bool = False,
    ) -> list[StorageStat]:
        """All storage servers in short, filtered where asked (6.14 and newer)."""
        return self._run(
            admin.ask(
                self._cluster,
                lambda: commands.storage_cluster_stat(
                    trunk_server=trunk_server, status=status, status_is_not=status_is_not
                ),
            )
        )

    def storage_volume_stat(
        self, *, disk: bool | None = None, trunk: bool | None = None, space: bool | None = None
    ) -> list[VolumeStat]:
        """The groups' space, filtered by availability where asked (6.14 and newer)."""
        return self._run(
            admin.ask(self._cluster, lambda: commands.storage_volume_stat(disk=disk, trunk=trunk, space=space))
        )

    def list_storage_ids(self) -> list[StorageIdEntry]:
        """The cluster's storage IDs; none where it does not use them."""
        return self._run(admin.fetch_storage_ids(self._cluster))

    def get_storage_status(self, group_name: str, server: str) -> StorageState:
        """The state of the storage server at ``host:port``. Raises :class:`FileNotFoundError` for an unknown one."""
        return self._run(
            admin.ask(self._cluster, lambda: commands.get_storage_state(group_name, admin.storage_address(server)))
        )

    def get_storage_id(self, group_name: str, server: str) -> str:
        """The ID of the storage server at ``host:port``; its address where the cluster uses no IDs."""
        return self._run(
            admin.ask(self._cluster, lambda: commands.get_storage_id(group_name, admin.storage_address(server)))
        )

    def get_group_name(self, server: str) -> str:
        """The group of the storage server at ``host:port`` (only with storage IDs)."""
        return self._run(admin.ask(self._cluster, lambda: commands.get_group_name(*admin.storage_address(server))))

    def get_my_ip(self, group_name: str = "", port: int = 0) -> str:
        """The address under which the tracker sees this client."""
        return self._run(admin.ask(self._cluster, lambda: commands.get_my_ip(group_name, port)))

    def query_upload_server(self, group_name: str | None = None) -> StorageServer:
        """Where the tracker would have the next upload go."""
        return self._run(admin.query_upload_server(self._cluster, group_name))

    def query_download_servers(self, file_id: str, *, every: bool = True) -> list[StorageServer]:
        """Where the tracker would have the file read from: every server, or the next in turn."""
        return self._run(admin.query_download_servers(self._cluster, file_id, every))

    def query_update_server(self, file_id: str) -> StorageServer:
        """Where the tracker would have the file changed."""
        return self._run(admin.query_update_server(self._cluster, file_id))
