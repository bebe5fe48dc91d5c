"""Commands on metadata, which is kept in a file beside the file: its name and ``-m``."""

from __future__ import annotations

import struct

from fastxfer.fdfs.node import metadata
from fastxfer.fdfs.node.actions import Action, Reply, Request
from fastxfer.fdfs.node.context import StorageContext, require_whole
from fastxfer.fdfs.node.files import unlink_quietly, write_whole
from fastxfer.fdfs.node.names import Location
from fastxfer.fdfs.node.statuses import EINVAL, Refused
from fastxfer.fdfs.node.upload_commands import require_file

SET_HEAD = struct.Struct(">qqc")
GROUP_WIDTH = 16


def set_metadata(server: StorageContext, request: Request) -> Action:
    """SET_METADATA: overwrite (``O``; with nothing it deletes) or merge (``M``; with nothing it does nothing)."""
    require_whole(request)
    if request.length <= SET_HEAD.size + GROUP_WIDTH:
        raise Refused(EINVAL, f"body of {request.length} bytes is too short")
    name_length, text_length, flag = SET_HEAD.unpack_from(request.body)
    rest = request.body[SET_HEAD.size :]
    name_end = GROUP_WIDTH + name_length
    if name_length < 1 or text_length < 0 or name_end + text_length != len(rest):
        raise Refused(EINVAL, f"lengths {name_length} and {text_length} do not go together")
    if flag not in (b"O", b"M"):
        raise Refused(EINVAL, f"flag {flag!r} is neither O nor M")
    location = server.locate_in_group(rest[:name_end])
    require_file(server, location)
    _store(server, location, flag, rest[name_end:])
    server.changed(location.filename)
    server.state.counters.add("set_meta", success=True)
    return Reply()


def _store(server: StorageContext, location: Location, flag: bytes, text: bytes) -> None:
    path = server.store.meta_path(location)
    with server.store.lock:
        if flag == b"O" and not text:
            unlink_quietly(path)
        elif text:
            stored = _read(path) if flag == b"M" else b""
            server.store.make_directory(path)
            write_whole(path, metadata.merge(stored, text) if stored else metadata.overwrite(text))


def get_metadata(server: StorageContext, request: Request) -> Action:
    """GET_METADATA; FileNotFoundError where none was set."""
    require_whole(request)
    location = server.locate_in_group(request.body)
    require_file(server, location)
    with open(server.store.meta_path(location), "rb") as file:
        text = file.read()
    server.state.counters.add("get_meta", success=True)
    return Reply(body=text)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
