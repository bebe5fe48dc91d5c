"""Exceptions to messages and exit codes, in one table; the most specific class that matches wins."""

from __future__ import annotations

import sys

from fastxfer.cli._exit_codes import ExitCode

_FDFS = "fastxfer.fdfs.errors"
_FTP = "fastxfer.ftp.errors"

CODES: tuple[tuple[str, str, ExitCode], ...] = (
    ("builtins", "KeyboardInterrupt", ExitCode.INTERRUPTED),
    ("builtins", "ConnectionError", ExitCode.UNREACHABLE),
    ("builtins", "TimeoutError", ExitCode.UNREACHABLE),
    ("socket", "gaierror", ExitCode.UNREACHABLE),
    ("builtins", "OSError", ExitCode.LOCAL),
    ("builtins", "ImportError", ExitCode.USAGE),
    ("builtins", "ValueError", ExitCode.USAGE),
    (_FDFS, "FastDFSError", ExitCode.FAILED),
    (_FDFS, "FileNotFoundError", ExitCode.NOT_FOUND),
    (_FDFS, "FileAlreadyExistsError", ExitCode.FAILED),
    (_FDFS, "IntegrityError", ExitCode.MISMATCH),
    (_FDFS, "InvalidArgumentError", ExitCode.USAGE),
    (_FDFS, "NetworkError", ExitCode.UNREACHABLE),
    (_FDFS, "NoStorageServerError", ExitCode.UNREACHABLE),
    (_FDFS, "TransferCancelledError", ExitCode.INTERRUPTED),
    (_FTP, "FTPError", ExitCode.FAILED),
    (_FTP, "ConnectionFailedError", ExitCode.UNREACHABLE),
    (_FTP, "InvalidArgumentError", ExitCode.USAGE),
    (_FTP, "LocalFileError", ExitCode.LOCAL),
    (_FTP, "LoginError", ExitCode.DENIED),
    (_FTP, "NotFoundError", ExitCode.NOT_FOUND),
    (_FTP, "PermanentError", ExitCode.DENIED),
    (_FTP, "ServiceUnavailableError", ExitCode.UNREACHABLE),
    (_FTP, "TimedOutError", ExitCode.UNREACHABLE),
    (_FTP, "UnsupportedError", ExitCode.FAILED),
    (_FTP, "VerificationError", ExitCode.MISMATCH),
    ("concurrent.futures._base", "CancelledError", ExitCode.INTERRUPTED),
)
"""``(module, class, code)``; a module that was never imported cannot have raised anything, so none is imported."""


class CommandFailed(Exception):
    """A command that ends with a message and a code of its own."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code


def exit_code(error: BaseException) -> ExitCode | None:
    """The exit code of *error*; None where it is not an error a user can cause (that is: a bug)."""
    if isinstance(error, CommandFailed):
        return error.code
    best: tuple[int, ExitCode] | None = None
    lineage = type(error).__mro__
    for module_name, class_name, code in CODES:
        known = getattr(sys.modules.get(module_name), class_name, None)
        if known in lineage and (best is None or lineage.index(known) < best[0]):
            best = (lineage.index(known), code)
    return None if best is None else best[1]


def describe(error: BaseException) -> str:
    """One line for the user."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError) and error.strerror and type(error).__module__ == "builtins":
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__
