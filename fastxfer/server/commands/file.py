"""Single files: DELE, RNFR, RNTO, SIZE, MDTM, MFMT."""

from __future__ import annotations

from fastxfer.core.ftpwire import format_time, parse_time
from fastxfer.server.commands.table import command
from fastxfer.server.filesystem import Reader
from fastxfer.server.permissions import Permission
from fastxfer.server.replies import BAD_SEQUENCE, BAD_SYNTAX, reply
from fastxfer.server.session import Session

_DELETED = reply(250, "File deleted.")
_RENAMED = reply(250, "Renamed.")
_READY_FOR_RNTO = reply(350, "Ready for RNTO.")
_NOT_A_FILE = reply(550, "Not a regular file.")
_ASCII_TOO_LARGE = reply(550, "The size in ASCII type would take too long to find out; use TYPE I.")
ASCII_SIZE_LIMIT = 8 << 20
"""Files up to this size, bytes, are read to tell how long they are with CRLF line ends."""
_CHUNK = 1 << 20


@command("DELE", "RFC 959 section 4.1.3", syntax="path", neutral=True)
async def delete(session: Session, argument: str) -> bytes:
    """Delete a file."""
    await session.account.remove(session.path(argument))
    return _DELETED


@command("RNFR", "RFC 959 section 4.1.3", syntax="path", neutral=True)
async def rename_from(session: Session, argument: str) -> bytes:
    """Name what is to be renamed."""
    path = session.path(argument)
    account = session.account
    account.require(path, Permission.RENAME)
    await account.filesystem.stat(path, follow=False)
    session.rename_from = path
    return _READY_FOR_RNTO


@command("RNTO", "RFC 959 section 4.1.3", syntax="path", neutral=True)
async def rename_to(session: Session, argument: str) -> bytes:
    """Give it its new name."""
    source, session.rename_from = session.rename_from, ""
    if not source:
        return BAD_SEQUENCE
    await session.account.rename(source, session.path(argument))
    return _RENAMED


@command("SIZE", "RFC 3659 section 4", syntax="path", keeps=True, neutral=True)
async def size(session: Session, argument: str) -> bytes:
    """Bytes that a transfer of the file would send.

    For an upload of the same user that broke off, and only where there is no file of the name, the bytes that it
    has brought: that is what clients ask before they resume.
    """
    path = session.path(argument)
    account = session.account
    try:
        info = await account.stat(path)
    except FileNotFoundError:
        kept = await account.unfinished_size(path)
        if kept < 0:
            raise
        return b"213 %d\r\n" % kept
    if not info.is_file:
        return _NOT_A_FILE
    if not session.type_ascii:
        return b"213 %d\r\n" % info.size
    if info.size > ASCII_SIZE_LIMIT:
        return _ASCII_TOO_LARGE
    async with await account.open_read(path) as reader:
        return b"213 %d\r\n" % await _ascii_size(reader)


async def _ascii_size(reader: Reader) -> int:
    position = added = 0
    last = b""
    while block := await reader.read(position, _CHUNK):
        position += len(block)
        added += block.count(b"\n") - block.count(b"\r\n") - (last == b"\r" and block[:1] == b"\n")
        last = block[-1:]
    return position + added


@command("MDTM", "RFC 3659 section 3", syntax="path", keeps=True, neutral=True)
async def modified(session: Session, argument: str) -> bytes:
    """When the file was last changed, UTC."""
    info = await session.account.stat(session.path(argument))
    if info.is_dir:
        return _NOT_A_FILE
    return b"213 %s\r\n" % format_time(info.mtime).encode("ascii")


@command("MFMT", "draft-somers-ftp-mfxx-04 section 3.1", syntax="YYYYMMDDHHMMSS path", neutral=True)
async def set_modified(session: Session, argument: str) -> bytes:
    """Set when the file was last changed, UTC."""
    stamp, _, name = argument.partition(" ")
    if not name:
        return BAD_SYNTAX
    try:
        mtime = parse_time(stamp)
    except ValueError:
        return BAD_SYNTAX
    path = session.path(name)
    await session.account.set_modified(path, mtime)
    return reply(213, f"Modify={stamp}; {path}")
