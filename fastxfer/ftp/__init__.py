"""FTP and FTPS client, asyncio and blocking (RFC 959, 2228, 2389, 2428, 3659, 4217)."""

from fastxfer.core.ftpwire import Entry
from fastxfer.ftp.blocking import Client
from fastxfer.ftp.client import AsyncClient
from fastxfer.ftp.config import ClientConfig, Limits, Timeouts
from fastxfer.ftp.errors import (
    ClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    FTPError,
    InvalidArgumentError,
    LocalFileError,
    LoginError,
    NotFoundError,
    PermanentError,
    ProtocolError,
    ReplyError,
    ServiceUnavailableError,
    TemporaryError,
    TimedOutError,
    TLSFailedError,
    TransferError,
    TruncatedError,
    UnsafeNameError,
    UnsupportedError,
    VerificationError,
)
from fastxfer.ftp.replies import Reply
from fastxfer.ftp.tree.filters import Filter
from fastxfer.ftp.tree.report import Item, TreeProgress, TreeReport
from fastxfer.ftp.types import TransferResult
from fastxfer.ftp.walking import Found
from fastxfer.net.progress import Progress
from fastxfer.net.retry import RetryPolicy
from fastxfer.net.tls import TLSSettings

__all__ = [
    "AsyncClient",
    "Client",
    "ClientConfig",
    "ClosedError",
    "ConnectionFailedError",
    "ConnectionLostError",
    "Entry",
    "FTPError",
    "Filter",
    "Found",
    "InvalidArgumentError",
    "Item",
    "Limits",
    "LocalFileError",
    "LoginError",
    "NotFoundError",
    "PermanentError",
    "Progress",
    "ProtocolError",
    "Reply",
    "ReplyError",
    "RetryPolicy",
    "ServiceUnavailableError",
    "TLSFailedError",
    "TLSSettings",
    "TemporaryError",
    "TimedOutError",
    "Timeouts",
    "TransferError",
    "TransferResult",
    "TreeProgress",
    "TreeReport",
    "TruncatedError",
    "UnsafeNameError",
    "UnsupportedError",
    "VerificationError",
]
