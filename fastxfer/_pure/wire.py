"""Twin of ``fastxfer._ext.wire``: headers, request heads, reply fields and metadata."""

from __future__ import annotations

import struct
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastxfer._pure.fileid import (
    FileId,
    check_extension,
    check_group,
    check_prefix,
    check_range,
    decode_file_id,
    encode_file_id,
    slave_file_id,
    split_file_id,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "HEADER_SIZE",
    "FileId",
    "RequestBuffer",
    "append_request",
    "decode_file_id",
    "decode_metadata",
    "download_request",
    "encode_file_id",
    "encode_metadata",
    "file_request",
    "group_request",
    "modify_request",
    "pack_header",
    "pack_text",
    "regenerate_request",
    "set_metadata_request",
    "slave_file_id",
    "split_file_id",
    "truncate_request",
    "unpack_fetch_target",
    "unpack_fetch_targets",
    "unpack_file_id",
    "unpack_file_info",
    "unpack_header",
    "unpack_int32s",
    "unpack_int64s",
    "unpack_store_target",
    "unpack_store_targets",
    "unpack_text",
    "upload_request",
    "upload_slave_request",
]

HEADER_SIZE = 10
MAX_INT64 = (1 << 63) - 1
MAX_SERVER = 127
MAX_METADATA_NAME = 64
MAX_METADATA_VALUE = 256

UPLOAD_SLAVE_FILE = 21
SET_METADATA = 13
DOWNLOAD_FILE = 14
APPEND_FILE = 24
MODIFY_FILE = 34
TRUNCATE_FILE = 36
REGENERATE_APPENDER_FILENAME = 38

_HEADER = struct.Struct(">qBB")
_ADDRESS_WIDTHS = (15, 45)


def pack_header(length: int, command: int, status: int = 0, /) -> bytes:
    check_range("length", length, MAX_INT64)
    check_range("command", command, 255)
    check_range("status", status, 255)
    return _HEADER.pack(length, command, status)


def unpack_header(data: Buffer, /) -> tuple[int, int, int]:
    with _bytes_of(data) as view:
        if len(view) < HEADER_SIZE:
            raise ValueError(f"a header has 10 bytes, not {len(view)}")
        length, command, status = _HEADER.unpack_from(view)
        return length, command, status


def pack_text(text: str, width: int, /) -> bytes:
    encoded = text.encode("utf-8", "surrogateescape")
    if len(encoded) > width:
        raise ValueError(f"{text!r} is longer than {width} bytes")
    if b"\0" in encoded:
        raise ValueError(f"{text!r} holds a NUL")
    return encoded.ljust(width, b"\0")


def unpack_text(data: Buffer, offset: int, width: int, /) -> str:
    with _bytes_of(data) as view:
        _check_field(view, offset, width)
        return _text(view[offset : offset + width])


def unpack_int64s(data: Buffer, offset: int, count: int, /) -> tuple[int, ...]:
    return _integers(data, offset, count, 8, "q")


def unpack_int32s(data: Buffer, offset: int, count: int, /) -> tuple[int, ...]:
    return _integers(data, offset, count, 4, "i")


def group_request(command: int, group: str, server: str = "", /) -> bytes:
    name = check_group(group).ljust(16, b"\0")
    suffix = server.encode("utf-8")
    if len(suffix) > MAX_SERVER or b"\0" in suffix:
        raise ValueError(f"bad server {server!r}: it must be at most {MAX_SERVER} bytes without NUL")
    return pack_header(16 + len(suffix), command) + name + suffix


def file_request(command: int, file_id: str, status: int = 0, /) -> bytes:
    body = _group_and_filename(file_id)
    return pack_header(len(body), command, status) + body


def upload_request(command: int, store_path_index: int, size: int, extension: str = "", /) -> bytes:
    check_range("store path index", store_path_index, 255)
    check_range("size", size, MAX_INT64 - 15)
    return pack_header(15 + size, command) + struct.pack(">Bq6s", store_path_index, size, _bare(extension))


def _bare(extension: str) -> bytes:
    """A dot at the beginning is the one that the extension stands behind, as in ``os.path.splitext``."""
    return check_extension(extension[1:] if extension[:1] == "." else extension)


