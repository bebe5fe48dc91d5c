"""The asyncio client's questions about the cluster."""

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

__all__ = ["AsyncClusterMethods"]

T = TypeVar("T")


class AsyncClusterMethods:
    """Part of :class:`~fastxfer.fdfs.AsyncClient`."""

    _cluster: Cluster

    async def _run(self, plan: Plan[T], control: Control | None = None) -> T:
        raise NotImplementedError

    async def list_groups(self) -> list[GroupInfo]:
        """See :meth:`Client.list_groups`."""
        return await self._run(admin.ask(self._cluster, commands.list_groups))

    async def get_group(self, group_name: str) -> GroupInfo:
        """See :meth:`Client.get_group`."""
        return (await self._run(admin.ask(self._cluster, lambda: commands.list_one_group(group_name))))[0]

    async def list_storages(self, group_name: str, storage_id: str = "") -> list[StorageInfo]:
        """See :meth:`Client.list_storages`."""
        return await self._run(admin.ask(self._cluster, lambda: commands.list_storages(group_name, storage_id)))

    async def delete_storage(self, group_name: str, storage_id: str) -> None:
        """See :meth:`Client.delete_storage`."""
        await self._run(admin.tell_all(self._cluster, lambda: commands.delete_storage(group_name, storage_id)))

    async def delete_group(self, group_name: str) -> None:
        """See :meth:`Client.delete_group`."""
        await self._run(admin.tell_all(self._cluster, lambda: commands.delete_group(group_name)))

    async def set_trunk_server(self, group_name: str, storage_id: str = "") -> str:
        """See :meth:`Client.set_trunk_server`."""
        return await self._run(
            admin.ask_leader(self._cluster, lambda: commands.set_trunk_server(group_name, storage_id))
        )

    async def active_test(self, server: str | None = None) -> None:
        """See :meth:`Client.active_test`."""
        await self._run(admin.ping(self._cluster, server))

    async def get_leader(self) -> str:
        """See :meth:`Client.get_leader`."""
        return await self._run(admin.ask(self._cluster, commands.get_leader))

    async def get_tracker_status(self) -> TrackerStatus:
        """See :meth:`Client.get_tracker_status`."""
        return await self._run(admin.ask(self._cluster, commands.get_tracker_status))

    async def get_parameters(self) -> dict[str, str]:
        """See :meth:`Client.get_parameters`."""
        return await self._run(admin.ask(self._cluster, commands.get_parameters))

    async def tracker_cluster_stat(
        self, *, active: bool | None = None, leader: bool | None = None
    ) -> list[TrackerStat]:
        """See :meth:`Client.tracker_cluster_stat`."""
        return await self._run(
            admin.ask_leader(self._cluster, lambda: commands.tracker_cluster_stat(active=active, leader=leader))
        )

    async def storage_cluster_stat(
        self,
        *,
        trunk_server: bool | None = None,
        status: StorageStatus | None = None,
        status_is_not: bool = False,
    ) -> list[StorageStat]:
        """See :meth:`Client.storage_cluster_stat`."""
        return await self._run(
            admin.ask(
                self._cluster,
                lambda: commands.storage_cluster_stat(
                    trunk_server=trunk_server, status=status, status_is_not=status_is_not
                ),
            )
        )

    async def storage_volume_stat(
        self, *, disk: bool | None = None, trunk: bool | None = None, space: bool | None = None
    ) -> list[VolumeStat]:
        """See :meth:`Client.storage_volume_stat`."""
        return await self._run(
            admin.ask(self._cluster, lambda: commands.storage_volume_stat(disk=disk, trunk=trunk, space=space))
        )

    async def list_storage_ids(self) -> list[StorageIdEntry]:
        """See :meth:`Client.list_storage_ids`."""
        return await self._run(admin.fetch_storage_ids(self._cluster))

    async def get_storage_status(self, group_name: str, server: str) -> StorageState:
        """See :meth:`Client.get_storage_status`."""
        return await self._run(
            admin.ask(self._cluster, lambda: commands.get_storage_state(group_name, admin.storage_address(server)))
        )

    async def get_storage_id(self, group_name: str, server: str) -> str:
        """See :meth:`Client.get_storage_id`."""
        return await self._run(
            admin.ask(self._cluster, lambda: commands.get_storage_id(group_name, admin.storage_address(server)))
        )

    async def get_group_name(self, server: str) -> str:
        """See :meth:`Client.get_group_name`."""
        return await self._run(
            admin.ask(self._cluster, lambda: commands.get_group_name(*admin.storage_address(server)))
        )

    async def get_my_ip(self, group_name: str = "", port: int = 0) -> str:
        """See :meth:`Client.get_my_ip`."""
        return await self._run(admin.ask(self._cluster, lambda: commands.get_my_ip(group_name, port)))

    async def query_upload_server(self, group_name: str | None = None) -> StorageServer:
        """See :meth:`Client.query_upload_server`."""
        return await self._run(admin.query_upload_server(self._cluster, group_name))

    async def query_download_servers(self, file_id: str, *, every: bool = True) -> list[StorageServer]:
        """See :meth:`Client.query_download_servers`."""
        return await self._run(admin.query_servers(self._cluster, file_id, every=every))

    async def query_update_server(self, file_id: str) -> StorageServer:
        """See :meth:`Client.query_update_server`."""
        return (await self._run(admin.query_servers(self._cluster, file_id, update=True)))[0]
