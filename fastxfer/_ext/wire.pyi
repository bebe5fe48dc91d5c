"""The FastDFS wire format: headers, request heads, reply fields, metadata text and file IDs.

All integers are big-endian, all text fields fixed in width and padded with NUL. A request head is everything that goes
before the file's own bytes; the length in its header counts those too. A file ID is ``group/filename``.

Every function raises ValueError, with the reason, for what the protocol cannot carry or a body that is not what it
should be, TypeError for arguments of the wrong type, and OverflowError or ValueError for integers out of range.
"""

from collections.abc import Mapping
from typing import Final, final

from typing_extensions import Buffer

HEADER_SIZE: Final[int]
"""Bytes of a header: 8 of body length, 1 of command, 1 of status."""

def pack_header(length: int, command: int, status: int = 0, /) -> bytes:
    """The 10-byte header of a request or reply with a body of *length* bytes."""

def unpack_header(data: Buffer, /) -> tuple[int, int, int]:
    """``(length, command, status)`` of the header at the start of *data*; the length as it stands, even negative."""

def pack_text(text: str, width: int, /) -> bytes:
    """*text* in UTF-8, padded with NUL to *width* bytes; ValueError where it is longer or holds a NUL."""

def unpack_text(data: Buffer, offset: int, width: int, /) -> str:
    """The text in the *width* bytes at *offset*, up to the first NUL; bytes that are not UTF-8 become surrogates."""

def unpack_int64s(data: Buffer, offset: int, count: int, /) -> tuple[int, ...]:
    """*count* signed 64-bit integers at *offset*."""

def unpack_int32s(data: Buffer, offset: int, count: int, /) -> tuple[int, ...]:
    """*count* signed 32-bit integers at *offset*."""

# --- request heads

def group_request(command: int, group: str, server: str = "", /) -> bytes:
    """A request about a group, and, if given, one of its servers (storage ID, or ``address:port``)."""

def file_request(command: int, file_id: str, status: int = 0, /) -> bytes:
    """A request whose body is group and filename: tracker queries, delete, get metadata, file info.

    *status* carries the flags of QUERY_FILE_INFO.
    """

def upload_request(command: int, store_path_index: int, size: int, extension: str = "", /) -> bytes:
    """Head of UPLOAD_FILE (11) or UPLOAD_APPENDER_FILE (23); *size* bytes of file follow it."""

def upload_slave_request(master_id: str, size: int, prefix: str, extension: str = "", /) -> bytes:
    """Head of UPLOAD_SLAVE_FILE (21); *size* bytes of file follow it."""

def append_request(file_id: str, size: int, /) -> bytes:
    """Head of APPEND_FILE (24); *size* bytes of file follow it."""

def modify_request(file_id: str, offset: int, size: int, /) -> bytes:
    """Head of MODIFY_FILE (34); *size* bytes of file follow it."""

def truncate_request(file_id: str, size: int, /) -> bytes:
    """TRUNCATE_FILE (36) to *size* bytes."""

def regenerate_request(file_id: str, /) -> bytes:
    """REGENERATE_APPENDER_FILENAME (38)."""

def download_request(file_id: str, offset: int = 0, length: int = 0, /) -> bytes:
    """DOWNLOAD_FILE (14) of *length* bytes from *offset*; length 0 means to the end."""

def set_metadata_request(file_id: str, flag: str, metadata: Buffer, /) -> bytes:
    """SET_METADATA (13) with the text of :func:`encode_metadata`; *flag* is ``"O"`` (overwrite) or ``"M"`` (merge)."""

@final
class RequestBuffer:
    """Request heads packed into one buffer again and again; it exports the bytes of the last one.

    Its methods take what the functions of the same names take and return the head's length. While a memoryview or a
    transfer holds it, packing raises BufferError. Safe to use from several threads, though it holds one head at a time.
    """

    def __init__(self) -> None: ...
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def header(self, length: int, command: int, status: int = 0, /) -> int: ...
    def group_request(self, command: int, group: str, server: str = "", /) -> int: ...
    def file_request(self, command: int, file_id: str, status: int = 0, /) -> int: ...
    def upload_request(self, command: int, store_path_index: int, size: int, extension: str = "", /) -> int: ...
    def upload_slave_request(self, master_id: str, size: int, prefix: str, extension: str = "", /) -> int: ...
    def append_request(self, file_id: str, size: int, /) -> int: ...
    def modify_request(self, file_id: str, offset: int, size: int, /) -> int: ...
    def truncate_request(self, file_id: str, size: int, /) -> int: ...
    def regenerate_request(self, file_id: str, /) -> int: ...
    def download_request(self, file_id: str, offset: int = 0, length: int = 0, /) -> int: ...

