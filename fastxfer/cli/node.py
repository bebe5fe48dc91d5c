"""``fastxfer node``: a FastDFS tracker and storage on this machine."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import FrameType

import click

from fastxfer.cli._output import Output, output_option
from fastxfer.cli._parameters import SIZE
from fastxfer.fdfs.node import Node, NodeConfig

EPILOG = "It is for development and tests: one process, no authentication, loopback addresses. Not for production."


@click.command("node", epilog=EPILOG)
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Loopback address to listen on.")
@click.option("--tracker-port", type=click.IntRange(0, 65535), default=22122, show_default=True, help="0: any.")
@click.option("--storage-port", type=click.IntRange(0, 65535), default=23000, show_default=True, help="0: any.")
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="NAME[=COUNT]",
    help="A group and how many storages it has (repeatable; default: group1=1).",
)
@click.option("--trackers", type=click.IntRange(1, 16), default=1, show_default=True, help="How many trackers.")
@click.option("--store-paths", type=click.IntRange(1, 256), default=1, show_default=True, help="Of each storage.")
@click.option("--storage-ids", is_flag=True, help="File IDs hold storage IDs instead of addresses.")
@click.option("--wide-addresses", is_flag=True, help="Address fields in replies have room for IPv6.")
@click.option("--slave-links", is_flag=True, help="Store slave files as symbolic links.")
@click.option("--trunk", is_flag=True, help="Store small files inside trunk files.")
@click.option("--capacity", type=SIZE, help="What the files of one storage may occupy, e.g. 10G.")
@click.option(
    "--replication-delay",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Seconds; 0: at once.",
)
@click.option("--lenient", is_flag=True, help="Leave out the traps of real storage servers (see the documentation).")
@click.option("--until-stdin-ends", is_flag=True, help="Stop when standard input ends, as with the parent process.")
@output_option
def node(
    directory: Path,
    host: str,
    tracker_port: int,
    storage_port: int,
    groups: tuple[str, ...],
    trackers: int,
    store_paths: int,
    storage_ids: bool,
    wide_addresses: bool,
    slave_links: bool,
    trunk: bool,
    capacity: int | None,
    replication_delay: float,
    lenient: bool,
    until_stdin_ends: bool,
    output: Output,
) -> None:
    """Run a FastDFS tracker and storage that keep their files in DIRECTORY, until stopped by Ctrl-C or SIGTERM."""
    config = NodeConfig(
        use_storage_id=storage_ids,
        wide_addresses=wide_addresses,
        store_slave_file_use_link=slave_links,
        use_trunk_file=trunk,
        capacity=capacity,
        replication_delay=replication_delay,
        quirks=not lenient,
    )
    servers = Node(
        directory,
        groups=parse_groups(groups),
        trackers=trackers,
        host=host,
        tracker_port=tracker_port,
        storage_port=storage_port,
        store_paths=store_paths,
        config=config,
    )
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    with servers:
        for name in ("SIGINT", "SIGTERM"):
            signal.signal(getattr(signal, name), stop)
        storages = [{"name": each.name, "id": each.id, "address": each.address} for each in servers.storages]
        lines = [f"tracker  {address}" for address in servers.tracker_addrs]
        lines += [f"storage  {each['address']}  {each['name']}" for each in storages]
        document = {"trackers": servers.tracker_addrs, "storages": storages, "directory": str(directory.resolve())}
        if until_stdin_ends:
            threading.Thread(target=wait_for_end, args=(stopped,), daemon=True).start()
        output.result(document, "\n".join([*lines, f"Files are kept in {directory.resolve()}. Ctrl-C stops it."]))
        while not stopped.wait(0.5):
            pass


def wait_for_end(stopped: threading.Event) -> None:
    """Read standard input to its end."""
    while os.read(0, 4096):
        pass
    stopped.set()


def parse_groups(texts: tuple[str, ...]) -> dict[str, int]:
    """``group1=2`` and the like; a name alone is one storage."""
    groups: dict[str, int] = {}
    for text in texts:
        name, equals, count = text.partition("=")
        if equals and not count.isdigit():
            raise click.BadParameter(f"{text!r} is not of the form NAME=COUNT", param_hint="--group")
        if name in groups:
            raise click.BadParameter(f"group {name} is given twice", param_hint="--group")
        groups[name] = int(count) if equals else 1
    return groups or {"group1": 1}
