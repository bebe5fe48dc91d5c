"""What can go wrong with an FTP server.

FTPError
├── InvalidArgumentError (ValueError)   refused here, before anything was sent
├── ConnectionFailedError (ConnectionError)   no connection: name, network, proxy, TLS
│   ├── ConnectionLostError             it was there and broke
│   └── TLSFailedError                  certificate, version, refused AUTH TLS, stripped TLS
├── TimedOutError (TimeoutError)        a reply or bytes did not come in time
├── ProtocolError                       the server's answer makes no sense; the connection is given up
├── ReplyError                          the server said no: code, text, command
│   ├── TemporaryError                  4xx: may work later
│   │   └── ServiceUnavailableError     421, and "too many connections"
│   └── PermanentError                  5xx: will not work
│       ├── NotFoundError               550 and the like, where it is known that the path is not there
│       ├── UnsupportedError            500, 502, 504, or not offered in FEAT
│       └── LoginError                  the account or its password was refused
├── TransferError                       the bytes did not all arrive
│   ├── TruncatedError                  fewer bytes than there are
│   └── VerificationError               size or checksum differ
├── UnsafeNameError                     a name from the server that would leave the target directory
├── LocalFileError (OSError)            reading or writing the file on this side failed
└── ClosedError                         the client is closed

Each carries what is known of ``server``, ``command``, ``path`` and ``bytes_done``.
"""

from __future__ import annotations

__all__ = [
    "ClosedError",
    "ConnectionFailedError",
    "ConnectionLostError",
    "FTPError",
    "InvalidArgumentError",
    "LocalFileError",
    "LoginError",
    "NotFoundError",
    "PermanentError",
    "ProtocolError",
    "ReplyError",
    "ServiceUnavailableError",
    "TLSFailedError",
    "TemporaryError",
    "TimedOutError",
    "TransferError",
    "TruncatedError",
    "UnsafeNameError",
    "UnsupportedError",
    "VerificationError",
    "reply_error",
]


class FTPError(Exception):
    """Anything that went wrong.

    Attributes:
        server: ``host:port``, or "".
        command: the command sent, a password masked, or "".
        path: the remote path it was about, or "".
        bytes_done: bytes of the file moved before it went wrong, counted from the file's beginning.
    """

    def __init__(
        self, message: str, *, server: str = "", command: str = "", path: str = "", bytes_done: int = 0
    ) -> None:
        super().__init__(message)
        self.message = message
        self.server = server
        self.command = command
        self.path = path
        self.bytes_done = bytes_done

    def __str__(self) -> str:
        context = []
        if self.command:
            context.append(f"command {self.command!r}")
        if self.path and self.path not in self.command:
            context.append(f"path {self.path!r}")
        if self.bytes_done:
            context.append(f"{self.bytes_done} bytes done")
        if self.server:
            context.append(f"server {self.server}")
        return f"{self.message} [{', '.join(context)}]" if context else self.message


class InvalidArgumentError(FTPError, ValueError):
    """An argument that can not be right: control characters, a negative offset, options that exclude one another."""


class ConnectionFailedError(FTPError, ConnectionError):
    """No connection to the server, the proxy, or the server's data port."""


class ConnectionLostError(ConnectionFailedError):
    """The connection was there and ended before its time."""


class TLSFailedError(ConnectionFailedError):
    """No TLS where TLS was asked for: refused, stripped, or with a certificate that is not to be trusted."""


class TimedOutError(FTPError, TimeoutError):
    """Nothing came in time."""


class ProtocolError(FTPError):
    """What the server sent is not FTP, or not an answer to what was asked."""


class ReplyError(FTPError):
    """The server refused.

    Attributes:
        code: the three-digit reply code.
        reply: the reply's text.
    """

    def __init__(
        self,
        code: int,
        reply: str,
        *,
        server: str = "",
        command: str = "",
        path: str = "",
        bytes_done: int = 0,
    ) -> None:
        super().__init__(f"{code} {reply}", server=server, command=command, path=path, bytes_done=bytes_done)
        self.code = code
        self.reply = reply


class TemporaryError(ReplyError):
    """A 4xx reply: the same command may succeed later."""


class ServiceUnavailableError(TemporaryError):
    """421, or a refusal because there are too many connections: this connection is of no more use."""


class PermanentError(ReplyError):
    """A 5xx reply: the same command will not succeed."""


class NotFoundError(PermanentError):
    """The path does not exist (or may not be seen)."""


class UnsupportedError(PermanentError):
    """The server does not know or does not offer the command."""


class LoginError(PermanentError):
    """User, password or account was refused."""


class TransferError(FTPError):
    """A transfer ended without all of its bytes being where they belong."""


class TruncatedError(TransferError):
    """The data connection ended, or was cut, before the whole file had come."""


class VerificationError(TransferError):
    """Both sides say that they are done, but they do not have the same bytes."""


class UnsafeNameError(FTPError):
    """A listing holds a name that would lead out of the directory it belongs to."""


class LocalFileError(FTPError, OSError):
    """The local file could not be read or written; ``__cause__`` is the operating system's error."""

    def __str__(self) -> str:
        return FTPError.__str__(self)


class ClosedError(FTPError):
    """The client is closed, or was never opened."""


_CROWDED = ("too many", "maximum", "limit", "busy", "overload", "try again later")
"""What servers say, in 530 and 550 too, when they mean: not now."""

_UNKNOWN = frozenset({500, 502, 504})


def crowded(code: int, text: str) -> bool:
    """Whether the server has too many connections already (it says so in several codes)."""
    return code in (421, 530) and any(word in text.lower() for word in _CROWDED) and "password" not in text.lower()


def reply_error(
    code: int, text: str, *, server: str = "", command: str = "", path: str = "", bytes_done: int = 0
) -> ReplyError:
    """The exception that a negative reply means."""
    kind: type[ReplyError]
    verb = command.split(" ", 1)[0].upper()
    if code == 421 or (verb in ("", "USER", "PASS", "ACCT") and crowded(code, text)):
        kind = ServiceUnavailableError
    elif code < 500:
        kind = TemporaryError
    elif code in _UNKNOWN:
        kind = UnsupportedError
    elif verb in ("USER", "PASS", "ACCT"):
        kind = LoginError
    elif code == 550 and missing(text):
        kind = NotFoundError
    else:
        kind = PermanentError
    return kind(code, text, server=server, command=command, path=path, bytes_done=bytes_done)


_MISSING = ("no such", "not found", "not exist", "doesn't exist", "cannot find", "can't find", "unavailable")


def missing(text: str) -> bool:
    """Whether the text of a 550 says that the path is not there."""
    lowered = text.lower()
    return any(word in lowered for word in _MISSING)
