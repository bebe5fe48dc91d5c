"""Listings: LIST, NLST, MLSD, MLST."""

from __future__ import annotations

from fastxfer.core.ftpwire import format_mlsd
from fastxfer.server import paths
from fastxfer.server.commands.table import command
from fastxfer.server.listing import Listing, item_of, parse_options, perm_facts, send_listing
from fastxfer.server.permissions import Permission
from fastxfer.server.replies import BAD_SYNTAX, reply
from fastxfer.server.session import Session

_NOT_A_DIRECTORY = reply(501, "Not a directory.")


@command("LIST", "RFC 959 section 4.1.3", syntax="[-alRrtSd] [path]")
async def list_(session: Session, argument: str) -> bytes | None:
    """Send the entries of a directory, or one entry, in the form of ``ls -l``."""
    return await _listing(session, argument, "list")


@command("NLST", "RFC 959 section 4.1.3", syntax="[-aRrtSd] [path]")
async def nlst(session: Session, argument: str) -> bytes | None:
    """Send the names in a directory."""
    return await _listing(session, argument, "nlst")


async def _listing(session: Session, argument: str, kind: str) -> bytes | None:
    refusal = session.runtime.data_refusal(session)
    if refusal is not None:
        return refusal
    options, rest = parse_options(argument)
    pieces = await Listing(session, kind).of_argument(rest, options)
    await send_listing(session, rest or session.cwd, pieces)
    return None


@command("MLSD", "RFC 3659 section 7", syntax="[path]")
async def mlsd(session: Session, argument: str) -> bytes | None:
    """Send the entries of a directory in a form for programs."""
    refusal = session.runtime.data_refusal(session)
    if refusal is not None:
        return refusal
    path = session.path(argument)
    try:
        pieces = await Listing(session, "mlsd").of_directory(path)
    except NotADirectoryError:
        return _NOT_A_DIRECTORY
    await send_listing(session, path, pieces)
    return None


@command("MLST", "RFC 3659 section 7", syntax="[path]", neutral=True)
async def mlst(session: Session, argument: str) -> bytes:
    """The facts of one file or directory, on the control connection."""
    path = session.path(argument)
    info = await session.account.stat(path, follow=path == paths.ROOT)
    session.account.require(path, Permission.NONE)
    file_perm, dir_perm = perm_facts(session.account, path)
    line = format_mlsd([item_of(info, path)], session.facts, file_perm, dir_perm)
    text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
    return reply(250, [f"Listing {path}", text, "End"]) if text else BAD_SYNTAX
