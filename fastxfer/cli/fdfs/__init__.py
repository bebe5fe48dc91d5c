"""``fastxfer fdfs``: commands on a FastDFS cluster."""

from __future__ import annotations

import click

from fastxfer.cli._exit_codes import EXIT_CODE_HELP
from fastxfer.cli._lazy import LazyGroup

__all__ = ["fdfs"]

COMMANDS = {
    "append": ("fastxfer.cli.fdfs.change:append", "Add a local file's bytes to an appender file."),
    "delete": ("fastxfer.cli.fdfs.change:delete", "Delete files."),
    "download": ("fastxfer.cli.fdfs.transfer:download", "Download files."),
    "exists": ("fastxfer.cli.fdfs.look:exists", "Tell by the exit code whether a file exists (0 or 3)."),
    "get": ("fastxfer.cli.fdfs.batches:get", "Download the files of a list."),
    "info": ("fastxfer.cli.fdfs.look:info", "Show what the server and the file ID tell of files."),
    "list": ("fastxfer.cli.fdfs.cluster:list_groups", "List the groups, or the storages of one."),
    "meta": ("fastxfer.cli.fdfs.look:meta", "Show or set the metadata of a file."),
    "modify": ("fastxfer.cli.fdfs.change:modify", "Write a local file's bytes over those of an appender file."),
    "monitor": ("fastxfer.cli.fdfs.cluster:monitor", "Show all servers with their state, space and load."),
    "parse": ("fastxfer.cli.fdfs.look:parse", "Take file IDs apart without asking a server."),
    "ping": ("fastxfer.cli.fdfs.cluster:ping", "Ask every tracker, or the servers given, whether they answer."),
    "put": ("fastxfer.cli.fdfs.batches:put", "Upload the files of a directory, and list their file IDs."),
    "regenerate": ("fastxfer.cli.fdfs.change:regenerate", "Make a normal file of an appender file."),
    "delete-group": ("fastxfer.cli.fdfs.cluster:delete_group", "Delete an empty group."),
    "delete-storage": ("fastxfer.cli.fdfs.cluster:delete_storage", "Take a storage that is down out of its group."),
    "truncate": ("fastxfer.cli.fdfs.change:truncate", "Change the size of an appender file."),
    "upload": ("fastxfer.cli.fdfs.transfer:upload", "Upload files, or standard input."),
    "url": ("fastxfer.cli.fdfs.look:url", "Build the web address of a file, with an anti-steal token if wanted."),
}


@click.group(
    "fdfs",
    cls=LazyGroup,
    table=COMMANDS,
    epilog=EXIT_CODE_HELP,
)
def fdfs() -> None:
    """Work with a FastDFS cluster.

    The trackers are given by --tracker, by --conf, or by the environment variables FASTXFER_TRACKERS
    (``host:port,host:port``) or FASTXFER_FDFS_CONF (path of a client.conf).
    """
