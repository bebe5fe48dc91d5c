"""Questions and small talk: STAT, HELP, NOOP, SYST, CLNT, SMNT and what is obsolete."""

from __future__ import annotations

import time
from collections.abc import Awaitable

from fastxfer.server.commands.table import COMMANDS, command
from fastxfer.server.listing import Listing, ListOptions, has_glob, parse_options
from fastxfer.server.replies import OK, reply
from fastxfer.server.sendlisting import stepwise
from fastxfer.server.session import Session

_SYSTEM = reply(215, "UNIX Type: L8")
_NOT_IMPLEMENTED = reply(502, "Command not implemented.")
_MAX_LINES = 10_000
"""Lines of a listing that STAT sends over the control connection."""


@command("NOOP", "RFC 959 section 4.1.3", syntax="[anything]", login=False, keeps=True, neutral=True)
def noop(session: Session, argument: str) -> bytes:
    """Do nothing, and say so."""
    return OK


@command("SYST", "RFC 959 section 4.1.3", login=False, keeps=True, neutral=True)
def system(session: Session, argument: str) -> bytes:
    """What listings look like."""
    return _SYSTEM


@command("CLNT", "no RFC: a custom of clients", syntax="name", login=False, keeps=True)
def client(session: Session, argument: str) -> bytes:
    """The client says what it is."""
    return OK


@command("HELP", "RFC 959 section 4.1.3", syntax="[command]", login=False)
def help_(session: Session, argument: str) -> bytes:
    """The commands, or one of them."""
    if not argument:
        verbs = sorted(COMMANDS)
        rows = [" ".join(f"{verb:<7}" for verb in verbs[at : at + 8]).rstrip() for at in range(0, len(verbs), 8)]
        return reply(214, ["The commands:", *rows, "HELP command tells more."])
    entry = COMMANDS.get(argument.upper())
    if entry is None:
        return reply(501, f"Unknown command: {argument}")
    text = " ".join((entry.run.__doc__ or "").split())
    return reply(214, [f"Syntax: {entry.verb} {entry.syntax}".rstrip(), text, f"Defined in: {entry.rfc}"])


@command("STAT", "RFC 959 section 4.1.3", syntax="[path]", keeps=True)
def status(session: Session, argument: str) -> bytes | Awaitable[bytes]:
    """The state of the session and of a transfer under way; with a path, its listing on the control connection."""
    if argument:
        return _status_of(session, argument)
    control = "TLS" if session.tls else "plain"
    lines = [
        "Status of the server:",
        f"Connected from {session.address}, {control} control connection",
        f"Logged in as {session.account.user.name}",
        f"TYPE {'A' if session.type_ascii else 'I'}; MODE {'Z' if session.mode_z else 'S'}; "
        f"PROT {'P' if session.private else 'C'}",
    ]
    progress = session.progress
    if progress is not None:
        seconds = time.monotonic() - progress.started
        moved = progress.bytes()
        lines.append(f"{progress.direction.value} of {progress.path}: {moved} bytes in {seconds:.1f} s")
    else:
        lines.append("No data connection")
    return reply(211, [*lines, "End of status"])


async def _status_of(session: Session, argument: str) -> bytes:
    options, name = parse_options(argument)
    pieces = await Listing(session, "list").of_argument(name, ListOptions(itself=options.itself))
    lines: list[str] = []
    async for piece in stepwise(pieces):
        # Not splitlines: a name may hold what Unicode, but not FTP, takes for the end of a line.
        lines.extend(piece.decode("utf-8", "surrogateescape").removesuffix("\r\n").split("\r\n"))
        if len(lines) > _MAX_LINES:
            del lines[_MAX_LINES:]
            break
    code = 212 if await _is_directory(session, name) else 213
    return reply(code, [f"Status of {name or session.cwd}:", *lines, "End of status"])


async def _is_directory(session: Session, name: str) -> bool:
    """Whether STAT of *name* tells of a directory, or of several entries as if it were one."""
    try:
        return (await session.account.stat(session.path(name))).is_dir
    except FileNotFoundError:
        if has_glob(name):
            return True
        raise


@command("SMNT", "RFC 959 section 4.1.1", syntax="path")
def structure_mount(session: Session, argument: str) -> bytes:
    """Mounting other file systems is not offered."""
    return _NOT_IMPLEMENTED
