"""A storage server of the node: the table of its commands."""

from __future__ import annotations

from collections.abc import Callable

from fastxfer.fdfs.node.actions import Action, Close, Reply, Request
from fastxfer.fdfs.node.cluster import Cluster, Group, StorageState
from fastxfer.fdfs.node.context import StorageContext
from fastxfer.fdfs.node.metadata_commands import get_metadata, set_metadata
from fastxfer.fdfs.node.read_commands import delete, download, query_file_info
from fastxfer.fdfs.node.statuses import EINVAL, Refused
from fastxfer.fdfs.node.update_commands import append, modify, regenerate, truncate
from fastxfer.fdfs.node.upload_commands import create_link, upload, upload_slave
from fastxfer.fdfs.types import StorageCommand


def active_test(server: StorageContext, request: Request) -> Action:
    """ACTIVE_TEST."""
    if request.length:
        raise Refused(EINVAL, "ACTIVE_TEST has no body")
    return Reply()


def quit_connection(server: StorageContext, request: Request) -> Action:
    """QUIT."""
    return Close()


COMMANDS: dict[int, Callable[[StorageContext, Request], Action]] = {
    StorageCommand.UPLOAD_FILE: upload,
    StorageCommand.UPLOAD_APPENDER_FILE: upload,
    StorageCommand.UPLOAD_SLAVE_FILE: upload_slave,
    StorageCommand.CREATE_LINK: create_link,
    StorageCommand.APPEND_FILE: append,
    StorageCommand.MODIFY_FILE: modify,
    StorageCommand.TRUNCATE_FILE: truncate,
    StorageCommand.REGENERATE_APPENDER_FILENAME: regenerate,
    StorageCommand.DELETE_FILE: delete,
    StorageCommand.SET_METADATA: set_metadata,
    StorageCommand.GET_METADATA: get_metadata,
    StorageCommand.DOWNLOAD_FILE: download,
    StorageCommand.QUERY_FILE_INFO: query_file_info,
    StorageCommand.ACTIVE_TEST: active_test,
    StorageCommand.QUIT: quit_connection,
}

FAILURES = {
    StorageCommand.UPLOAD_FILE: "upload",
    StorageCommand.UPLOAD_APPENDER_FILE: "upload",
    StorageCommand.UPLOAD_SLAVE_FILE: "upload",
    StorageCommand.APPEND_FILE: "append",
    StorageCommand.MODIFY_FILE: "modify",
    StorageCommand.TRUNCATE_FILE: "truncate",
    StorageCommand.DELETE_FILE: "delete",
    StorageCommand.SET_METADATA: "set_meta",
    StorageCommand.GET_METADATA: "get_meta",
    StorageCommand.DOWNLOAD_FILE: "download",
    StorageCommand.CREATE_LINK: "create_link",
}
"""What a refused command is counted as."""


class StorageService:
    """A storage server behind its listening socket."""

    closes_on_einval = True
    length_bits = 64

    def __init__(self, cluster: Cluster, group: Group, state: StorageState) -> None:
        self.name = state.name
        self.buffer_size = cluster.config.buffer_size
        self.pipelines = not cluster.config.quirks
        self.parses_refused_body = cluster.config.quirks
        self._context = StorageContext(cluster, group, state)

    def handle(self, request: Request) -> Action:
        command = COMMANDS.get(request.command)
        if command is None:
            raise Refused(EINVAL, f"unknown command {request.command}")
        try:
            return command(self._context, request)
        except (Refused, OSError):
            if request.command in FAILURES:
                operation = FAILURES[StorageCommand(request.command)]
                self._context.state.counters.add(operation, success=False)
            raise

    def opened(self) -> None:
        self._context.state.counters.connected(1)

    def closed(self) -> None:
        self._context.state.counters.connected(-1)
