"""Encoding and decoding of single fields, headers, file IDs and metadata, as functions on bytes."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from os import PathLike, fspath
from os.path import basename, splitext

from fastxfer.core import wire
from fastxfer.fdfs.errors import InvalidFileIDError, InvalidMetadataError, InvalidResponseError
from fastxfer.fdfs.local_file import ArrivingFile, LocalFile
from fastxfer.fdfs.types import FDFS_FILE_EXT_NAME_MAX_LEN, TrackerHeader

__all__ = [
    "decode_header",
    "decode_int32",
    "decode_int64",
    "decode_metadata",
    "encode_header",
    "encode_int32",
    "encode_int64",
    "encode_metadata",
    "get_file_ext_name",
    "join_file_id",
    "pad_string",
    "read_file_content",
    "split_file_id",
    "unpad_string",
    "write_file_content",
]

_EXTENSION = re.compile(r"[A-Za-z0-9._-]*")


def encode_header(length: int, cmd: int, status: int = 0) -> bytes:
    """The 10-byte header of a message with *length* bytes of body. ValueError where a field is out of range."""
    return wire.pack_header(length, cmd, status)


def decode_header(data: bytes) -> TrackerHeader:
    """The header at the start of *data*; :class:`InvalidResponseError` where it is too short."""
    if len(data) < wire.HEADER_SIZE:
        raise InvalidResponseError(f"Header too short: {len(data)} bytes")
    return TrackerHeader(*wire.unpack_header(data))


def split_file_id(file_id: str) -> tuple[str, str]:
    """Group and remote filename; :class:`InvalidFileIDError` where *file_id* is not made of these."""
    try:
        return wire.split_file_id(file_id)
    except (ValueError, TypeError) as reason:
        raise InvalidFileIDError(str(file_id), str(reason)) from None


def join_file_id(group_name: str, remote_filename: str) -> str:
    """The inverse of :func:`split_file_id`."""
    return f"{group_name}/{remote_filename}"


def encode_metadata(metadata: Mapping[str, str] | None) -> bytes:
    """Metadata as it is sent; :class:`InvalidMetadataError` for what would not come back as it is.

    Nothing is cut: a name over 64 or a value over 256 bytes of UTF-8 is refused, as are the bytes 0x00 to 0x02.
    """
    try:
        return wire.encode_metadata(metadata or {})
    except ValueError as reason:
        raise InvalidMetadataError(str(reason)) from None


def decode_metadata(data: bytes) -> dict[str, str]:
    """The inverse of :func:`encode_metadata`, tolerant of what other clients have stored."""
    return wire.decode_metadata(data)


def get_file_ext_name(filename: str | PathLike[str]) -> str:
    """The extension of *filename* without its dot, cut to the 6 characters that FastDFS has room for.

    Empty where there is none, or where it has characters that a file ID cannot hold.
    """
    extension = splitext(basename(fspath(filename)))[1][1:]
    return extension[:FDFS_FILE_EXT_NAME_MAX_LEN] if _EXTENSION.fullmatch(extension) else ""


def read_file_content(filename: str | PathLike[str]) -> bytes:
    """All of a local file; :class:`FileNotFoundError` where there is none."""
    with LocalFile(filename) as local, open(local.fd, "rb", closefd=False) as stream:
        return stream.read()


def write_file_content(filename: str | PathLike[str], data: bytes) -> None:
    """Make *filename* hold *data*; it is never seen half written. Missing directories are made."""
    with ArrivingFile(filename) as arriving:
        with open(arriving.fd, "wb", closefd=False) as stream:
            stream.write(data)
        arriving.keep()


def pad_string(s: str, length: int) -> bytes:
    """*s* in UTF-8, padded with NUL to *length* bytes, or cut."""
    return s.encode("utf-8")[:length].ljust(length, b"\x00")


def unpad_string(data: bytes) -> str:
    """The text of a padded field."""
    return data.rstrip(b"\x00").decode("utf-8", errors="ignore")


def encode_int64(n: int) -> bytes:
    """*n* as 8 bytes, big-endian."""
    return struct.pack(">q", n) if n < 0 else struct.pack(">Q", n)


def decode_int64(data: bytes) -> int:
    """The unsigned integer in the first 8 bytes; 0 where there are fewer."""
    return int(struct.unpack_from(">Q", data)[0]) if len(data) >= 8 else 0


def encode_int32(n: int) -> bytes:
    """*n* as 4 bytes, big-endian."""
    return struct.pack(">i", n) if n < 0 else struct.pack(">I", n)


def decode_int32(data: bytes) -> int:
    """The unsigned integer in the first 4 bytes; 0 where there are fewer."""
    return int(struct.unpack_from(">I", data)[0]) if len(data) >= 4 else 0
