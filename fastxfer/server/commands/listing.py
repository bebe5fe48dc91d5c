"""Listings: LIST, NLST, MLSD, MLST."""

from __future__ import annotations

from collections.abc import Awaitable

from fastxfer.core.ftpwire import format_mlsd
from fastxfer.server import paths
from fastxfer.server.commands.table import command
from fastxfer.server.listing import Listing, ListOptions, has_glob, item_of, parse_options, perm_facts
from fastxfer.server.permissions import Permission
from fastxfer.server.replies import BAD_SYNTAX, reply
from fastxfer.server.sendlisting import send_directory, send_listing
from fastxfer.server.session import Session

_NOT_A_DIRECTORY = reply(501, "Not a directory.")


@command("LIST", "RFC 959 section 4.1.3", syntax="[-alRrtSd] [path]")
def list_(session: Session, argument: str) -> bytes | Awaitable[bytes | None]:
    """Send the entries of a directory, or one entry, in the form of ``ls -l``."""
    return _listing(session, argument, "list")


@command("NLST", "RFC 959 section 4.1.3", syntax="[-aRrtSd] [path]")
def nlst(session: Session, argument: str) -> bytes | Awaitable[bytes | None]:
    """Send the names in a directory."""
    return _listing(session, argument, "nlst")


def _listing(session: Session, argument: str, kind: str) -> bytes | Awaitable[bytes | None]:
    refusal = session.runtime.data_refusal(session)
    if refusal is not None:
        return refusal
    options, rest = parse_options(argument)
    listing = Listing(session, kind)
    if options.plain and not has_glob(rest):
        path = session.path(rest)
        try:
            lister = listing.of_local_directory(path, rest)
        except NotADirectoryError:
            lister = None
        if lister is not None:
            return send_directory(session, path, lister)
    return _of_argument(session, listing, rest, options)


async def _of_argument(session: Session, listing: Listing, argument: str, options: ListOptions) -> None:
    pieces = await listing.of_argument(argument, options)
    await send_listing(session, argument or session.cwd, pieces)


@command("MLSD", "RFC 3659 section 7", syntax="[path]")
def mlsd(session: Session, argument: str) -> bytes | Awaitable[bytes | None]:
    """Send the entries of a directory in a form for programs."""
    refusal = session.runtime.data_refusal(session)
    if refusal is not None:
        return refusal
    path = session.path(argument)
    listing = Listing(session, "mlsd")
    try:
        lister = listing.of_local_directory(path)
    except NotADirectoryError:
        return _NOT_A_DIRECTORY
    return _of_directory(session, listing, path) if lister is None else send_directory(session, path, lister)


async def _of_directory(session: Session, listing: Listing, path: str) -> bytes | None:
    try:
        pieces = await listing.of_directory(path)
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
