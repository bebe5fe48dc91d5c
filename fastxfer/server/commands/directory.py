"""Directories: CWD, CDUP, PWD, MKD, RMD, and their X forms of RFC 775."""

from __future__ import annotations

from fastxfer.core.ftpwire import quote_path
from fastxfer.server import paths
from fastxfer.server.commands.table import COMMANDS, command
from fastxfer.server.permissions import Permission
from fastxfer.server.replies import reply
from fastxfer.server.session import Session

_CWD_OK = reply(250, "Directory changed.")
_RMD_OK = reply(250, "Directory removed.")
_NOT_A_DIRECTORY = reply(550, "Not a directory.")


@command("CWD", "RFC 959 section 4.1.1", syntax="path")
async def change(session: Session, argument: str) -> bytes:
    """Change the working directory."""
    path = session.path(argument)
    account = session.account
    account.require(path, Permission.NONE)
    if not account.permissions.at(path):
        account.require(path, Permission.LIST)
    info = await account.filesystem.stat(path)
    if not info.is_dir:
        return _NOT_A_DIRECTORY
    session.cwd = path
    return _CWD_OK


@command("CDUP", "RFC 959 section 4.1.1")
async def up(session: Session, argument: str) -> bytes:
    """Change to the parent of the working directory."""
    return await change(session, "..")


@command("PWD", "RFC 959 section 4.1.3", neutral=True)
def working(session: Session, argument: str) -> bytes:
    """Tell the working directory."""
    return reply(257, f"{quote_path(session.cwd)} is the current directory.")


@command("MKD", "RFC 959 section 4.1.3", syntax="path", neutral=True)
async def make(session: Session, argument: str) -> bytes:
    """Make a directory."""
    path = session.path(argument)
    await session.account.make_directory(path)
    return reply(257, f"{quote_path(path)} created.")


@command("RMD", "RFC 959 section 4.1.3", syntax="path", neutral=True)
async def remove(session: Session, argument: str) -> bytes:
    """Remove an empty directory."""
    path = session.path(argument)
    await session.account.remove_directory(path)
    if paths.is_below(session.cwd, path):
        session.cwd = paths.parent(path)
    return _RMD_OK


for _verb, _twin in (("XCWD", "CWD"), ("XCUP", "CDUP"), ("XPWD", "PWD"), ("XMKD", "MKD"), ("XRMD", "RMD")):
    _entry = COMMANDS[_twin]
    command(_verb, "RFC 775", syntax=_entry.syntax)(_entry.run)
