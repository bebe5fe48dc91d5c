"""Everything that can go wrong with FastDFS, split by what the caller does next.

::

    FastDFSError
     ├─ ClientClosedError
     ├─ InvalidArgumentError          your call is wrong, or the server says so (EINVAL); also a ValueError
     │   ├─ InvalidFileIDError
     │   └─ InvalidMetadataError
     ├─ FileNotFoundError             no such file, here or there (ENOENT); also the built-in FileNotFoundError
     ├─ FileAlreadyExistsError        (EEXIST); also the built-in FileExistsError
     ├─ InsufficientSpaceError        (ENOSPC)
     ├─ OperationNotSupportedError    (EOPNOTSUPP)
     ├─ NoStorageServerError          the tracker knows none that could serve; try later
     ├─ MetadataNotSetError           the file is uploaded (see ``file_id``), its metadata is not
     ├─ IntegrityError                the bytes differ from what the file ID or the server says
     ├─ TransferCancelledError        you cancelled it
     ├─ ProtocolError                 any other status of a server, see ``code``
     │   ├─ ServerBusyError           (EBUSY)
     │   └─ AlreadyDoneError          (EALREADY)
     ├─ InvalidResponseError          what came is no FastDFS reply
     └─ NetworkError                  the connection failed; also an OSError
         ├─ StorageServerOfflineError the one storage server that could answer is down; try later
         ├─ TrackerServerOfflineError no tracker can be reached; try later
         ├─ ConnectionTimeoutError    it could not be opened in time; also the built-in TimeoutError
         ├─ NetworkTimeoutError       nothing moved for too long; also the built-in TimeoutError
         └─ PoolTimeoutError          all connections stayed busy; also the built-in TimeoutError

Errors of local files (permissions, a directory, a full disk) are the built-in OSErrors, with the path in ``filename``;
only a missing local file is :class:`FileNotFoundError` from here, which both names catch.
"""

from __future__ import annotations

import builtins
import errno as _errno
import os

from fastxfer.core.fdfscall import Begun
from fastxfer.core.xfer import Transfer
from fastxfer.fdfs.types import StorageCommand, TrackerCommand

__all__ = [
    "AlreadyDoneError",
    "ClientClosedError",
    "ConnectionTimeoutError",
    "FastDFSError",
    "FileAlreadyExistsError",
    "FileNotFoundError",
    "InsufficientSpaceError",
    "IntegrityError",
    "InvalidArgumentError",
    "InvalidFileIDError",
    "InvalidMetadataError",
    "InvalidResponseError",
    "MetadataNotSetError",
    "NetworkError",
    "NetworkTimeoutError",
    "NoStorageServerError",
    "OperationNotSupportedError",
    "PoolTimeoutError",
    "ProtocolError",
    "ServerBusyError",
    "StorageServerOfflineError",
    "TrackerServerOfflineError",
    "TransferCancelledError",
    "map_status_to_error",
]


