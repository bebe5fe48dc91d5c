"""Commands of ``fastxfer fdfs`` on the cluster itself."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import click
from rich.console import Group as RichGroup
from rich.console import RenderableType
from rich.live import Live
from rich.table import Table

from fastxfer.cli._output import Output, output_option
from fastxfer.cli._parameters import size_text
from fastxfer.cli._several import Several, Stopwatch
from fastxfer.cli.fdfs.connection import client_options
from fastxfer.fdfs import Client, GroupInfo, StorageInfo, StorageStatus

MIB = 1 << 20
STATUS_STYLES: dict[int, str] = {
    StorageStatus.ACTIVE: "green",
    StorageStatus.ONLINE: "green",
    StorageStatus.OFFLINE: "red",
}


def status_text(status: StorageStatus | int) -> str:
    return status.name if isinstance(status, StorageStatus) else str(status)


def storage_document(storage: StorageInfo) -> dict[str, Any]:
    return {**dataclasses.asdict(storage), "status": status_text(storage.status)}


def groups_table(groups: list[GroupInfo]) -> Table:
    table = Table(title="Groups", title_justify="left")
    for heading in ("group", "storages", "readable", "writable", "total", "free", "store paths", "trunk file"):
        table.add_column(heading, justify="left" if heading == "group" else "right")
    for group in groups:
        table.add_row(
            group.group_name,
            str(group.storage_count),
            str(group.readable_count),
            str(group.writable_count),
            size_text(group.total_mb * MIB),
            size_text(group.free_mb * MIB),
            str(group.store_path_count),
            "off" if group.current_trunk_file_id < 0 else str(group.current_trunk_file_id),
        )
    return table


def storages_table(name: str, storages: list[StorageInfo]) -> Table:
    table = Table(title=f"Storages of {name}", title_justify="left")
    headings = ("id", "address", "status", "version", "total", "free", "connections", "uploads", "downloads", "deletes")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("id", "address", "status", "version") else "right")
    for storage in storages:
        done = storage.counters
        table.add_row(
            storage.id,
            f"{storage.ip_addr} {storage.storage_port}",
            f"[{STATUS_STYLES.get(storage.status, 'yellow')}]{status_text(storage.status)}[/]",
            storage.version,
            size_text(storage.total_mb * MIB),
            size_text(storage.free_mb * MIB),
            str(done.connection_current_count),
            f"{done.success_upload_count}/{done.total_upload_count}",
            f"{done.success_download_count}/{done.total_download_count}",
            f"{done.success_delete_count}/{done.total_delete_count}",
        )
    return table


@click.command("list")
@click.argument("group", required=False)
@click.argument("storage_id", default="")
@client_options
@output_option
def list_groups(group: str | None, storage_id: str, client: Client, output: Output) -> None:
    """List the groups, the storages of GROUP, or the one storage with STORAGE_ID."""
    if group is None:
        groups = client.list_groups()
        output.result([dataclasses.asdict(each) for each in groups], groups_table(groups))
    else:
        storages = client.list_storages(group, storage_id)
        output.result([storage_document(each) for each in storages], storages_table(group, storages))


@click.command("monitor")
@click.option("--watch", type=click.FloatRange(0.1), metavar="SECONDS", help="Show again and again, until Ctrl-C.")
@client_options
@output_option
def monitor(watch: float | None, client: Client, output: Output) -> None:
    """Show all groups and storages with their state, space and load."""
    if watch is None:
        document, shown = look(client)
        output.result(document, shown)
        return
    if output.as_json or not output.console.is_terminal:
        while True:
            document, shown = look(client)
            output.result(document, shown)
            time.sleep(watch)
    with Live(look(client)[1], console=output.console, auto_refresh=False) as live:
        while True:
            time.sleep(watch)
            live.update(look(client)[1], refresh=True)


def look(client: Client) -> tuple[dict[str, Any], RenderableType]:
    """Everything there is to see, for scripts and for people."""
    groups = client.list_groups()
    storages = {group.group_name: client.list_storages(group.group_name) for group in groups}
    document = {
        "trackers": client.config.tracker_addrs,
        "groups": [
            {
                **dataclasses.asdict(group),
                "storages": [storage_document(each) for each in storages[group.group_name]],
            }
            for group in groups
        ],
    }
    return document, RichGroup(groups_table(groups), *(storages_table(name, each) for name, each in storages.items()))


@click.command("ping")
@click.argument("servers", nargs=-1, metavar="[HOST:PORT]...")
@client_options
@output_option
def ping(servers: tuple[str, ...], client: Client, output: Output) -> int:
    """Ask servers (default: every tracker) whether they answer."""

    def one(server: str) -> tuple[dict[str, Any], str]:
        watch = Stopwatch()
        client.active_test(server)
        return {"server": server, "seconds": round(watch.seconds, 6)}, f"{server} answers"

    return Several(output).run(servers or client.config.tracker_addrs, one)


@click.command("delete-storage")
@click.argument("group")
@click.argument("storage_id")
@client_options
@output_option
def delete_storage(group: str, storage_id: str, client: Client, output: Output) -> None:
    """Take a storage that is down out of its group, on every tracker."""
    client.delete_storage(group, storage_id)
    output.result({"group": group, "deleted": storage_id})


@click.command("delete-group")
@click.argument("group")
@client_options
@output_option
def delete_group(group: str, client: Client, output: Output) -> None:
    """Delete an empty group, on every tracker."""
    client.delete_group(group)
    output.result({"deleted": group})
