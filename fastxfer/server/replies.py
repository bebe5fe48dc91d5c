"""Replies of the control connection, encoded once (RFC 959 section 4.2)."""

from __future__ import annotations

import errno

from fastxfer.core.ftpwire import format_reply

__all__ = ["ReplyError", "extended_passive_mode", "from_os_error", "passive_mode", "reply"]


class ReplyError(Exception):
    """A command ends with this reply.

    Attributes:
        reply: the encoded reply.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.reply = format_reply(code, text)


reply = format_reply

OK = reply(200, "OK.")
BAD_SYNTAX = reply(501, "Syntax error in the argument.")
UNKNOWN = reply(500, "Command not understood.")
LINE_TOO_LONG = reply(500, "Line too long.")
NO_SUCH_PARAMETER = reply(504, "Not implemented for that parameter.")
BAD_SEQUENCE = reply(503, "Bad sequence of commands.")
NOT_LOGGED_IN = reply(530, "Please log in with USER and PASS.")
LOGIN_INCORRECT = reply(530, "Login incorrect.")
TOO_MANY = reply(421, "Too many connections, try again later.")
BANNED = reply(421, "Service not available for your address.")
TIMEOUT = reply(421, "Timeout, closing the control connection.")
SHUTTING_DOWN = reply(421, "Service shutting down.")
LOCAL_ERROR = reply(451, "Requested action aborted: local error in processing.")
TRANSFER_COMPLETE = reply(226, "Transfer complete.")
TRANSFER_ABORTED = reply(426, "Connection closed; transfer aborted.")
ABORTED = reply(226, "ABOR command successful.")
NOTHING_TO_ABORT = reply(225, "No transfer to abort.")
NO_DATA_CONNECTION = reply(425, "Use PASV, EPSV, PORT or EPRT first.")
CANNOT_OPEN_DATA = reply(425, "Cannot open the data connection.")
DATA_MUST_BE_PRIVATE = reply(521, "Data connections must be protected: use PROT P.")
CONTROL_MUST_BE_PRIVATE = reply(550, "TLS is required: use AUTH TLS.")
NOT_ALLOWED = reply(550, "Permission denied.")
OPENING = reply(150, "Opening the data connection.")
SENDING = b"150 Opening the data connection ("
BYTES = b" bytes).\r\n"

_TEXTS = {
    errno.ENOENT: (550, "No such file or directory."),
    errno.ENOTDIR: (550, "Not a directory."),
    errno.EISDIR: (550, "Is a directory."),
    errno.EEXIST: (550, "Already exists."),
    errno.ENOTEMPTY: (550, "Directory not empty."),
    errno.EINVAL: (550, "Not possible with this file or argument."),
    errno.ENXIO: (550, "Not a regular file."),
    errno.ELOOP: (550, "Too many symbolic links."),
    errno.EBUSY: (450, "File busy, try again later."),
    errno.ETXTBSY: (450, "File busy, try again later."),
    errno.ENOSPC: (452, "Insufficient storage space."),
    errno.EDQUOT: (552, "Quota exceeded."),
    errno.EFBIG: (552, "File too large."),
    errno.ENAMETOOLONG: (553, "File name too long."),
    errno.EILSEQ: (553, "File name not allowed."),
    errno.ENOTSUP: (504, "Not supported here."),
    errno.EMFILE: (451, "Out of resources, try again later."),
    errno.ENFILE: (451, "Out of resources, try again later."),
    errno.ENOMEM: (451, "Out of resources, try again later."),
    errno.EIO: (451, "Input or output error."),
}
_BY_ERRNO = {number: reply(code, text) for number, (code, text) in _TEXTS.items()}
_BY_CLASS = (
    (PermissionError, errno.EACCES),
    (FileNotFoundError, errno.ENOENT),
    (FileExistsError, errno.EEXIST),
    (NotADirectoryError, errno.ENOTDIR),
    (IsADirectoryError, errno.EISDIR),
)
"""For exceptions that were raised without an errno."""
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EXDEV})


def passive_mode(address: str, port: int) -> bytes:
    """The reply to PASV; *address* with commas."""
    return f"227 Entering Passive Mode ({address},{port >> 8},{port & 255}).\r\n".encode("ascii")


def extended_passive_mode(port: int) -> bytes:
    """The reply to EPSV."""
    return b"229 Entering Extended Passive Mode (|||%d|).\r\n" % port


def from_os_error(error: OSError) -> bytes:
    """The reply for *error*; it tells neither paths of the machine nor more of a refusal than that it is one."""
    number = error.errno or next((number for kind, number in _BY_CLASS if isinstance(error, kind)), 0)
    if number in _REFUSED:
        return NOT_ALLOWED
    return _BY_ERRNO.get(number, LOCAL_ERROR)