class FastDFSError(Exception):
    """Root of the tree.

    Attributes:
        server: ``host:port`` of the server concerned, or None.
        command: name of the request, e.g. ``"APPEND_FILE"``, or None.
        status: status byte of the reply, or None where none came.
        file_id: the file concerned, or None.
        bytes_done: bytes of the body moved before the error.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.server: str | None = None
        self.command: str | None = None
        self.status: int | None = None
        self.file_id: str | None = None
        self.bytes_done = 0

    def __str__(self) -> str:
        context = [] if self.server is None or self.server in self.message else [f"server {self.server}"]
        if self.command is not None and self.command not in self.message:
            context.append(f"command {self.command}")
        if self.status is not None and not isinstance(self, ProtocolError):
            context.append(f"status {self.status}")
        if self.file_id and self.file_id not in self.message:
            context.append(f"file {self.file_id}")
        if self.bytes_done:
            context.append(f"{self.bytes_done} bytes done")
        return f"{self.message} ({', '.join(context)})" if context else self.message


class ClientClosedError(FastDFSError):
    """The client has been closed."""

    def __init__(self) -> None:
        super().__init__("Client is closed")


class InvalidArgumentError(FastDFSError, ValueError):
    """An argument is wrong: found before anything was sent, or by the server (EINVAL)."""

    def __init__(self, details: str = "") -> None:
        super().__init__(f"Invalid argument: {details}" if details else "Invalid argument")


class InvalidFileIDError(InvalidArgumentError):
    """The file ID cannot be one."""

    def __init__(self, file_id: str = "", details: str = "") -> None:
        super().__init__(details)
        text = f"Invalid file ID: {file_id}" if file_id else "Invalid file ID"
        self.message = f"{text}: {details}" if details else text
        self.file_id = file_id


class InvalidMetadataError(InvalidArgumentError):
    """Metadata that FastDFS cannot hold."""

    def __init__(self, details: str = "") -> None:
        super().__init__(details)
        self.message = f"Invalid metadata: {details}" if details else "Invalid metadata"


class FileNotFoundError(FastDFSError, builtins.FileNotFoundError):
    """The file does not exist: the servers that would have it say so, or it is a local path that is not there."""

    def __init__(self, file_id: str = "") -> None:
        super().__init__(f"File not found: {file_id}" if file_id else "File not found")
        self.file_id = file_id or None
        self.errno = _errno.ENOENT
        self.strerror = os.strerror(_errno.ENOENT)


class FileAlreadyExistsError(FastDFSError, FileExistsError):
    """There is such a file already, e.g. a slave with that prefix."""

    def __init__(self, file_id: str = "") -> None:
        super().__init__(f"File already exists: {file_id}" if file_id else "File already exists")
        self.file_id = file_id or None
        self.errno = _errno.EEXIST
        self.strerror = os.strerror(_errno.EEXIST)


class InsufficientSpaceError(FastDFSError):
    """The servers have less free space than they reserve."""

    def __init__(self) -> None:
        super().__init__("Insufficient storage space")


class OperationNotSupportedError(FastDFSError):
    """The server does not do that, or only another one (the leader) does."""

    def __init__(self, operation: str = "") -> None:
        super().__init__(f"Operation not supported: {operation}" if operation else "Operation not supported")


class NoStorageServerError(FastDFSError):
    """The tracker knows no storage server that could serve the request: no such group, or none of it is up."""

    def __init__(self, details: str = "") -> None:
        super().__init__(f"No storage server available: {details}" if details else "No storage server available")


class MetadataNotSetError(FastDFSError):
    """The file was uploaded, and is kept under ``file_id``; setting its metadata failed (see ``__cause__``)."""

    def __init__(self, file_id: str, cause: BaseException) -> None:
        super().__init__(f"Uploaded {file_id}, but its metadata could not be set: {cause}")
        self.file_id = file_id


class IntegrityError(FastDFSError):
    """Size or CRC-32 of the bytes moved differ from what they must be."""

    def __init__(self, details: str = "") -> None:
        super().__init__(f"Integrity check failed: {details}" if details else "Integrity check failed")


class TransferCancelledError(FastDFSError):
    """The operation was cancelled by its token."""

    def __init__(self, details: str = "") -> None:
        super().__init__(f"Transfer cancelled: {details}" if details else "Transfer cancelled")


class ProtocolError(FastDFSError):
    """A status of the server that has no class of its own.

    Attributes:
        code: the status byte, an errno of Linux.
    """

    def __init__(self, code: int, message: str = "") -> None:
        detail = message or f"Unknown error code: {code}"
        super().__init__(f"Protocol error (code {code}): {detail}")
        self.code = code
        self.status = code


class ServerBusyError(ProtocolError):
    """Not while it is in use: e.g. deleting a storage server that is active, or a group that is not empty."""


class AlreadyDoneError(ProtocolError):
    """It was done before."""


class InvalidResponseError(FastDFSError):
    """The peer answered with something that is no FastDFS reply, or not one to this request."""

    def __init__(self, details: str = "") -> None:
        super().__init__(f"Invalid response from server: {details}" if details else "Invalid response from server")


class NetworkError(FastDFSError, OSError):
    """A connection failed.

    Attributes:
        operation: what was being done: ``"connect"``, ``"write"``, ``"read"``.
        addr: the server, ``host:port``.
        original_error: the underlying error.
        maybe_done: whether the server may have acted on the request all the same.
        reused: whether it happened on a connection that had served before.
        transfer: the transfer that it ended, if it was one.
    """

    def __init__(self, operation: str, addr: str, original_error: BaseException) -> None:
        super().__init__(f"Network error during {operation} to {addr}: {original_error}")
        self.operation = operation
        self.addr = addr
        self.server = addr or None
        self.original_error = original_error
        self.errno = getattr(original_error, "errno", None)
        self.maybe_done = False
        self.reused = False
        self.transfer: Transfer | Begun | None = None


class StorageServerOfflineError(NetworkError):
    """The storage server that alone could answer is down."""

    def __init__(self, addr: str = "", details: str = "") -> None:
        super().__init__("connect", addr, OSError(_errno.EHOSTDOWN, details or "offline"))
        self.message = f"Storage server is offline: {addr}" if addr else "Storage server is offline"
        if details:
            self.message += f": {details}"


class TrackerServerOfflineError(NetworkError):
    """No tracker can be reached."""

    def __init__(self, addr: str = "", details: str = "") -> None:
        super().__init__("connect", addr, OSError(_errno.EHOSTDOWN, details or "offline"))
        self.message = f"Tracker server is offline: {addr}" if addr else "Tracker server is offline"
        if details:
            self.message += f": {details}"


class ConnectionTimeoutError(NetworkError, TimeoutError):
    """The connection could not be opened in time."""

    def __init__(self, addr: str = "") -> None:
        super().__init__("connect", addr, TimeoutError(_errno.ETIMEDOUT, os.strerror(_errno.ETIMEDOUT)))
        self.message = f"Connection timeout to {addr}" if addr else "Connection timeout"


class NetworkTimeoutError(NetworkError, TimeoutError):
    """Nothing moved for too long, or the operation's own time was up."""

    def __init__(self, operation: str = "", addr: str = "") -> None:
        super().__init__(operation, addr, TimeoutError(_errno.ETIMEDOUT, os.strerror(_errno.ETIMEDOUT)))
        self.message = f"Network timeout during {operation}" if operation else "Network timeout"


