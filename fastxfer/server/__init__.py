"""The FTP/FTPS server.

>>> async with FtpServer("/srv/files", port=0, users=[(User(name="alice"), "secret")]) as server:
...     print(server.port)
"""

from fastxfer.server.account import Account
from fastxfer.server.config import (
    LimitsConfig,
    ListenerConfig,
    LogConfig,
    PassiveConfig,
    ProcessConfig,
    RatesConfig,
    ServerConfig,
    TimeoutsConfig,
    TlsConfig,
    UploadsConfig,
    WebConfig,
)
from fastxfer.server.filesystem import FileInfo, FileKind, Filesystem, Reader, Space, Writer
from fastxfer.server.fsspecfs import FsspecFilesystem
from fastxfer.server.guard import LoginRefusedError
from fastxfer.server.hooks import Direction, Hooks, SessionInfo, TransferInfo
from fastxfer.server.localfs import LocalFilesystem
from fastxfer.server.permissions import Permission, Permissions
from fastxfer.server.server import FtpServer
from fastxfer.server.service import Service
from fastxfer.server.users import Anonymous, Authenticator, Chain, Credentials, User, UserTable

__all__ = [
    "Account",
    "Anonymous",
    "Authenticator",
    "Chain",
    "Credentials",
    "Direction",
    "FileInfo",
    "FileKind",
    "Filesystem",
    "FsspecFilesystem",
    "FtpServer",
    "Hooks",
    "LimitsConfig",
    "ListenerConfig",
    "LocalFilesystem",
    "LogConfig",
    "LoginRefusedError",
    "PassiveConfig",
    "Permission",
    "Permissions",
    "ProcessConfig",
    "RatesConfig",
    "Reader",
    "ServerConfig",
    "Service",
    "SessionInfo",
    "Space",
    "TimeoutsConfig",
    "TlsConfig",
    "TransferInfo",
    "UploadsConfig",
    "User",
    "UserTable",
    "WebConfig",
    "Writer",
]
