"""Uploads of new files: normal, appender, slave."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, NoReturn, TypeVar

from fastxfer.core.crc32 import crc32
from fastxfer.core.wire import decode_file_id, download_request, upload_request, upload_slave_request
from fastxfer.fdfs.arguments import check_integer
from fastxfer.fdfs.body import Body
from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.commands import REPLY_LIMIT, Command, as_it_is
from fastxfer.fdfs.commands.storage import FLAG_NO_CRC32, FLAG_SILENT, new_file_id, query_file_info
from fastxfer.fdfs.commands.storage import delete_file as delete_command
from fastxfer.fdfs.commands.tracker import query_store
from fastxfer.fdfs.errors import (
    FastDFSError,
    InsufficientSpaceError,
    IntegrityError,
    InvalidArgumentError,
    MetadataNotSetError,
    NetworkError,
    NetworkTimeoutError,
    NoStorageServerError,
    PoolTimeoutError,
    status_error,
)
from fastxfer.fdfs.plans.seek import Search, parsed, seek
from fastxfer.fdfs.plans.small import checked_metadata, get_file_info, set_metadata
from fastxfer.fdfs.plans.tracking import ask_one, is_stale, store_target
from fastxfer.fdfs.steps import Call, Control, Move, PlainCall, Plan, Sleep
from fastxfer.fdfs.types import STORE_PATH_ANY, FileInfo
from fastxfer.net.address import Address

__all__ = ["UNSEEN_LIMIT", "send_body", "upload", "upload_slave"]

T = TypeVar("T")

_UPLOAD_FILE = 11
_UPLOAD_SLAVE_FILE = 21
_UPLOAD_APPENDER_FILE = 23
_DOWNLOAD_FILE = 14
_ENOSPC = 28
_EEXIST = 17
_TRANSIENT = (11, 16, _EEXIST)
"""EAGAIN, EBUSY, EEXIST: a server that cannot store a new file just now."""

_MOST_REFUSED_SLOTS = 16
"""A slot of a trunk file may be given out while a replica still has a deleted file in it: EEXIST, and the trunk server
drops that slot. The next upload gets another one, so it is sent at once; many slots in a row may be like that."""

_READ_BACK = 1 << 20

UNSEEN_LIMIT = 64 * 1024
"""Bodies up to this fit into the server's buffer with their head; longer ones are sent only to a file known to exist,
since a server that refuses one early takes the rest of it for requests."""


def upload(
    cluster: Cluster,
    body: Body,
    extension: str,
    metadata: Mapping[str, str] | None,
    *,
    appender: bool = False,
    group: str | None = None,
    store_path: int | None = None,
    control: Control | None = None,
    target: Address | None = None,
) -> Plan[str]:
    """Store a new file and return its ID. *target*'s turn it is, where somebody has taken that turn already, and may
    have begun to send it there."""
    if metadata:
        metadata = checked_metadata(metadata)
    code = _UPLOAD_APPENDER_FILE if appender else _UPLOAD_FILE
    try:
        path = STORE_PATH_ANY if store_path is None else check_integer("store_path", store_path, 0, 255)
        head = upload_request(code, path, body.size, extension)
        if group is not None:
            query_store(group)
    except (ValueError, TypeError) as reason:
        raise InvalidArgumentError(str(reason)) from None
    first: _Sent | None = None
    if body.small is not None and cluster.small_by_call(control):
        # The usual case, without the machinery: the next server in turn takes it.
        address, target = target, None
        if address is None and (targets := cluster.targets.get(group)) is not None:
            address = targets.at_once(cluster.health)
        if address is not None:
            whole = Command(code, head + body.small, new_file_id)
            try:
                answer: tuple[int, str] = yield (address, whole, REPLY_LIMIT, True, False)
                status, file_id = answer
                if status == 0:
                    crc = crc32(body.small) if cluster.config.verify else None
                    if not metadata and (crc is None or _is_stored(file_id, body, crc)):
                        return file_id
                    first = _Sent(address, 0, file_id, crc, None)
                else:
                    first = _Sent(address, status, "", None, None)
            except NetworkError as error:
                if not is_stale(error, False):
                    first = _Sent(address, 0, "", None, error)
    command = Command(code, head, new_file_id)
    file_id = yield from _store(cluster, body, extension, command, group, store_path is None, control, first, target)
    if metadata:
        try:
            yield from set_metadata(cluster, file_id, metadata)
        except FastDFSError as error:
            raise MetadataNotSetError(file_id, error) from error
    return file_id


class _Sent(NamedTuple):
    """What became of a body that has been sent: status and file ID that were answered and the CRC-32 of what was sent,
    or the error that came instead."""

    address: Address
    status: int
    file_id: str
    crc: int | None
    error: NetworkError | None


def _store(
    cluster: Cluster,
    body: Body,
    extension: str,
    command: Command[str],
    group: str | None,
    any_path: bool,
    control: Control | None,
    first: _Sent | None,
    target: Address | None,
) -> Plan[str]:
    """Send the file to one server after another until one has it, beginning with *target* where one is given; *first*
    tells what came of the first time.

    Where *any_path*, the store path that a tracker names with a server takes the place of the one in *command*.
    """
    retry = cluster.settings.retry
    failures = 0
    refused_slots = 0
    failed: set[Address] = set()
    last: FastDFSError | None = None
    while True:
        sending = command
        try:
            targets = cluster.targets.get(group)
            address, target = (target if first is None else first.address), None
            if address is None and targets is not None and not targets.due.passed:
                address = targets.next(cluster.health, failed)
            if address is None:
                address, path = yield from store_target(cluster, group, failed)
                if path is not None and any_path:
                    head = upload_request(command.code, path, body.size, extension)
                    sending = replace(command, request=head)
        except NoStorageServerError as error:
            # Those named have all been tried in this round.
            failure: FastDFSError = last or error
        except NetworkError as error:
            failure = last or error
        else:
            try:
                if first is None:
                    status, file_id, crc = yield from send_body(
                        cluster, address, sending, body, repeatable=False, control=control
                    )
                else:
                    (_, status, file_id, crc, failed_with), first = first, None
                    if failed_with is not None:
                        raise failed_with
            except PoolTimeoutError:
                raise
            except NetworkError as error:
                if error.maybe_done and not cluster.config.at_least_once:
                    raise
                if control is not None and control.out_of_time():
                    raise
                cluster.health.failed(address)
                failed.add(address)
                last = error
                continue
            if status == 0:
                cluster.health.worked(address)
                if crc is not None and not _is_stored(file_id, body, crc):
                    yield from _look_closer(file_id, body, crc, address)
                return file_id
            last = status_error(status, str(address), command.code)
            if status == _ENOSPC:
                cluster.forget_target(address)
                failed.add(address)
                continue
            if status == _EEXIST and refused_slots < _MOST_REFUSED_SLOTS:
                refused_slots += 1
                continue
            if status not in _TRANSIENT:
                raise last
            failure = last
        failures += 1
        hopeless = isinstance(failure, (InsufficientSpaceError, NetworkTimeoutError, PoolTimeoutError))
        if failures >= retry.attempts or hopeless or (control is not None and control.out_of_time()):
            raise failure
        yield Sleep(retry.delay(failures), control)
        failed.clear()


def send_body(
    cluster: Cluster,
    address: Address,
    command: Command[T],
    body: Body,
    *,
    repeatable: bool,
    control: Control | None,
    compared: bool = True,
) -> Plan[tuple[int, T, int | None]]:
    """The head in *command*, then *body*, to *address*: status and meaning of the reply, CRC-32 of what was sent.

    The CRC-32 is None where the status is not 0, nothing is to be verified, or it is not *compared* with anything.
    """
    verify = compared and cluster.config.verify
    step: Call | PlainCall | Move
    by_call = body.small is not None and cluster.small_by_call(control)
    if by_call:
        whole = Command(command.code, command.request + body.small, command.decode)  # type: ignore[operator]
        step = (address, whole, REPLY_LIMIT, not repeatable, False)
    else:
        step = Move(address, command, crc=verify, control=control, certain=not repeatable)
        if body.data is not None:
            step.data = body.data
        else:
            step.send_fd, step.send_offset, step.send_count = body.fd, body.offset, body.size
        if control is not None and control.progress is not None and control.progress.total is None:
            control.progress.total = body.size
    try:
        outcome = yield step
    except NetworkError as error:
        if not is_stale(error, repeatable):
            raise
        outcome = yield _afresh(step)
    first, value = outcome
    status = first if by_call else first.status
    if not verify or status:
        return status, value, None
    return status, value, first.crc32 if body.small is None or not by_call else crc32(body.small)


def _afresh(step: Call | PlainCall | Move) -> Call | Move:
    if isinstance(step, Move):
        step.fresh = True
        return step
    return Call(*step)._replace(fresh=True)


def _is_stored(file_id: str, body: Body, crc: int) -> bool:
    """Whether size and CRC-32 that the server put into the ID, where it has, are those of what was sent."""
    stored = decode_file_id(file_id)
    size = stored.size
    return size is None or (size == body.size and stored.crc32 == crc)


def _look_closer(file_id: str, body: Body, crc: int, address: Address) -> Plan[None]:
    """The ID tells of something else than what was sent: return if the bytes are right after all."""
    stored = decode_file_id(file_id)
    # Where a cluster deduplicates, the ID of a duplicate has a CRC-32 of no meaning: then only the bytes tell.
    if stored.size == body.size and (yield from _stored_crc(file_id, address, body.size)) == crc:
        return
    yield from _refuse(file_id, body, crc, address, f"{stored.size} with {stored.crc32:08x}")


def _stored_crc(file_id: str, address: Address, size: int) -> Plan[int]:
    crc = 0
    for offset in range(0, size, _READ_BACK):
        length = min(_READ_BACK, size - offset)
        command = Command(_DOWNLOAD_FILE, download_request(file_id, offset, length), as_it_is)
        crc = crc32((yield from ask_one(address, command)), crc)
    return crc


def _refuse(file_id: str, body: Body, crc: int | None, address: Address, stored: str) -> Plan[NoReturn]:
    """Delete what was just stored wrongly, and say so; that matters more than an error of the deletion."""
    with contextlib.suppress(FastDFSError):
        yield from ask_one(address, delete_command(file_id))
    sent = f"{body.size} bytes" if crc is None else f"{body.size} bytes with CRC-32 {crc:08x}"
    error = IntegrityError(f"{sent} were sent, {stored} stored as {file_id}")
    error.file_id, error.server, error.bytes_done = file_id, str(address), body.size
    raise error


def upload_slave(
    cluster: Cluster,
    body: Body,
    master_id: str,
    prefix: str,
    extension: str,
    metadata: Mapping[str, str] | None,
    *,
    control: Control | None = None,
) -> Plan[str]:
    """Store a file whose ID is derived from another's, and return that ID."""
    if metadata:
        metadata = checked_metadata(metadata)
    master = parsed(master_id)
    try:
        head = upload_slave_request(master_id, body.size, prefix, extension)
        command = Command(_UPLOAD_SLAVE_FILE, head, new_file_id)
    except (ValueError, TypeError) as reason:
        raise InvalidArgumentError(str(reason)) from None
    if body.size > UNSEEN_LIMIT:
        yield from get_file_info(cluster, master_id, FLAG_NO_CRC32 | FLAG_SILENT)

    def attempt(address: Address, fresh: bool) -> Plan[tuple[int, tuple[str, int | None, Address]]]:
        status, file_id, crc = yield from send_body(cluster, address, command, body, repeatable=False, control=control)
        return status, (file_id, crc, address)

    search = Search(
        cluster,
        master_id,
        master,
        _UPLOAD_SLAVE_FILE,
        update=True,
        repeatable=cluster.config.at_least_once,
        control=control,
    )
    file_id, crc, address = yield from seek(search, attempt)
    if cluster.config.verify:
        yield from _compare_slave(file_id, body, crc, address)
    if metadata:
        try:
            yield from set_metadata(cluster, file_id, metadata)
        except FastDFSError as error:
            raise MetadataNotSetError(file_id, error) from error
    return file_id


def _compare_slave(file_id: str, body: Body, crc: int | None, address: Address) -> Plan[None]:
    """Ask for size and CRC-32: a slave's ID has its master's."""
    info: FileInfo = yield from ask_one(address, query_file_info(file_id, FLAG_SILENT))
    # The server gives the master's CRC-32 where the slave's name is as short as a normal one's.
    known = len(file_id.partition("/")[2]) > _SHORT_NAME and crc is not None
    if info.file_size == body.size and (not known or info.crc32 == crc):
        return
    yield from _refuse(file_id, body, crc, address, f"{info.file_size} with {info.crc32:08x}")


_SHORT_NAME = 60
"""Length of a file name, as long as a normal or a trunk file's at most, at which a server may not know a slave."""
