"""SITE (RFC 959 section 4.1.3) and its sub-commands: CHMOD, UTIME, CPFR, CPTO, SYMLINK, MKDIR, RMDIR, HELP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastxfer.core.ftpwire import parse_time
from fastxfer.server.commands import directory
from fastxfer.server.commands.table import command
from fastxfer.server.permissions import Permission
from fastxfer.server.replies import BAD_SEQUENCE, BAD_SYNTAX, reply
from fastxfer.server.session import Session

_CHMOD_OK = reply(200, "Mode changed.")
_UTIME_OK = reply(200, "Time changed.")
_READY_FOR_CPTO = reply(350, "Ready for SITE CPTO.")
_COPIED = reply(250, "Copied.")
_LINKED = reply(200, "Link made.")
_UNKNOWN = reply(504, "Unknown SITE command.")


@command("SITE", "RFC 959 section 4.1.3", syntax="command [arguments]")
def site(session: Session, argument: str) -> bytes | Awaitable[bytes]:
    """Services of this server that FTP has no command for."""
    verb, _, rest = argument.partition(" ")
    handler = _SITE.get(verb.upper())
    if handler is None:
        return _UNKNOWN
    if not rest and handler is not help_:
        return BAD_SYNTAX
    return handler(session, rest)


async def chmod(session: Session, argument: str) -> bytes:
    """CHMOD mode path"""
    mode, _, name = argument.partition(" ")
    if not name or not 1 <= len(mode) <= 4 or any(digit not in "01234567" for digit in mode):
        return BAD_SYNTAX
    await session.account.change_mode(session.path(name), int(mode, 8))
    return _CHMOD_OK


async def utime(session: Session, argument: str) -> bytes:
    """UTIME YYYYMMDDhhmm[ss] path, or UTIME path access modified created UTC"""
    words = argument.split(" ")
    if len(words) >= 5 and words[-1].upper() == "UTC":
        stamp, name = words[-3], " ".join(words[:-4])
    else:
        stamp, _, name = argument.partition(" ")
    if len(stamp) == 12:
        stamp += "00"
    if not name:
        return BAD_SYNTAX
    try:
        mtime = parse_time(stamp)
    except ValueError:
        return BAD_SYNTAX
    await session.account.set_modified(session.path(name), mtime)
    return _UTIME_OK


async def copy_from(session: Session, argument: str) -> bytes:
    """CPFR path"""
    path = session.path(argument)
    session.account.require(path, Permission.READ)
    await session.account.filesystem.stat(path)
    session.copy_from = path
    return _READY_FOR_CPTO


async def copy_to(session: Session, argument: str) -> bytes:
    """CPTO path"""
    source, session.copy_from = session.copy_from, ""
    if not source:
        return BAD_SEQUENCE
    await session.account.copy(source, session.path(argument))
    return _COPIED


async def symlink(session: Session, argument: str) -> bytes:
    """SYMLINK target path; names with spaces in double quotes"""
    names = _two_names(argument)
    if names is None:
        return BAD_SYNTAX
    await session.account.make_link(session.path(names[1]), session.path(names[0]))
    return _LINKED


def _two_names(argument: str) -> tuple[str, str] | None:
    if '"' in argument:
        pieces = [piece.strip() for piece in argument.split('"')]
        names = [piece for piece in pieces if piece]
        if (argument.count('"') == 2 and len(names) == 2) or (argument.count('"') == 4 and len(names) == 2):
            return names[0], names[1]
        return None
    first, _, second = argument.partition(" ")
    return (first, second) if second and " " not in second else None


def help_(session: Session, argument: str) -> bytes:
    """HELP"""
    return reply(214, ["The SITE commands:", *(handler.__doc__ or "" for handler in _SITE.values()), "End"])


async def make_directory(session: Session, argument: str) -> bytes:
    """MKDIR path"""
    return await directory.make(session, argument)


async def remove_directory(session: Session, argument: str) -> bytes:
    """RMDIR path"""
    return await directory.remove(session, argument)


_SITE: dict[str, Callable[[Session, str], bytes | Awaitable[bytes]]] = {
    "CHMOD": chmod,
    "UTIME": utime,
    "CPFR": copy_from,
    "CPTO": copy_to,
    "SYMLINK": symlink,
    "MKDIR": make_directory,
    "RMDIR": remove_directory,
    "HELP": help_,
}
