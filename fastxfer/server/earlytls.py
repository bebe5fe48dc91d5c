"""TLS on a data connection whose client shakes hands before it says what the connection is for.

Most clients connect, send the command, and shake hands once it is agreed to. Some (aioftp) shake hands as soon as they
are connected, and send the command only then: whoever waits for the command first would wait for ever.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from fastxfer.net.tls_channel import TLSChannel

__all__ = ["EarlyConnection"]

BLOCK = 65536


class EarlyConnection:
    """A data connection that no command has asked for yet; a handshake that the client begins is carried on.

    Args:
        sock: connected and non-blocking; it is this object's until :meth:`release`.
        channel: its TLS side.
        failed: called when the client gives up or the handshake fails; the socket is closed then.
    """

    def __init__(self, sock: socket.socket, channel: TLSChannel, failed: Callable[[], None]) -> None:
        self.channel = channel
        self._sock = sock
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._watching = True
        self._loop.add_reader(sock.fileno(), self._readable)

    def _readable(self) -> None:
        channel = self.channel
        try:
            data = self._sock.recv(BLOCK)
            if not data:
                raise ConnectionResetError("the client has gone")
            channel.feed(data)
            done = channel.handshake()
            answer = channel.outgoing()
            # The first bytes of a connection find its buffer empty.
            if answer and self._sock.send(answer) < len(answer):
                raise ConnectionResetError("the client takes nothing")
            if done:
                self._stop()
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, ssl.SSLError):
            self.close()
            self._failed()

    def _stop(self) -> None:
        if self._watching:
            self._watching = False
            self._loop.remove_reader(self._sock.fileno())

    def release(self) -> socket.socket:
        """The socket, which is the caller's now; the handshake goes on with :attr:`channel`, if it has begun."""
        self._stop()
        return self._sock

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._stop()
        self._sock.close()