def upload_slave_request(master_id: str, size: int, prefix: str, extension: str = "", /) -> bytes:
    master = _filename(master_id)
    fixed = 38 + len(master)
    check_range("size", size, MAX_INT64 - fixed)
    head = struct.pack(">qq16s6s", len(master), size, check_prefix(prefix), _bare(extension))
    return pack_header(fixed + size, UPLOAD_SLAVE_FILE) + head + master


def append_request(file_id: str, size: int, /) -> bytes:
    name = _filename(file_id)
    fixed = 16 + len(name)
    check_range("size", size, MAX_INT64 - fixed)
    return pack_header(fixed + size, APPEND_FILE) + struct.pack(">qq", len(name), size) + name


def modify_request(file_id: str, offset: int, size: int, /) -> bytes:
    name = _filename(file_id)
    fixed = 24 + len(name)
    check_range("offset", offset, MAX_INT64)
    check_range("size", size, MAX_INT64 - fixed)
    return pack_header(fixed + size, MODIFY_FILE) + struct.pack(">qqq", len(name), offset, size) + name


def truncate_request(file_id: str, size: int, /) -> bytes:
    name = _filename(file_id)
    check_range("size", size, MAX_INT64)
    return pack_header(16 + len(name), TRUNCATE_FILE) + struct.pack(">qq", len(name), size) + name


def regenerate_request(file_id: str, /) -> bytes:
    name = _filename(file_id)
    return pack_header(len(name), REGENERATE_APPENDER_FILENAME) + name


def download_request(file_id: str, offset: int = 0, length: int = 0, /) -> bytes:
    check_range("offset", offset, MAX_INT64)
    check_range("length", length, MAX_INT64)
    body = _group_and_filename(file_id)
    return pack_header(16 + len(body), DOWNLOAD_FILE) + struct.pack(">qq", offset, length) + body


def set_metadata_request(file_id: str, flag: str, metadata: Buffer, /) -> bytes:
    if flag not in ("O", "M"):
        raise ValueError(f"metadata flag {flag!r} is neither 'O' nor 'M'")
    body = _group_and_filename(file_id)
    name_length = len(body) - 16
    with _bytes_of(metadata) as text:
        head = struct.pack(">qq1s", name_length, len(text), flag.encode("ascii"))
        return pack_header(17 + len(body) + len(text), SET_METADATA) + head + body + text


class RequestBuffer(bytearray):
    """See ``fastxfer._ext.wire.RequestBuffer``; a bytearray counts its exports itself."""

    def __init__(self) -> None:
        super().__init__()
        self._packing = threading.Lock()

    def _take(self, head: bytes) -> int:
        with self._packing:
            self.clear()
            self += head
        return len(head)

    def header(self, length: int, command: int, status: int = 0, /) -> int:
        return self._take(pack_header(length, command, status))

    def group_request(self, command: int, group: str, server: str = "", /) -> int:
        return self._take(group_request(command, group, server))

    def file_request(self, command: int, file_id: str, status: int = 0, /) -> int:
        return self._take(file_request(command, file_id, status))

    def upload_request(self, command: int, store_path_index: int, size: int, extension: str = "", /) -> int:
        return self._take(upload_request(command, store_path_index, size, extension))

    def upload_slave_request(self, master_id: str, size: int, prefix: str, extension: str = "", /) -> int:
        return self._take(upload_slave_request(master_id, size, prefix, extension))

    def append_request(self, file_id: str, size: int, /) -> int:
        return self._take(append_request(file_id, size))

    def modify_request(self, file_id: str, offset: int, size: int, /) -> int:
        return self._take(modify_request(file_id, offset, size))

    def truncate_request(self, file_id: str, size: int, /) -> int:
        return self._take(truncate_request(file_id, size))

    def regenerate_request(self, file_id: str, /) -> int:
        return self._take(regenerate_request(file_id))

    def download_request(self, file_id: str, offset: int = 0, length: int = 0, /) -> int:
        return self._take(download_request(file_id, offset, length))


def unpack_store_target(body: Buffer, /) -> tuple[str, str, int, int]:
    with _bytes_of(body) as view:
        width = _address_width(view, 16 + 8 + 1, "a store target")
        return (_text(view[:16]), _text(view[16 : 16 + width]), _port(view, 16 + width), view[-1])


def unpack_store_targets(body: Buffer, /) -> tuple[str, list[tuple[str, int]], int]:
    with _bytes_of(body) as view:
        if len(view) < 1:
            raise ValueError("an empty reply is not a list of store targets")
        group, servers = _servers(view[:-1], "a list of store targets", len(view))
        return group, servers, view[-1]


