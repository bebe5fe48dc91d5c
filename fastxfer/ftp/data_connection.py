"""One data connection, and what is known of its transfer."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from dataclasses import dataclass

from fastxfer.ftp.errors import ConnectionLostError
from fastxfer.ftp.replies import Reply
from fastxfer.net.stream import Stream
from fastxfer.net.tls_channel import TLSChannel

__all__ = ["DataConnection"]

_AT_ONCE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""SO_LINGER: throw away what is not sent yet, and reset the connection."""


@dataclass
class DataConnection:
    """An open data connection whose transfer the server has agreed to.

    Attributes:
        connection: the connection; TLS is not begun yet. None where all has passed over it already.
        channel: its TLS side, to be shaken hands with; None for a plain one.
        preliminary: the 1xx reply, or the final one of a server that leaves the 1xx out.
        before: replies to the commands sent ahead.
        line: the transfer command.
        final: the last reply, where it is known.
        preopening: EPSV for the next transfer was sent along.
        body: what has been received.
        ended: the server's end has been received, too.
        failure: what broke the connection, where that is known already.
        noops: as many NOOPs were sent during the transfer.
    """

    connection: Stream | None
    channel: TLSChannel | None
    preliminary: Reply
    before: list[Reply]
    line: str
    final: Reply | None = None
    preopening: bool = False
    body: bytes = b""
    ended: bool = False
    failure: OSError | None = None
    noops: int = 0

    @property
    def stream(self) -> Stream:
        if self.connection is None:
            raise ConnectionLostError("the data connection is closed")
        return self.connection

    def reset(self) -> None:
        """Close it so that the server finds it broken, and does not take what has come for a whole file."""
        if self.connection is not None and not self.connection.closed:
            with contextlib.suppress(OSError):
                self.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.close()

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
