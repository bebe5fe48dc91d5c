"""Changes to appender files: append and modify."""

from __future__ import annotations

from fastxfer.core.wire import FileId, append_request, modify_request
from fastxfer.fdfs.arguments import LARGEST, check_integer
from fastxfer.fdfs.body import Body
from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.commands import Command, nothing
from fastxfer.fdfs.commands.storage import FLAG_NO_CRC32, FLAG_SILENT
from fastxfer.fdfs.errors import InvalidArgumentError
from fastxfer.fdfs.plans.seek import Search, seek
from fastxfer.fdfs.plans.small import check_appender, get_file_info
from fastxfer.fdfs.plans.upload import UNSEEN_LIMIT, send_body
from fastxfer.fdfs.steps import Control, Plan
from fastxfer.net.address import Address

__all__ = ["append", "modify"]

_APPEND_FILE = 24
_MODIFY_FILE = 34


def append(cluster: Cluster, file_id: str, body: Body, *, control: Control | None = None) -> Plan[None]:
    """Add *body* at the end. Sent once only, unless at-least-once is asked for: a second time would add it again."""
    file = check_appender(file_id, "appended to")
    repeatable = cluster.config.at_least_once
    command = Command(_APPEND_FILE, append_request(file_id, body.size), nothing)
    yield from _change(cluster, file_id, file, command, body, repeatable, control)


def modify(cluster: Cluster, file_id: str, offset: int, body: Body, *, control: Control | None = None) -> Plan[None]:
    """Write *body* over what is at *offset*; it may go on past the end."""
    file = check_appender(file_id, "modified")
    offset = check_integer("offset", offset)
    if body.size > LARGEST - offset:
        raise InvalidArgumentError(f"{body.size} bytes at offset {offset} go past the longest a file can be")
    command = Command(_MODIFY_FILE, modify_request(file_id, offset, body.size), nothing)
    yield from _change(cluster, file_id, file, command, body, True, control)


def _change(
    cluster: Cluster,
    file_id: str,
    file: FileId,
    command: Command[None],
    body: Body,
    repeatable: bool,
    control: Control | None,
) -> Plan[None]:
    if body.size == 0 or body.size > UNSEEN_LIMIT:
        # None is not sent: the server would answer with rubbish. Many are sent only to a file that is there.
        yield from get_file_info(cluster, file_id, FLAG_NO_CRC32 | FLAG_SILENT)
    if body.size == 0:
        return

    def attempt(address: Address, fresh: bool) -> Plan[tuple[int, None]]:
        status, _, _ = yield from send_body(
            cluster, address, command, body, repeatable=repeatable, control=control, compared=False
        )
        return status, None

    search = Search(cluster, file_id, file, command.code, update=True, repeatable=repeatable, control=control)
    yield from seek(search, attempt)
