"""File names as storage servers take and make them: checks, paths on disk, new names, what an old name tells."""

from __future__ import annotations

import re
from typing import NamedTuple

from fastxfer.core.wire import FileId, decode_file_id, encode_file_id
from fastxfer.fdfs.node.statuses import EINVAL, Refused

MAX_FILENAME = 127
MIN_TRACKER_FILENAME = 22
NORMAL_LENGTH = 44
TRUNK_LENGTH = 60
TAIL = 7
"""Last characters of a generated name: random digits, a dot and the extension."""
_FILENAME = re.compile(r"(?:M([0-9A-F]{2})/)?([0-9A-F]{2}/[0-9A-F]{2})/([A-Za-z0-9_.\-]+)", re.ASCII)
_EXTENSION = re.compile(rb"[A-Za-z0-9_.\-]*")


class Location(NamedTuple):
    """Where a file is by its name."""

    filename: str
    store_path_index: int
    directory: str
    """``HH/HH`` below the store path's data directory."""
    name: str


def parse_filename(raw: bytes, store_paths: int, subdir_count: int) -> Location:
    """Check a file name from a request. Refused (EINVAL) where no storage would take it."""
    text = raw.decode("latin-1")
    match = _FILENAME.fullmatch(text)
    if match is None or len(raw) > MAX_FILENAME or match[3] in (".", ".."):
        raise Refused(EINVAL, f"malformed file name {text!r}")
    index = int(match[1], 16) if match[1] else 0
    if index >= store_paths:
        raise Refused(EINVAL, f"no store path {index} for {text!r}")
    if int(match[2][:2], 16) >= subdir_count or int(match[2][3:], 16) >= subdir_count:
        raise Refused(EINVAL, f"no such directory {text!r}")
    return Location(text, index, match[2], match[3])


def check_field(raw: bytes, what: str) -> str:
    """An extension or prefix field: up to the first NUL, of the letters that names may have."""
    text = raw.partition(b"\0")[0]
    if _EXTENSION.fullmatch(text) is None:
        raise Refused(EINVAL, f"{what} {text!r} has characters that file names cannot have")
    return text.decode("ascii")


def decode_as_server(group: str, filename: str) -> FileId | None:
    """What the servers read out of a name, who judge by its length; None where it is no generated name.

    A slave's name is read as its master's; size and CRC-32 are then the master's.
    """
    for length in (NORMAL_LENGTH, TRUNK_LENGTH):
        if len(filename) < length - TAIL:
            break
        try:
            return decode_file_id(f"{group}/{filename[: length - TAIL]}0000000")
        except ValueError:
            continue
    return None


def is_slave(filename: str, file_id: FileId | None) -> bool:
    """Whether the servers take it for a slave: a short slave's name they take for a normal one."""
    trunk = file_id is not None and file_id.trunk
    return len(filename) > TRUNK_LENGTH or (len(filename) > NORMAL_LENGTH and not trunk)


def new_filename(
    group: str,
    source: str | int,
    created: int,
    size: int,
    crc32: int,
    extension: str,
    *,
    store_path_index: int,
    subdirs: tuple[int, int],
    appender: bool = False,
    trunk: tuple[int, int, int] | None = None,
) -> str:
    """A new name, without the group."""
    file_id = encode_file_id(
        group,
        source,
        created,
        size,
        crc32,
        extension,
        store_path_index=store_path_index,
        subdirs=subdirs,
        appender=appender,
        trunk=trunk,
    )
    return file_id.partition("/")[2]