def unpack_fetch_target(body: Buffer, /) -> tuple[str, str, int]:
    with _bytes_of(body) as view:
        width = _address_width(view, 16 + 8, "a fetch target")
        return _text(view[:16]), _text(view[16 : 16 + width]), _port(view, 16 + width)


def unpack_fetch_targets(body: Buffer, /) -> tuple[str, list[tuple[str, int]]]:
    with _bytes_of(body) as view:
        return _servers(view, "a list of fetch targets", len(view))


def unpack_file_id(body: Buffer, /) -> str:
    with _bytes_of(body) as view:
        if len(view) <= 16:
            raise ValueError(f"a reply of {len(view)} bytes is not a file ID")
        file_id = f"{_text(view[:16])}/{_text(view[16:])}"
    split_file_id(file_id)
    return file_id


def unpack_file_info(body: Buffer, /) -> tuple[int, int, int, str]:
    with _bytes_of(body) as view:
        if len(view) not in (40, 70):
            raise ValueError(f"a reply of {len(view)} bytes is not file information")
        size, mtime, crc = struct.unpack_from(">qqq", view)
        return size, mtime, crc & 0xFFFFFFFF, _text(view[24:])


def encode_metadata(metadata: Mapping[str, str], /) -> bytes:
    records = []
    for name, value in metadata.items():
        encoded_name = _metadata_part("name", name, MAX_METADATA_NAME)
        if not encoded_name:
            raise ValueError("a metadata name is empty")
        records.append(encoded_name + b"\x02" + _metadata_part("value", value, MAX_METADATA_VALUE))
    return b"\x01".join(records)


def decode_metadata(text: Buffer, /) -> dict[str, str]:
    with _bytes_of(text) as view:
        whole = view.tobytes().rstrip(b"\x00\x01")
    metadata = {}
    for record in whole.split(b"\x01") if whole else ():
        name, _, value = record.partition(b"\x02")
        metadata[name.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
    return metadata


def _bytes_of(data: Buffer) -> memoryview:
    return memoryview(data).cast("B")


def _check_field(view: memoryview, offset: int, width: int) -> None:
    if offset < 0 or width < 0 or offset + width > len(view):
        raise ValueError(f"bytes {offset} to {offset + width} are not within {len(view)} bytes")


def _text(field: memoryview) -> str:
    return field.tobytes().partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _integers(data: Buffer, offset: int, count: int, width: int, code: str) -> tuple[int, ...]:
    with _bytes_of(data) as view:
        _check_field(view, offset, count * width)
        return struct.unpack_from(f">{count}{code}", view, offset)


def _filename(file_id: str) -> bytes:
    return split_file_id(file_id)[1].encode("ascii")


def _group_and_filename(file_id: str) -> bytes:
    group, filename = split_file_id(file_id)
    return group.encode("ascii").ljust(16, b"\0") + filename.encode("ascii")


def _metadata_part(what: str, text: str, limit: int) -> bytes:
    encoded = text.encode("utf-8", "surrogateescape")
    if len(encoded) > limit:
        raise ValueError(f"metadata {what} {text[:64]!r} is longer than {limit} bytes")
    if any(byte <= 2 for byte in encoded):
        raise ValueError(f"metadata {what} {text!r} holds one of the bytes 0x00, 0x01, 0x02")
    return encoded


def _port(view: memoryview, offset: int) -> int:
    (port,) = struct.unpack_from(">q", view, offset)
    if not 0 < port < 65536:
        raise ValueError(f"{port} is not a port")
    return int(port)


def _address_width(view: memoryview, fixed: int, what: str) -> int:
    width = len(view) - fixed
    if width not in _ADDRESS_WIDTHS:
        raise ValueError(f"a reply of {len(view)} bytes is not {what}")
    return width


def _servers(view: memoryview, what: str, whole: int) -> tuple[str, list[tuple[str, int]]]:
    length = len(view) - 16
    for width in _ADDRESS_WIDTHS:
        record = width + 8
        if length > 0 and length % record == 0:
            starts = range(16, len(view), record)
            return _text(view[:16]), [(_text(view[at : at + width]), _port(view, at + width)) for at in starts]
    raise ValueError(f"a reply of {whole} bytes is not {what}")