# --- reply bodies; the width of their addresses (15 or 45, 16 or 46) is told by the length

def unpack_store_target(body: Buffer, /) -> tuple[str, str, int, int]:
    """``(group, address, port, store_path_index)`` of a QUERY_STORE_*_ONE reply."""

def unpack_store_targets(body: Buffer, /) -> tuple[str, list[tuple[str, int]], int]:
    """``(group, [(address, port), ...], store_path_index of the first)`` of a QUERY_STORE_*_ALL reply."""

def unpack_fetch_target(body: Buffer, /) -> tuple[str, str, int]:
    """``(group, address, port)`` of a QUERY_FETCH_ONE or QUERY_UPDATE reply."""

def unpack_fetch_targets(body: Buffer, /) -> tuple[str, list[tuple[str, int]]]:
    """``(group, [(address, port), ...])`` of a QUERY_FETCH_ALL reply."""

def unpack_file_id(body: Buffer, /) -> str:
    """The new file ID, ``group/filename``, of an upload's reply."""

def unpack_file_info(body: Buffer, /) -> tuple[int, int, int, str]:
    """``(size, mtime, crc32, source address)`` of a QUERY_FILE_INFO reply; the CRC-32 is unsigned."""

# --- metadata

def encode_metadata(metadata: Mapping[str, str], /) -> bytes:
    """Metadata as SET_METADATA carries it: ``name 0x02 value``, joined with 0x01.

    ValueError: an empty name, a name over 64 or a value over 256 bytes of UTF-8, or one of 0x00-0x02 in either.
    """

def decode_metadata(text: Buffer, /) -> dict[str, str]:
    """Names and values of a GET_METADATA reply.

    Tolerant of what servers have stored: NULs and separators left over at the end are dropped, a record without 0x02
    is a name with an empty value, bytes that are not UTF-8 become surrogates.
    """

# --- file IDs

@final
class FileId:
    """What a file ID tells by itself; made by :func:`decode_file_id`."""

    @property
    def group(self) -> str: ...
    @property
    def filename(self) -> str:
        """The part after the group: ``M00/00/00/...``."""
    @property
    def store_path_index(self) -> int: ...
    @property
    def subdirs(self) -> tuple[int, int]:
        """The two directory levels below the store path, 0 to 255 each."""
    @property
    def source_ip(self) -> str | None:
        """IPv4 address of the server it was uploaded to; None where the name holds a storage ID instead."""
    @property
    def storage_id(self) -> int | None:
        """ID of the server it was uploaded to; None where the name holds its address instead."""
    @property
    def created(self) -> int:
        """When it was uploaded, seconds since 1970 (of a slave: its master)."""
    @property
    def size(self) -> int | None:
        """Bytes; None for appender and slave files, whose names do not tell."""
    @property
    def crc32(self) -> int | None:
        """CRC-32 of the content; None for appender and slave files."""
    @property
    def appender(self) -> bool: ...
    @property
    def slave(self) -> bool:
        """Its length is neither that of a normal nor of a trunk file's name. (A slave that happens to have such a
        length cannot be told apart: then size and CRC-32 are its master's.)"""
    @property
    def trunk(self) -> bool:
        """Stored inside a trunk file."""
    @property
    def trunk_file_id(self) -> int | None: ...
    @property
    def trunk_offset(self) -> int | None:
        """Where in the trunk file its slot begins, bytes."""
    @property
    def trunk_size(self) -> int | None:
        """Bytes allocated to its slot, header included."""
    @property
    def extension(self) -> str:
        """Without the dot; may be empty."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def split_file_id(file_id: str, /) -> tuple[str, str]:
    """``(group, filename)``; checks only what a request must hold (characters, lengths), not the name's structure."""

def decode_file_id(file_id: str, /) -> FileId:
    """Take a file ID apart. ValueError, with the reason, for anything a FastDFS storage server cannot have made."""

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
    """The file ID that a storage server gives to a file.

    Args:
        source: the server's IPv4 address, or its storage ID (1 to 0xFFFFFF).
        created: seconds since 1970.
        trunk: ``(trunk file ID, offset, allocated size)`` of a file inside a trunk file.
        salt: what makes two names of the same content differ, 0 to 2**47 - 1; None draws it at random.
    """

def slave_file_id(master_id: str, prefix: str, extension: str = "", /) -> str:
    """The file ID of a slave: its master's without extension, then *prefix*, then ``.extension`` if there is one."""
