"""Commands that make files: upload, appender, slave, link."""

from __future__ import annotations

import os
import random
import struct
import time

from fastxfer.core.wire import slave_file_id
from fastxfer.fdfs.node.actions import Action, Reply, Request
from fastxfer.fdfs.node.context import StorageContext, require_whole
from fastxfer.fdfs.node.incoming import Body, receive
from fastxfer.fdfs.node.names import TAIL, Location, check_field, new_filename
from fastxfer.fdfs.node.statuses import EEXIST, EINVAL, ENOENT, EOPNOTSUPP, Refused
from fastxfer.fdfs.node.store import META_SUFFIX
from fastxfer.fdfs.node.trunk import open_slot, slot_of, write_slot
from fastxfer.fdfs.types import STORE_PATH_ANY, StorageCommand

UPLOAD_HEAD = struct.Struct(">Bq6s")
SLAVE_HEAD = struct.Struct(">qq16s6s")
LINK_HEAD = struct.Struct(">qqq16s16s6s")
MAX_SIGNATURE = 64


def upload(server: StorageContext, request: Request) -> Action:
    """UPLOAD_FILE and UPLOAD_APPENDER_FILE."""
    if request.length < UPLOAD_HEAD.size:
        raise Refused(EINVAL, f"body of {request.length} bytes is too short")
    index, size, raw_extension = UPLOAD_HEAD.unpack_from(request.body)
    if size != request.length - UPLOAD_HEAD.size:
        raise Refused(EINVAL, f"file size {size} does not go with a body of {request.length} bytes")
    if index == STORE_PATH_ANY:
        index = server.store.choose_path()
    elif index >= server.store.count:
        raise Refused(EINVAL, f"no store path {index}")
    extension = check_field(raw_extension, "extension")
    appender = request.command == StorageCommand.UPLOAD_APPENDER_FILE
    use_trunk = server.group.trunk is not None and not appender and size <= server.config.slot_max_size

    def publish(body: Body) -> Reply:
        if use_trunk:
            filename = _save_in_trunk(server, index, extension, body.content(), body.crc32)
        else:
            filename = _save_as_new(server, index, extension, body, appender=appender)
        server.changed(filename)
        server.state.counters.add("upload", success=True, size=body.size)
        return Reply(body=server.file_id_body(filename))

    return receive(server.store, request, UPLOAD_HEAD.size, index, publish)


def _new_name(
    server: StorageContext,
    index: int,
    extension: str,
    size: int,
    crc: int,
    *,
    appender: bool = False,
) -> Location:
    filename = new_filename(
        server.group.name,
        server.state.source,
        int(time.time()),
        size,
        crc,
        extension,
        store_path_index=index,
        subdirs=server.store.next_directory(index),
        appender=appender,
    )
    return server.locate(filename.encode())


def _save_as_new(server: StorageContext, index: int, extension: str, body: Body, *, appender: bool = False) -> str:
    location = _new_name(server, index, extension, body.size, body.crc32, appender=appender)
    body.save_as(server.store.path(location))
    return location.filename


def _save_in_trunk(
    server: StorageContext, index: int, extension: str, data: bytes, crc: int, *, is_link: bool = False
) -> str:
    assert server.group.trunk is not None
    slot = server.group.trunk.allocate(index, server.store.next_directory(index), len(data))
    try:
        filename = new_filename(
            server.group.name,
            server.state.source,
            int(time.time()),
            len(data),
            crc,
            extension,
            store_path_index=index,
            subdirs=(int(slot.directory[:2], 16), int(slot.directory[3:], 16)),
            trunk=(slot.trunk_id, slot.offset, slot.size),
        )
        write_slot(server.store, slot, filename[-TAIL:], data, crc, is_link=is_link)
    except BaseException:
        server.group.trunk.release(slot)
        raise
    return filename


