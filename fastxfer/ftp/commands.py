"""Command lines: what may be sent, and what may be shown of it."""

from __future__ import annotations

import re

from fastxfer.ftp.errors import InvalidArgumentError
from fastxfer.ftp.replies import Reply

__all__ = ["announced_size", "check_path", "encode", "shown", "verb_of"]

_SECRET = frozenset({"PASS", "ACCT"})
_BYTES = re.compile(r"\((\d{1,19}) bytes?\)")


def check_path(path: str) -> str:
    """*path*, if it may be sent. Raises InvalidArgumentError on CR, LF and NUL, which would split the command."""
    if not path:
        raise InvalidArgumentError("an empty path")
    if "\r" in path or "\n" in path or "\0" in path:
        raise InvalidArgumentError("CR, LF and NUL can not stand in an FTP path", path=path)
    return path


def encode(line: str, encoding: str) -> bytes:
    """A command line as it is sent. Raises InvalidArgumentError where it can not be sent.

    A byte 255, which Telnet would take for a command, is doubled (RFC 959, section 3.1, and RFC 854).
    """
    if "\r" in line or "\n" in line or "\0" in line:
        raise InvalidArgumentError("CR, LF and NUL can not stand in an FTP command", command=shown(line))
    try:
        raw = line.encode(encoding, "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"not expressible in {encoding}: {error.reason}", command=shown(line)) from error
    if b"\xff" in raw:
        raw = raw.replace(b"\xff", b"\xff\xff")
    return raw + b"\r\n"


def verb_of(line: str) -> str:
    """The command word of *line*, in capitals."""
    return line.partition(" ")[0].upper()


def shown(line: str) -> str:
    """*line* for messages and logs: passwords masked."""
    verb = verb_of(line)
    return f"{verb} ***" if verb in _SECRET else line


def announced_size(reply: Reply) -> int | None:
    """The size that some servers name in their 150 reply: ``… (1234 bytes)``."""
    match = _BYTES.search(reply.lines[-1])
    return int(match.group(1)) if match else None
