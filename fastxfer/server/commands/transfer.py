"""Transfers of files: RETR, STOR, APPE, STOU, REST, RANG, ALLO, ABOR."""

from __future__ import annotations

import errno
import secrets
from collections.abc import Awaitable

from fastxfer.server import paths
from fastxfer.server.commands.table import command
from fastxfer.server.part import Part
from fastxfer.server.permissions import Permission
from fastxfer.server.quick import receive_quickly, send_quickly
from fastxfer.server.replies import ABORTED, BAD_SYNTAX, NOTHING_TO_ABORT, OPENING, reply
from fastxfer.server.session import Session
from fastxfer.server.transfers import receive_file, send_file

_BAD_REST = reply(554, "The restart point is beyond the end of the file.")
_RANGE_OF_IMAGE = reply(551, "A range is one of TYPE I and MODE S.")
_RANGE_NOT_STORED = reply(551, "Only RETR and HASH can be limited to a range.")
_REST_NOT_ASCII = reply(554, "Restart only in TYPE I.")
_ALLO_OK = reply(200, "OK.")
_ALLO_TOO_MUCH = reply(552, "Not enough room.")
_NO_OVERWRITE = reply(553, "The file exists.")
_WHOLE_FILE = reply(350, "The range is the whole file.")
_MAX_REST = 1 << 62
_STOU_TRIES = 16


@command("RETR", "RFC 959 section 4.1.3", syntax="path", keeps=True)
def retrieve(session: Session, argument: str) -> bytes | Awaitable[bytes | None]:
    """Send a file, from the restart point on, or the range of it that RANG has set."""
    offset, session.rest = session.rest, 0
    part, session.range = session.range, None
    refusal = session.runtime.data_refusal(session)
    if refusal is not None:
        return refusal
    path = session.path(argument)
    if part is not None:
        return _RANGE_OF_IMAGE if session.type_ascii or session.mode_z else _retrieve_part(session, path, *part)
    return send_quickly(session, path, offset) or _retrieve(session, path, offset)


async def _retrieve(session: Session, path: str, offset: int) -> bytes | None:
    reader = await session.account.open_read(path)
    try:
        if offset:
            if session.type_ascii:
                return _REST_NOT_ASCII
            if offset > reader.size:
                return _BAD_REST
        await send_file(session, path, reader, offset)
        return None
    finally:
        await reader.close()


async def _retrieve_part(session: Session, path: str, first: int, last: int) -> None:
    async with await session.account.open_read(path) as reader:
        part = Part(reader, last + 1, bare=not session.private)
        await send_file(session, path, part, min(first, part.size))


def _refused(session: Session) -> bytes | None:
    """Why nothing can be stored now. What is outside a range must stay as it is, and no upload here does that."""
    if session.range is not None:
        session.range = None
        return _RANGE_NOT_STORED
    return session.runtime.data_refusal(session)


@command("STOR", "RFC 959 section 4.1.3", syntax="path", keeps=True)
def store(session: Session, argument: str) -> bytes | Awaitable[bytes | None] | None:
    """Receive a file, behind the restart point."""
    offset, session.rest = session.rest, 0
    refusal = _refused(session)
    if refusal is not None:
        return refusal
    if offset and session.type_ascii:
        return _REST_NOT_ASCII
    path = session.path(argument)
    if not offset:
        begun = receive_quickly(session, path)
        if begun:
            return None if begun is True else begun
    return _store(session, path, offset)


async def _store(session: Session, path: str, offset: int) -> bytes | None:
    try:
        writer = await session.account.open_write(path, offset=offset)
    except FileExistsError:
        return _NO_OVERWRITE
    except OSError as error:
        if offset and error.errno == errno.EINVAL:
            return _BAD_REST
        raise
    await receive_file(session, path, writer, False, OPENING)
    return None


@command("APPE", "RFC 959 section 4.1.3", syntax="path")
async def append(session: Session, argument: str) -> bytes | None:
    """Receive bytes that go behind the last one of a file."""
    refusal = _refused(session)
    if refusal is not None:
        return refusal
    path = session.path(argument)
    writer = await session.account.open_write(path, append=True)
    await receive_file(session, path, writer, True, OPENING)
    return None


@command("STOU", "RFC 959 section 4.1.3", syntax="[prefix]")
async def store_unique(session: Session, argument: str) -> bytes | None:
    """Receive a file under a name that is not taken and cannot be guessed; the 150 reply tells it (RFC 1123).

    A prefix that ends with a slash is the directory.
    """
    refusal = _refused(session)
    if refusal is not None:
        return refusal
    prefix = session.path(argument)
    if not argument or argument.endswith("/"):
        prefix = paths.join(prefix, "upload")
    for _ in range(_STOU_TRIES):
        path = f"{prefix}.{secrets.token_hex(8)}"
        try:
            writer = await session.account.open_write(path, replace=False)
        except FileExistsError:
            continue
        told = paths.basename(path) if paths.parent(path) == session.cwd else path
        await receive_file(session, path, writer, False, reply(150, f"FILE: {told}"))
        return None
    return reply(450, "No unique name found.")


@command("REST", "RFC 3659 section 5", syntax="offset", keeps=True)
def restart(session: Session, argument: str) -> bytes:
    """Where in the file the next transfer begins, bytes."""
    if not (argument.isascii() and argument.isdigit()) or len(argument) > 19 or int(argument) > _MAX_REST:
        return BAD_SYNTAX
    session.rest = int(argument)
    session.range = None
    return b"350 Restarting at %d.\r\n" % session.rest


@command("RANG", "draft-bryan-ftp-range-08 section 3", syntax="first last", keeps=True)
def set_range(session: Session, argument: str) -> bytes:
    """The bytes, both ends included, that the next RETR sends or HASH looks at; ``1 0`` takes it back."""
    session.range = None
    fields = argument.split()
    if len(fields) != 2 or not all(field.isascii() and field.isdigit() and len(field) < 20 for field in fields):
        return BAD_SYNTAX
    first, last = int(fields[0]), int(fields[1])
    if (first, last) == (1, 0):
        return _WHOLE_FILE
    if first > last:
        return BAD_SYNTAX
    session.rest = 0
    session.range = (first, last)
    return reply(350, f"The range is {first} to {last}.")


@command("ALLO", "RFC 959 section 4.1.3", syntax="size [R size]", keeps=True)
async def allocate(session: Session, argument: str) -> bytes:
    """Whether there would be room for *size* bytes."""
    size = argument.split(" ", 1)[0]
    if not (size.isascii() and size.isdigit() and len(size) < 20):
        return BAD_SYNTAX
    account = session.account
    if account.max_size and int(size) > account.max_size:
        return _ALLO_TOO_MUCH
    try:
        free = (await account.space(session.cwd)).free
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return _ALLO_OK
    return _ALLO_OK if int(size) <= free else _ALLO_TOO_MUCH


@command("ABOR", "RFC 959 section 4.1.3")
def abort(session: Session, argument: str) -> bytes:
    """End the transfer under way (see :meth:`Runtime.abort`), or forget the prepared data connection."""
    if session.aborted:
        session.aborted = False
        return ABORTED
    if session.data is not None and session.data.prepared:
        session.data.close()
        return ABORTED
    return NOTHING_TO_ABORT


@command("AVBL", "draft-peterson-streamlined-ftp-command-extensions-10 section 4", syntax="[path]")
async def available(session: Session, argument: str) -> bytes:
    """Bytes that may still be uploaded."""
    path = session.path(argument)
    session.account.require(path, Permission.WRITE)
    space = await session.account.space(path)
    return b"213 %d\r\n" % space.free
