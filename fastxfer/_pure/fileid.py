"""File IDs, the part of ``fastxfer._pure.wire`` that takes them apart and makes them.

A name is ``Mpp/HH/HH/`` (store path and two directory levels, hexadecimal), 27 characters of base64 that hold 20 bytes
(source, time, masked size, CRC-32), for a file inside a trunk file 16 more (trunk file ID, offset, allocated size), and
a tail of 7: random digits, a dot and the extension. Names older than store paths lack the ``Mpp/``.
"""

from __future__ import annotations

import base64
import binascii
import random
import re
import struct
from dataclasses import dataclass

MAX_FILENAME = 127
MAX_GROUP = 16
MAX_EXTENSION = 6
MAX_PREFIX = 16
MAX_STORAGE_ID = 0xFFFFFF
MAX_SIZE = (1 << 55) - 1
MAX_SALT = (1 << 47) - 1

_DIRECTORIES = 6
_STORE_PATH = 4
_BASE64 = 27
_TRUNK_BASE64 = 16
_TAIL = 7
_SALTED = 1 << 63
_APPENDER = 1 << 58
_TRUNK = 1 << 59

_GROUP = re.compile(r"[A-Za-z0-9]{1,16}", re.ASCII)
_FILENAME = re.compile(r"[A-Za-z0-9/._-]{1,127}", re.ASCII)
_SUFFIX = re.compile(r"[A-Za-z0-9._-]*", re.ASCII)
_LOCATION = re.compile(r"(?:M([0-9A-Fa-f]{2})/)?([0-9A-F]{2})/([0-9A-F]{2})/", re.ASCII)


@dataclass(frozen=True, slots=True)
class FileId:
    """See ``fastxfer._ext.wire.FileId``."""

    group: str
    filename: str
    store_path_index: int
    subdirs: tuple[int, int]
    source_ip: str | None
    storage_id: int | None
    created: int
    size: int | None
    crc32: int | None
    appender: bool
    slave: bool
    trunk: bool
    trunk_file_id: int | None
    trunk_offset: int | None
    trunk_size: int | None
    extension: str


def check_group(group: str) -> bytes:
    if not _GROUP.fullmatch(group):
        raise ValueError(f"bad group name {group!r}: it must be 1 to 16 letters and digits")
    return group.encode("ascii")


def check_extension(extension: str) -> bytes:
    if len(extension) > MAX_EXTENSION or not _SUFFIX.fullmatch(extension):
        raise ValueError(f"bad extension {extension!r}: it must be at most 6 of the characters A-Z a-z 0-9 - _ .")
    return extension.encode("ascii")


def check_prefix(prefix: str) -> bytes:
    if not 1 <= len(prefix) <= MAX_PREFIX or not _SUFFIX.fullmatch(prefix):
        raise ValueError(f"bad slave prefix {prefix!r}: it must be 1 to 16 of the characters A-Z a-z 0-9 - _ .")
    return prefix.encode("ascii")


def split_file_id(file_id: str, /) -> tuple[str, str]:
    if not isinstance(file_id, str):
        raise TypeError(f"a file ID is text, not {type(file_id).__name__}")
    group, slash, filename = file_id.partition("/")
    if not slash:
        raise ValueError(f"bad file ID {file_id!r}: it has no slash after the group name")
    check_group(group)
    if not _FILENAME.fullmatch(filename):
        raise ValueError(
            f"bad file ID {file_id!r}: the filename must be 1 to 127 of the characters A-Z a-z 0-9 / . - _"
        )
    return group, filename


def decode_file_id(file_id: str, /) -> FileId:
    group, filename = split_file_id(file_id)
    location = _LOCATION.match(filename)
    if not location:
        raise ValueError(f"bad file ID {file_id!r}: the filename does not begin with store path and directories")
    name = filename[location.end() :]
    if "/" in name:
        raise ValueError(f"bad file ID {file_id!r}: too many slashes")
    if len(name) <= _BASE64:
        raise ValueError(f"bad file ID {file_id!r}: the name is too short")
    source, created, masked, crc = struct.unpack(">4sIQI", _base64_bytes(file_id, name[:_BASE64]))
    source_number = int.from_bytes(source, "little")
    by_id = 0 < source_number <= MAX_STORAGE_ID
    in_trunk = bool(masked & _TRUNK)
    body = _BASE64 + (_TRUNK_BASE64 if in_trunk else 0)
    if len(name) <= body:
        raise ValueError(f"bad file ID {file_id!r}: the name is too short for a file in a trunk file")
    slave = len(name) != body + _TAIL
    trunk = in_trunk and not slave
    trunk_fields: tuple[int | None, int | None, int | None] = (None, None, None)
    if trunk:
        trunk_fields = struct.unpack(">III", _base64_bytes(file_id, name[_BASE64:body]))
    appender = bool(masked & _APPENDER) and not slave
    salted = masked & (_SALTED | _TRUNK)
    if not masked & (_SALTED | _APPENDER | _TRUNK) and masked > MAX_SIZE:
        raise ValueError(f"bad file ID {file_id!r}: absurd size")
    known = not appender and not slave
    return FileId(
        group=group,
        filename=filename,
        store_path_index=int(location[1] or "0", 16),
        subdirs=(int(location[2], 16), int(location[3], 16)),
        source_ip=None if by_id else ".".join(map(str, source)),
        storage_id=source_number if by_id else None,
        created=created,
        size=(masked & 0xFFFFFFFF if salted else masked) if known else None,
        crc32=crc if known else None,
        appender=appender,
        slave=slave,
        trunk=trunk,
        trunk_file_id=trunk_fields[0],
        trunk_offset=trunk_fields[1],
        trunk_size=trunk_fields[2],
        extension=name[max(len(name) - _TAIL, body) :].partition(".")[2],
    )


