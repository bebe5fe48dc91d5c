"""What the exit codes of the command mean."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes; scripts may rely on them."""

    OK = 0
    """All was done."""
    FAILED = 1
    """Something failed that has no code of its own, or some items of several failed."""
    USAGE = 2
    """The command line was wrong, or a needed package is missing."""
    NOT_FOUND = 3
    """The remote file, directory, group or server entry does not exist."""
    UNREACHABLE = 4
    """No server could be reached, or it stopped answering in time."""
    DENIED = 5
    """Login or permission was refused by the server."""
    MISMATCH = 6
    """What arrived is not what was sent: size or checksum differs."""
    LOCAL = 7
    """A local file or directory could not be read or written."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C."""


EXIT_CODE_HELP = "Exit codes: " + ", ".join(
    (
        "0 done",
        "1 failed or partly failed",
        "2 wrong usage",
        "3 not found",
        "4 server unreachable or timed out",
        "5 login or permission refused",
        "6 size or checksum mismatch",
        "7 local file error",
        "130 interrupted.",
    )
)
