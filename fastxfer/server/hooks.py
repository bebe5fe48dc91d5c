"""Events of the server that an application can listen to, or object to."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Direction", "Hooks", "SessionInfo", "TransferInfo"]


class Direction(enum.Enum):
    """Which way a file goes, seen from the client."""

    DOWNLOAD = "download"
    UPLOAD = "upload"
    APPEND = "append"


@dataclass(frozen=True, kw_only=True)
class SessionInfo:
    """Who is at the other end."""

    id: int
    """Unique in this process."""
    protocol: str = "ftp"
    """``ftp`` or ``http``."""
    address: str
    port: int = 0
    user: str = ""
    """Login name; empty before login."""
    tls: bool = False


@dataclass(frozen=True, kw_only=True)
class TransferInfo:
    """One file on its way, or just arrived."""

    session: SessionInfo
    direction: Direction
    path: str
    """As the user sees it."""
    offset: int = 0
    """Where the transfer began, bytes."""
    moved: int = 0
    """Bytes that went over the data connection."""
    duration: float = 0.0
    """Seconds."""
    ok: bool = False
    error: str = ""
    """Why it failed; empty if it did not."""
    ascii: bool = False
    encrypted: bool = False


class Hooks:
    """Override what is of interest; every method may await. Both FTP and HTTP call them.

    An ``on_…`` method that the server awaits *before* it acts may raise :class:`PermissionError` to refuse; its text
    goes to the log, not to the peer. An exception of any other kind is logged and changes nothing.
    """

    async def on_connect(self, session: SessionInfo) -> None:
        """A connection was accepted; may refuse it."""

    async def on_disconnect(self, session: SessionInfo) -> None:
        """A connection has ended."""

    async def on_login(self, session: SessionInfo) -> None:
        """A user has shown the right credentials; may still refuse him."""

    async def on_login_failed(self, session: SessionInfo, name: str) -> None:
        """Somebody tried to be *name*."""

    async def on_transfer_start(self, transfer: TransferInfo) -> None:
        """A file is about to be moved; may refuse it."""

    async def on_transfer_end(self, transfer: TransferInfo) -> None:
        """A file was moved, or was not: see ``transfer.ok``."""

    async def on_rename(self, session: SessionInfo, source: str, target: str) -> None:
        """*source* is now *target*."""

    async def on_delete(self, session: SessionInfo, path: str) -> None:
        """A file or directory was removed."""

    async def on_error(self, session: SessionInfo, error: BaseException) -> None:
        """A command or request ended in an error that the server did not expect (a fault of its own or of a hook)."""

    def listens(self, event: str) -> bool:
        """Whether the method *event* was overridden."""
        if self.__class__ is Hooks and not self.__dict__:
            return False
        return getattr(type(self), event) is not getattr(Hooks, event) or event in self.__dict__
