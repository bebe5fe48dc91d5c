"""Commands that change appender files."""

from __future__ import annotations

import os
import struct
import time

from fastxfer.core.crc32 import crc32
from fastxfer.fdfs.node.actions import Action, Reply, Request
from fastxfer.fdfs.node.context import StorageContext, require_whole
from fastxfer.fdfs.node.files import READ, UPDATE, read_at
from fastxfer.fdfs.node.incoming import Body, receive
from fastxfer.fdfs.node.names import MIN_TRACKER_FILENAME, TAIL, Location, decode_as_server, is_slave, new_filename
from fastxfer.fdfs.node.statuses import EINVAL, ENOENT, Refused
from fastxfer.fdfs.node.store import META_SUFFIX

APPEND_HEAD = struct.Struct(">qq")
MODIFY_HEAD = struct.Struct(">qqq")
TRUNCATE_HEAD = struct.Struct(">qq")
_CHUNK = 1 << 20


def require_appender(server: StorageContext, location: Location) -> str:
    """The path of an appender file; ENOENT where there is no file (files in trunk files neither), EINVAL for others."""
    path = server.store.path(location)
    if not os.path.isfile(path):
        raise Refused(ENOENT, f"{location.filename} is not there")
    file_id = decode_as_server(server.group.name, location.filename)
    if file_id is None or not file_id.appender or is_slave(location.filename, file_id):
        raise Refused(EINVAL, f"{location.filename} is not an appender file")
    return path


def nothing_to_do(request: Request) -> Reply:
    """As the real server answers where nothing changes: status 0 and the request's own body."""
    return Reply(body=request.body)


def append(server: StorageContext, request: Request) -> Action:
    """APPEND_FILE."""
    name_length, size = _fields(APPEND_HEAD, request)
    location, head_size = _target(server, request, APPEND_HEAD.size, name_length, size)
    path = require_appender(server, location)
    if not size:
        return nothing_to_do(request)

    def publish(body: Body) -> Reply:
        with server.store.lock:
            require_appender(server, location)
            _write_behind(path, os.stat(path).st_size, body)
        server.changed(location.filename, appended=True)
        server.state.counters.add("append", success=True, size=size)
        return Reply()

    return receive(server.store, request, head_size, location.store_path_index, publish)


def modify(server: StorageContext, request: Request) -> Action:
    """MODIFY_FILE: overwrite from an offset that is not behind the end; it may grow."""
    name_length, offset, size = _fields(MODIFY_HEAD, request)
    location, head_size = _target(server, request, MODIFY_HEAD.size, name_length, size)
    path = require_appender(server, location)
    if not 0 <= offset <= os.stat(path).st_size:
        raise Refused(EINVAL, f"offset {offset} is not within {location.filename}")
    if not size:
        return nothing_to_do(request)

    def publish(body: Body) -> Reply:
        with server.store.lock:
            require_appender(server, location)
            before = os.stat(path).st_size
            if offset > before:
                raise Refused(EINVAL, f"offset {offset} is not within {location.filename} any more")
            fd = os.open(path, UPDATE)
            try:
                body.write_into(fd, offset)
            finally:
                os.close(fd)
        server.store.give_back(size - max(0, offset + size - before))
        server.changed(location.filename)
        server.state.counters.add("modify", success=True, size=size)
        return Reply()

    return receive(server.store, request, head_size, location.store_path_index, publish)


def _write_behind(path: str, end: int, body: Body) -> None:
    """Append *body* at *end*; where that fails the file is as it was."""
    fd = os.open(path, UPDATE)
    try:
        try:
            body.write_into(fd, end)
        except BaseException:
            os.ftruncate(fd, end)
            raise
    finally:
        os.close(fd)


def truncate(server: StorageContext, request: Request) -> Action:
    """TRUNCATE_FILE: cut, or grow with zeros."""
    require_whole(request)
    name_length, size = _fields(TRUNCATE_HEAD, request)
    location, _ = _target(server, request, TRUNCATE_HEAD.size, name_length, 0)
    path = require_appender(server, location)
    if size < 0:
        raise Refused(EINVAL, f"negative size {size}")
    with server.store.lock:
        before = os.stat(path).st_size
        if size == before:
            return nothing_to_do(request)
        give_back = server.store.reserve(location.store_path_index, max(0, size - before))
        try:
            os.truncate(path, size)
        except BaseException:
            give_back()
            raise
        server.store.give_back(max(0, before - size))
    server.changed(location.filename)
    server.state.counters.add("truncate", success=True)
    return Reply()


def regenerate(server: StorageContext, request: Request) -> Action:
    """REGENERATE_APPENDER_FILENAME: the appender becomes a normal file under a new name."""
    require_whole(request)
    if request.length < MIN_TRACKER_FILENAME:
        raise Refused(EINVAL, "file name too short")
    location = server.locate(request.body)
    with server.store.lock:
        path = require_appender(server, location)
        size, checksum = _measure(path)
        name = new_filename(
            server.group.name,
            server.state.source,
            int(time.time()),
            size,
            checksum,
            "",
            store_path_index=location.store_path_index,
            subdirs=(int(location.directory[:2], 16), int(location.directory[3:], 16)),
        )
        renamed = server.locate((name[:-TAIL] + location.name[-TAIL:]).encode())
        os.rename(path, server.store.path(renamed))
        if os.path.lexists(path + META_SUFFIX):
            os.rename(path + META_SUFFIX, server.store.path(renamed) + META_SUFFIX)
    server.changed(renamed.filename)
    server.changed(location.filename)
    return Reply(body=server.file_id_body(renamed.filename))


def _measure(path: str) -> tuple[int, int]:
    """Size and CRC-32 of a file."""
    size, value = 0, 0
    fd = os.open(path, READ)
    try:
        while data := read_at(fd, _CHUNK, size):
            value = crc32(data, value)
            size += len(data)
    finally:
        os.close(fd)
    return size, value


def _fields(layout: struct.Struct, request: Request) -> tuple[int, ...]:
    if len(request.body) <= layout.size:
        raise Refused(EINVAL, f"body of {request.length} bytes is too short")
    return layout.unpack_from(request.body)


def _target(server: StorageContext, request: Request, fixed: int, name_length: int, size: int) -> tuple[Location, int]:
    """The file that the name behind the fixed fields means, and the number of bytes before the file's own."""
    head_size = fixed + name_length
    if not 0 < name_length <= len(request.body) - fixed or size < 0 or size != request.length - head_size:
        raise Refused(EINVAL, f"lengths {name_length} and {size} do not go with a body of {request.length} bytes")
    return server.locate(request.body[fixed:head_size]), head_size
