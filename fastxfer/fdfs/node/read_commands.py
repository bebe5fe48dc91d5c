"""Commands that look at files, and the one that removes them."""

from __future__ import annotations

import os
import stat
import struct
from typing import NamedTuple

from fastxfer.core.crc32 import crc32
from fastxfer.fdfs.node.actions import Action, Reply, Request, SendFile
from fastxfer.fdfs.node.context import StorageContext, require_whole
from fastxfer.fdfs.node.files import READ, read_at, unlink_quietly
from fastxfer.fdfs.node.names import Location, decode_as_server, is_slave
from fastxfer.fdfs.node.statuses import EINVAL, ENOENT, Refused
from fastxfer.fdfs.node.store import META_SUFFIX
from fastxfer.fdfs.node.trunk import HEADER_SIZE, clear_slot, open_slot, slot_of

DOWNLOAD_HEAD = struct.Struct(">qq")
FILE_INFO = struct.Struct(">qqq")
FLAG_NO_CRC32 = 1
_CHUNK = 1 << 20


class OpenFile(NamedTuple):
    """A file to be read: where it begins in its descriptor, its size, when it was changed."""

    fd: int
    start: int
    size: int
    modified: int


def open_file(server: StorageContext, location: Location) -> OpenFile:
    """Open a file wherever it is; Refused (ENOENT) or FileNotFoundError where it is not."""
    slot = slot_of(server.group.name, location)
    if slot is not None:
        found = open_slot(server.store, slot, location.filename)
        if not found.is_link:
            return OpenFile(found.fd, slot.offset + HEADER_SIZE, found.size, found.modified)
        try:
            target = read_at(found.fd, found.size, slot.offset + HEADER_SIZE)
        finally:
            os.close(found.fd)
        return open_file(server, server.locate(target))
    fd = os.open(server.store.path(location), READ)
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        raise Refused(ENOENT, f"{location.filename} is not a file")
    return OpenFile(fd, 0, info.st_size, int(info.st_mtime))


def download(server: StorageContext, request: Request) -> Action:
    """DOWNLOAD_FILE: a range of a file; length 0 is to its end, a range past the end is cut."""
    require_whole(request)
    if request.length <= DOWNLOAD_HEAD.size:
        raise Refused(EINVAL, f"body of {request.length} bytes is too short")
    offset, length = DOWNLOAD_HEAD.unpack_from(request.body)
    if offset < 0 or length < 0:
        raise Refused(EINVAL, f"negative offset {offset} or length {length}")
    location = server.locate_in_group(request.body[DOWNLOAD_HEAD.size :])
    found = open_file(server, location)
    if offset >= found.size:
        os.close(found.fd)
        raise Refused(EINVAL, f"offset {offset} is not within the {found.size} bytes of {location.filename}")
    count = min(length or found.size, found.size - offset)
    server.state.counters.add("download", success=True, size=count)
    return SendFile(found.fd, found.start + offset, count)


def query_file_info(server: StorageContext, request: Request) -> Action:
    """QUERY_FILE_INFO: size, time, CRC-32 (sign-extended) and source address."""
    require_whole(request)
    location = server.locate_in_group(request.body)
    found = open_file(server, location)
    try:
        file_id = decode_as_server(server.group.name, location.filename)
        source = server.cluster.source_address(file_id) if file_id is not None else ""
        if file_id is not None and not file_id.appender and not is_slave(location.filename, file_id):
            checksum = file_id.crc32 or 0
        elif request.flags & FLAG_NO_CRC32:
            checksum = 0
        else:
            checksum = _checksum(found)
    finally:
        os.close(found.fd)
    width = 46 if server.config.wide_addresses else 16
    signed = checksum - 0x100000000 if checksum & 0x80000000 else checksum
    fields = FILE_INFO.pack(found.size, found.modified, signed)
    return Reply(body=fields + source.encode().ljust(width, b"\0"))


def _checksum(found: OpenFile) -> int:
    value, position = 0, 0
    while position < found.size:
        data = read_at(found.fd, min(_CHUNK, found.size - position), found.start + position)
        if not data:
            break
        value = crc32(data, value)
        position += len(data)
    return value


def delete(server: StorageContext, request: Request) -> Action:
    """DELETE_FILE: the file and its metadata; slaves stay. A slave that is a link takes its target along."""
    require_whole(request)
    location = server.locate_in_group(request.body)
    path = server.store.path(location)
    slot = slot_of(server.group.name, location)
    with server.store.lock:
        if slot is not None:
            found = open_slot(server.store, slot, location.filename)
            os.close(found.fd)
            size = found.size
            clear_slot(server.store, slot)
            assert server.group.trunk is not None
            server.group.trunk.release(slot)
        else:
            size = os.lstat(path).st_size
            if os.path.islink(path) and is_slave(
                location.filename, decode_as_server(server.group.name, location.filename)
            ):
                _delete_target(server, location, path)
            os.unlink(path)
        unlink_quietly(path + META_SUFFIX)
    server.store.give_back(size)
    server.changed(location.filename)
    server.state.counters.add("delete", success=True)
    return Reply()


def _delete_target(server: StorageContext, location: Location, path: str) -> None:
    target = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
    relative = os.path.relpath(target, server.store.data_directory(location.store_path_index)).replace(os.sep, "/")
    filename = f"M{location.store_path_index:02X}/{relative}"
    unlink_quietly(server.store.path(server.locate(filename.encode())))
    server.changed(filename)
