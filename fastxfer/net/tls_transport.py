"""TLS between a protocol and any transport, on any event loop: the side of a server.

The event loops can do this by themselves (``ssl=``), but then nobody hears of a connection before its handshake is
done, and nobody can tell how much of what is sent its peer has not taken.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from fastxfer.net.tls_channel import TLSChannel

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["TLSServerProtocol"]

logger = logging.getLogger("fastxfer.net")

CLOSE_SECONDS = 5.0
"""How long a peer that was told of the end may take to close the connection from its side."""


class TLSServerProtocol(asyncio.Protocol):
    """The protocol of an accepted connection that shakes hands and then carries another protocol.

    Args:
        context: what the server shows and demands.
        factory: makes the protocol for the plaintext; called when the handshake is done.
        handshake_seconds: how long the handshake may take.
    """

    def __init__(
        self, context: ssl.SSLContext, factory: Callable[[], asyncio.BaseProtocol], handshake_seconds: float
    ) -> None:
        self._context = context
        self._factory = factory
        self._seconds = handshake_seconds
        self._loop = asyncio.get_running_loop()
        self._channel = TLSChannel(context, None, server_side=True)
        self._raw: asyncio.Transport = cast(asyncio.Transport, None)
        self._inner: asyncio.Protocol | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._error: Exception | None = None
        self._closing = False
        self._reading_paused = False
        self._writing_paused = False

    # From the wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast(asyncio.Transport, transport)
        self._timer = self._loop.call_later(self._seconds, self._raw.abort)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._channel.feed(data)
        if self._inner is None and not self._shake_hands():
            return
        self._deliver()

    def eof_received(self) -> None:
        inner = self._inner
        if inner is not None and not self._closing:
            inner.eof_received()
            self._say_goodbye()
        # The transport closes itself now.

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        # Nobody will resume any more.
        self._reading_paused = False
        try:
            self._deliver()
        finally:
            # It must hear of the end, whatever it makes of the last bytes.
            if self._inner is not None:
                self._inner.connection_lost(self._error or exc)

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._writing_paused = True
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._writing_paused and self._inner is not None:
            self._writing_paused = False
            self._inner.resume_writing()

    def _shake_hands(self) -> bool:
        try:
            done = self._channel.handshake()
        except ssl.SSLError as error:
            self._fail(error)
            return False
        self._flush()
        if not done:
            return False
        self._stop_timer()
        inner = self._inner = cast(asyncio.Protocol, self._factory())
        inner.connection_made(_Plaintext(self))
        return True

    def _deliver(self) -> None:
        """Give what has come to the inner protocol, unless that wants nothing now."""
        inner, channel = self._inner, self._channel
        if inner is None or self._closing or self._reading_paused:
            return
        pieces = []
        error: Exception | None = None
        try:
            while piece := channel.read():
                pieces.append(piece)
        except (ssl.SSLError, ConnectionError) as broken:
            error = broken
        self._flush()
        if pieces:
            inner.data_received(b"".join(pieces))
        if self.closing:
            return
        if error is not None:
            self._fail(error)
        elif channel.ended:
            inner.eof_received()
            self.close()

    def _fail(self, error: Exception) -> None:
        """The peer does not speak TLS as it should: tell it so, and close."""
        logger.debug("TLS failed: %s", error)
        self._error = error
        self._closing = True
        self._flush()
        self._raw.close()

    def _flush(self) -> None:
        data = self._channel.outgoing()
        if data and not self._raw.is_closing():
            self._raw.write(data)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # From the inner protocol

    def write(self, data: Buffer) -> None:
        """Encrypt *data* and send it; nothing is sent any more once :meth:`close` was called."""
        if self.closing:
            return
        try:
            self._channel.write(data)
        except ssl.SSLError as error:
            self._fail(error)
            return
        self._flush()

    def close(self) -> None:
        """Send what is on its way and TLS's own end; then close, once the peer has."""
        if self._closing:
            return
        self._say_goodbye()
        if self._channel.ended or self._raw.is_closing():
            self._raw.close()
            return
        # Closed at once, the kernel would answer whatever the peer still sends with a reset, and what the peer has not
        # read by then could be lost.
        self._raw.resume_reading()
        self._timer = self._loop.call_later(CLOSE_SECONDS, self._raw.close)

    def _say_goodbye(self) -> None:
        self._closing = True
        self._channel.close()
        self._flush()

    def abort(self) -> None:
        """Close at once; what is on its way is lost."""
        self._closing = True
        self._raw.abort()

    def pause_reading(self) -> None:
        """Give the inner protocol nothing until :meth:`resume_reading`."""
        self._reading_paused = True
        if not self._closing:
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Go on with what has come and with what comes."""
        if self._reading_paused and not self._closing:
            self._reading_paused = False
            self._raw.resume_reading()
            self._loop.call_soon(self._deliver)

    @property
    def closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._closing or self._raw.is_closing()

    @property
    def raw(self) -> asyncio.Transport:
        """The transport of the ciphertext."""
        return self._raw

    @property
    def inner(self) -> asyncio.BaseProtocol:
        """The protocol of the plaintext."""
        return cast(asyncio.BaseProtocol, self._inner)

    @inner.setter
    def inner(self, protocol: asyncio.BaseProtocol) -> None:
        self._inner = cast(asyncio.Protocol, protocol)

    def extra_info(self, name: str, default: Any) -> Any:
        """What :meth:`asyncio.BaseTransport.get_extra_info` says, and what it says of TLS."""
        if name == "sslcontext":
            return self._context
        if name == "peercert":
            return self._channel.peer_certificate_fields()
        if name == "cipher":
            return self._channel.cipher
        return self._raw.get_extra_info(name, default)


class _Plaintext(asyncio.Transport):
    """The connection as its inner protocol sees it."""

    def __init__(self, outer: TLSServerProtocol) -> None:
        super().__init__()
        self._outer = outer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._outer.extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._outer.inner = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._outer.inner

    def is_closing(self) -> bool:
        return self._outer.closing

    def close(self) -> None:
        self._outer.close()

    def abort(self) -> None:
        self._outer.abort()

    def is_reading(self) -> bool:
        return not self._outer.closing and self._outer.raw.is_reading()

    def pause_reading(self) -> None:
        self._outer.pause_reading()

    def resume_reading(self) -> None:
        self._outer.resume_reading()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._outer.write(data)

    def can_write_eof(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._outer.raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._outer.raw.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._outer.raw.get_write_buffer_limits()