class PoolTimeoutError(NetworkError, TimeoutError):
    """All connections to the server stayed busy for too long."""

    def __init__(self, addr: str, cause: BaseException) -> None:
        super().__init__("connect", addr, cause)
        self.message = str(cause)


def map_status_to_error(status: int) -> FastDFSError | None:
    """The exception for a reply's *status*; None for 0."""
    if status == 0:
        return None
    make = _BY_STATUS.get(status)
    if make is not None:
        return make()
    special = _CODED.get(status, ProtocolError)
    return special(status, _describe(status))


def status_error(status: int, server: str, command: int, file_id: str | None = None) -> FastDFSError:
    """The exception for a reply's non-zero *status*, with its context."""
    error = map_status_to_error(status) or ProtocolError(status)
    error.server, error.command, error.status = server, command_name(command), status
    if file_id is not None:
        error.file_id = file_id
    return error


def command_name(command: int) -> str:
    """The name of a request's *command*; the numbers of tracker and storage requests do not overlap in meaning."""
    for commands in (StorageCommand, TrackerCommand):
        try:
            return commands(command).name
        except ValueError:
            continue
    return str(command)


def _describe(status: int) -> str:
    name = _errno.errorcode.get(status)
    return f"{name}, {os.strerror(status)}" if name else ""


# The numbers are those of Linux, whatever the client runs on.
_BY_STATUS: dict[
    int,
    type[
        FileNotFoundError
        | FileAlreadyExistsError
        | InvalidArgumentError
        | InsufficientSpaceError
        | OperationNotSupportedError
    ],
] = {
    2: FileNotFoundError,
    17: FileAlreadyExistsError,
    22: InvalidArgumentError,
    28: InsufficientSpaceError,
    95: OperationNotSupportedError,
}
_CODED: dict[int, type[ProtocolError]] = {16: ServerBusyError, 114: AlreadyDoneError}