def upload_slave(server: StorageContext, request: Request) -> Action:
    """UPLOAD_SLAVE_FILE."""
    if len(request.body) <= SLAVE_HEAD.size:
        raise Refused(EINVAL, f"body of {request.length} bytes is too short")
    master_length, size, raw_prefix, raw_extension = SLAVE_HEAD.unpack_from(request.body)
    head_size = SLAVE_HEAD.size + master_length
    if not 0 < master_length <= len(request.body) - SLAVE_HEAD.size or size != request.length - head_size:
        raise Refused(EINVAL, f"lengths {master_length} and {size} do not go with a body of {request.length} bytes")
    prefix = check_field(raw_prefix, "prefix")
    extension = check_field(raw_extension, "extension")
    if not prefix or (prefix == META_SUFFIX and not extension):
        raise Refused(EINVAL, f"prefix {prefix!r} cannot be used")
    master = server.locate(request.body[SLAVE_HEAD.size : head_size])
    require_file(server, master)
    slave = _slave_location(server, master, prefix, extension)
    path = server.store.path(slave)
    if os.path.lexists(path):
        raise Refused(EEXIST, f"{slave.filename} exists")

    def publish(body: Body) -> Reply:
        if server.config.store_slave_file_use_link:
            target = _save_as_new(server, slave.store_path_index, extension, body)
            server.changed(target)
            _link(server, server.locate(target.encode()), path)
        else:
            body.save_as(path)
        server.changed(slave.filename)
        server.state.counters.add("upload", success=True, size=body.size)
        return Reply(body=server.file_id_body(slave.filename))

    return receive(server.store, request, head_size, slave.store_path_index, publish)


def _slave_location(server: StorageContext, master: Location, prefix: str, extension: str) -> Location:
    try:
        slave_id = slave_file_id(f"{server.group.name}/{master.filename}", prefix, extension)
    except ValueError as error:
        raise Refused(EINVAL, str(error)) from None
    return server.locate(slave_id.partition("/")[2].encode())


def create_link(server: StorageContext, request: Request) -> Action:
    """CREATE_LINK: another name for a file of this server, as deduplication makes it.

    The signature is the deduplicating server's own affair and is not kept. As on a real server the new name does not
    hold the content's CRC-32 but a random number.
    """
    require_whole(request)
    if len(request.body) <= LINK_HEAD.size:
        raise Refused(EINVAL, f"body of {request.length} bytes is too short")
    master_length, source_length, signature_length, raw_group, raw_prefix, raw_extension = LINK_HEAD.unpack_from(
        request.body
    )
    names = request.body[LINK_HEAD.size :]
    if (
        min(master_length, source_length, signature_length) < 0
        or master_length + source_length + signature_length != len(names)
        or not source_length
        or not 0 < signature_length < MAX_SIGNATURE
    ):
        raise Refused(EINVAL, "the lengths in the request do not go together")
    if raw_group.partition(b"\0")[0].decode("latin-1") != server.group.name:
        raise Refused(EINVAL, "the group is not this server's")
    prefix = check_field(raw_prefix, "prefix")
    extension = check_field(raw_extension, "extension")
    source = server.locate(names[master_length : master_length + source_length])
    require_file(server, source)
    crc = random.getrandbits(32)
    index = source.store_path_index
    if slot_of(server.group.name, source) is not None:
        if master_length:
            raise Refused(EOPNOTSUPP, "a slave cannot be a link into a trunk file")
        filename = _save_in_trunk(server, index, extension, source.filename.encode(), crc, is_link=True)
    elif master_length:
        if not prefix:
            raise Refused(EINVAL, "a slave needs a prefix")
        link = _slave_location(server, server.locate(names[:master_length]), prefix, extension)
        _link(server, source, server.store.path(link))
        filename = link.filename
    else:
        link = _new_name(server, index, extension, os.stat(server.store.path(source)).st_size, crc)
        _link(server, source, server.store.path(link))
        filename = link.filename
    server.changed(filename)
    server.state.counters.add("create_link", success=True)
    return Reply(body=server.file_id_body(filename))


def _link(server: StorageContext, target: Location, path: str) -> None:
    server.store.make_directory(path)
    os.symlink(os.path.relpath(server.store.path(target), os.path.dirname(path)), path)


def require_file(server: StorageContext, location: Location) -> None:
    """Refused (ENOENT) where the file is not there."""
    slot = slot_of(server.group.name, location)
    if slot is not None:
        os.close(open_slot(server.store, slot, location.filename).fd)
    elif not os.path.isfile(server.store.path(location)):
        raise Refused(ENOENT, f"{location.filename} is not there")
