"""What a storage server is asked, apart from the transfers of whole bodies: those begin with a head from here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from fastxfer.core.wire import (
    decode_file_id,
    decode_metadata,
    encode_metadata,
    file_request,
    pack_header,
    regenerate_request,
    set_metadata_request,
    truncate_request,
    unpack_file_id,
    unpack_file_info,
)
from fastxfer.fdfs.commands import Command, nothing
from fastxfer.fdfs.types import FileInfo, MetadataFlag, StorageCommand

__all__ = [
    "FLAG_NO_CRC32",
    "FLAG_SILENT",
    "create_link",
    "delete_file",
    "encode_metadata",
    "get_metadata",
    "new_file_id",
    "query_file_info",
    "regenerate_appender",
    "set_metadata",
    "truncate_file",
]

FLAG_NO_CRC32 = 1
"""QUERY_FILE_INFO: do not read an appender or slave file for its CRC-32 (6.15 and newer)."""
FLAG_SILENT = 2
"""QUERY_FILE_INFO: do not log an error where the file is missing (6.15 and newer)."""


def delete_file(file_id: str) -> Command[None]:
    """DELETE_FILE, metadata included."""
    return Command(12, file_request(12, file_id), nothing)


def query_file_info(file_id: str, flags: int = 0) -> Command[FileInfo]:
    """QUERY_FILE_INFO. Of a slave whose name looks like a normal one's the CRC-32 is the master's."""
    return Command(22, file_request(22, file_id, flags), _file_info)


def get_metadata(file_id: str) -> Command[dict[str, str]]:
    """GET_METADATA; ENOENT where none was set, as where there is no such file."""
    return Command(15, file_request(15, file_id), decode_metadata)


def set_metadata(file_id: str, metadata: Mapping[str, str], flag: MetadataFlag) -> Command[None]:
    """SET_METADATA; overwriting with none deletes them."""
    return Command(13, set_metadata_request(file_id, chr(flag), encode_metadata(metadata)), nothing)


def truncate_file(file_id: str, size: int) -> Command[None]:
    """TRUNCATE_FILE of an appender, which may also grow (with zeros)."""
    return Command(36, truncate_request(file_id, size), nothing)


def regenerate_appender(file_id: str) -> Command[str]:
    """REGENERATE_APPENDER_FILENAME: makes a normal file of an appender; the reply is its new ID."""
    return Command(38, regenerate_request(file_id), new_file_id)


def create_link(master_id: str, source_id: str, signature: bytes, prefix: str, extension: str) -> Command[str]:
    """CREATE_LINK: a second name for *source_id*'s content (deduplication by FastDHT); *prefix* may be empty.

    Raises ValueError where a field is too long or *signature* is not 1 to 63 bytes.
    """
    if not isinstance(signature, (bytes, bytearray, memoryview)):
        raise TypeError(f"a signature is of bytes, not {type(signature).__name__}")
    if not 1 <= len(signature) <= 63:
        raise ValueError(f"a signature has 1 to 63 bytes, not {len(signature)}")
    group, _, source = source_id.partition("/")
    master = master_id.partition("/")[2]
    body = b"".join(
        (
            len(master).to_bytes(8, "big"),
            len(source).to_bytes(8, "big"),
            len(signature).to_bytes(8, "big"),
            _padded(group, 16),
            _padded(prefix, 16),
            _padded(extension.removeprefix(".") if isinstance(extension, str) else extension, 6),
            master.encode(),
            source.encode(),
            signature,
        )
    )
    return Command(20, pack_header(len(body), StorageCommand.CREATE_LINK) + body, new_file_id)


def _padded(text: str, width: int) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"text is needed, not {text!r}")
    field = text.encode()
    if len(field) > width or b"\0" in field:
        raise ValueError(f"{text!r} does not fit into {width} bytes")
    return field.ljust(width, b"\0")


def _file_info(body: bytes) -> FileInfo:
    size, modified, crc32, source = unpack_file_info(body)
    if size < 0:
        raise ValueError(f"a file cannot have {size} bytes")
    try:
        moment = datetime.fromtimestamp(modified)
    except (OverflowError, OSError):
        raise ValueError(f"{modified} is not a time") from None
    return FileInfo(size, moment, crc32, source)


def new_file_id(body: bytes) -> str:
    """The ID in the reply to whatever makes a file; ValueError where it cannot be one."""
    file_id = unpack_file_id(body)
    decode_file_id(file_id)
    return file_id