def encode_file_id(
    group: str,
    source: str | int,
    created: int,
    size: int,
    crc32: int,
    extension: str = "",
    *,
    store_path_index: int = 0,
    subdirs: tuple[int, int] = (0, 0),
    appender: bool = False,
    trunk: tuple[int, int, int] | None = None,
    salt: int | None = None,
) -> str:
    check_group(group)
    check_extension(extension)
    if salt is None:
        salt = random.getrandbits(47)
    check_range("salt", salt, MAX_SALT)
    check_range("creation time", created, 0xFFFFFFFF)
    check_range("size", size, MAX_SIZE)
    check_range("CRC-32", crc32, 0xFFFFFFFF)
    check_range("store path index", store_path_index, 255)
    first, second = subdirs
    check_range("directory", first, 255)
    check_range("directory", second, 255)
    if appender and trunk:
        raise ValueError("an appender file cannot be inside a trunk file")
    if trunk and size > 0xFFFFFFFF:
        raise ValueError(f"a file of {size} bytes cannot be inside a trunk file")
    masked = 0 if appender else size
    if masked <= 0xFFFFFFFF:
        masked |= _SALTED | (salt & 0x7FFFFF) << 32
    masked |= _APPENDER if appender else 0
    masked |= _TRUNK if trunk else 0
    fields = struct.pack(">4sIQI", _source_bytes(source), created, masked, crc32)
    name = base64.urlsafe_b64encode(fields).rstrip(b"=").decode("ascii")
    if trunk:
        places = list(trunk)
        if len(places) != 3:
            raise ValueError("a file in a trunk file has three trunk fields")
        for value in places:
            check_range("trunk field", value, 0xFFFFFFFF)
        name += base64.urlsafe_b64encode(struct.pack(">III", *places)).decode("ascii")
    digits = MAX_EXTENSION - len(extension) if extension else _TAIL
    tail = f"{(salt >> 23) % 10**digits:0{digits}d}" if digits else ""
    dot = "." if extension else ""
    return f"{group}/M{store_path_index:02X}/{first:02X}/{second:02X}/{name}{tail}{dot}{extension}"


def slave_file_id(master_id: str, prefix: str, extension: str = "", /) -> str:
    master = decode_file_id(master_id)
    check_prefix(prefix)
    check_extension(extension)
    stem = master_id[: -len(master.extension) - 1] if master.extension else master_id
    slave_id = f"{stem}{prefix}.{extension}" if extension else stem + prefix
    if len(slave_id) - len(master.group) - 1 > MAX_FILENAME:
        raise ValueError(f"the filename of slave {slave_id!r} is longer than 127 characters")
    return slave_id


def _base64_bytes(file_id: str, text: str) -> bytes:
    try:
        if "." in text:
            raise binascii.Error
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError(f"bad file ID {file_id!r}: the name is not FastDFS base64") from None


def _source_bytes(source: str | int) -> bytes:
    if isinstance(source, int):
        if not 0 < source <= MAX_STORAGE_ID:
            raise ValueError(f"storage ID {source} is not between 1 and {MAX_STORAGE_ID}")
        return source.to_bytes(4, "little")
    octets = source.split(".")
    if len(octets) != 4 or not all(o.isascii() and o.isdigit() and len(o) <= 3 and int(o) <= 255 for o in octets):
        raise ValueError(f"{source!r} is not an IPv4 address")
    return bytes(map(int, octets))


def check_range(what: str, value: int, maximum: int) -> None:
    if not 0 <= value <= maximum:
        raise ValueError(f"{what} {value} is not between 0 and {maximum}")
