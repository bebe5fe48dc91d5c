"""The bytes of a control connection, with TLS in between or not, and how it is closed."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastxfer.core.ftpserve import send_now
from fastxfer.core.ftpwire import CommandReader
from fastxfer.net.tls_channel import TLSChannel
from fastxfer.server.clienthello import parse_client_hello
from fastxfer.server.config import ListenerConfig, at_most
from fastxfer.server.networks import plain_address
from fastxfer.server.replies import reply

if TYPE_CHECKING:
    from fastxfer.server.runtime import Runtime
    from fastxfer.server.session import Session

__all__ = ["ControlWire"]

logger = logging.getLogger("fastxfer.server")

ALPN = b"ftp"


class ControlWire(asyncio.Protocol):
    """What :class:`fastxfer.server.control.Control` speaks through."""

    __slots__ = (
        "_channel",
        "_closing",
        "_closing_since",
        "_descriptor",
        "_greets",
        "_handshaking",
        "_hello",
        "_leaving",
        "_listener",
        "_loop",
        "_reader",
        "_runtime",
        "_tickets",
        "_transport",
        "context",
        "session",
    )

    _transport: asyncio.Transport

    def __init__(self, runtime: Runtime, listener: ListenerConfig, loop: asyncio.AbstractEventLoop) -> None:
        self._runtime = runtime
        self._listener = listener
        self._loop = loop
        self._reader = CommandReader(at_most(runtime.service.config.limits.line))
        self._channel: TLSChannel | None = None
        self._handshaking = False
        self._greets = False
        self._leaving = False
        self._hello: bytes | None = None
        self._tickets = False
        self._closing = False
        self._closing_since = 0.0
        self._descriptor = -1
        self.context: ssl.SSLContext | None = None
        """What the connection was encrypted with."""
        self.session: Session | None = None

    # TLS

    @property
    def encrypted(self) -> bool:
        """Whether bytes are protected now."""
        return self._channel is not None

    @property
    def channel(self) -> TLSChannel | None:
        """The TLS side of the connection."""
        return self._channel

    def peer_certificate(self) -> Mapping[str, Any] | None:
        """The verified certificate of the client, if it has shown one."""
        return self._channel.peer_certificate_fields() if self._channel is not None else None

    def start_tls(self, consent: bytes) -> None:
        """Send *consent* in the clear; everything after it is TLS."""
        self.write(consent)
        self._begin_tls()

    def _begin_tls(self) -> None:
        self.context = self._runtime.control_context(self._listener)
        self._channel = TLSChannel(self.context, None, server_side=True)
        self._handshaking = True
        self._hello = b""
        if self._reader.pending:
            self._injected()

    def _injected(self) -> None:
        logger.warning("plain bytes behind AUTH TLS from %s: connection closed", self._address)
        self._abort()

    def end_tls(self, consent: bytes) -> None:
        """Send *consent* protected; everything after it is in the clear (RFC 4217 section 16)."""
        self.write(consent)
        channel = self._channel
        if channel is not None:
            channel.close()
            self._send_ciphertext(channel)
            self._leaving = True

    def _leave_tls(self, channel: TLSChannel) -> bytes:
        """Wait for the client's close_notify; what follows it, in the clear."""
        if not channel.close():
            return b""
        self._leaving = False
        self._channel = None
        return channel.unread()

    def _decrypt(self, data: bytes) -> bytes:
        channel = self._channel
        assert channel is not None
        fresh = False
        try:
            channel.feed(data)
            if self._handshaking:
                if self._hello is not None and not self._inspect(data):
                    return b""
                done = channel.handshake()
                # What TLS 1.3 has still to send when it is done are session tickets (RFC 8446 section 4.6.1). Nobody
                # waits for those: they go with the first reply, and wake no client for nothing.
                self._tickets = fresh = done and channel.version == "TLSv1.3"
                if not fresh:
                    self._send_ciphertext(channel)
                if not done:
                    return b""
                self._handshaking = False
                self._handshaken(channel)
            if self._leaving:
                return self._leave_tls(channel)
            plain = channel.read_available()
            if self._tickets:
                # Not for longer: a client can make OpenSSL answer without giving a command (KeyUpdate).
                self._tickets = fresh
            else:
                self._send_ciphertext(channel)
            if channel.ended:
                self._transport.close()
            return plain
        except (ssl.SSLError, ConnectionError) as error:
            logger.info("TLS with %s failed: %s", self._address, error)
            self._runtime.count_tls_failure()
            self._send_ciphertext(channel)
            self._transport.close()
            return b""

    def _inspect(self, data: bytes) -> bool:
        """Look at the ClientHello; False where the connection was closed over it."""
        self._hello = (self._hello or b"") + data
        session = self.session
        hosts = session.config.hosts if session is not None else {}
        try:
            hello = parse_client_hello(self._hello, names=bool(hosts))
        except ValueError:
            # No ClientHello, and OpenSSL will say so.
            self._hello = None
            return True
        if hello is None:
            return True
        self._hello = None
        if hello.protocols and ALPN not in hello.protocols:
            logger.warning("%s wants to speak %r here: connection closed", self._address, hello.protocols)
            self._runtime.count_tls_failure()
            self._abort()
            return False
        if session is not None and hello.server_name in hosts:
            session.host_of_tls = hello.server_name
            session.host = session.host or hello.server_name
        return True

    def _handshaken(self, channel: TLSChannel) -> None:
        self._runtime.handshaken(channel)
        if self._greets and not self._closing:
            self._greets = False
            self.write(self._runtime.banner)

    def _send_ciphertext(self, channel: TLSChannel) -> None:
        self._tickets = False
        data = channel.outgoing()
        if data:
            self._send(data)

    @property
    def undivided(self) -> bool:
        """Whether what has come so far are whole lines."""
        return self._reader.idle

    @property
    def transport(self) -> asyncio.Transport:
        return self._transport

    # Bytes out

    def write(self, data: bytes) -> None:
        """Send a reply."""
        if not data or self._transport.is_closing():
            return
        channel = self._channel
        if channel is None or self._handshaking or self._leaving:
            self._send(data)
            return
        channel.write(data)
        self._send_ciphertext(channel)

    def _send(self, data: bytes) -> None:
        """Send *data* as it is, at once as far as it goes: uvloop would wait until its turn is over."""
        transport = self._transport
        if not transport.is_closing() and not transport.get_write_buffer_size():
            descriptor = self._descriptor if self._descriptor >= 0 else self._look_up_descriptor()
            sent = send_now(descriptor, data) if descriptor >= 0 else 0
            if sent == len(data):
                return
            data = data[sent:]
        transport.write(data)

    def write_text(self, code: int, text: str) -> None:
        """Send a reply that is not prepared."""
        self.write(reply(code, text))

    def local_address(self) -> tuple[str, int]:
        """This end's address, and the zone if it has one."""
        name: tuple[Any, ...] = self._transport.get_extra_info("sockname") or ("",)
        return plain_address(name[0]), name[3] if len(name) > 3 else 0

    def direct(self) -> int:
        """The connection's descriptor, where what is sent by it comes behind all replies, in the clear; else -1."""
        transport = self._transport
        if self._channel is not None or transport.is_closing() or transport.get_write_buffer_size():
            return -1
        return self.descriptor()

    def descriptor(self) -> int:
        """The connection's descriptor; -1 where it is encrypted or gone."""
        if self._channel is not None or self._transport.is_closing():
            return -1
        return self._descriptor if self._descriptor >= 0 else self._look_up_descriptor()

    def _look_up_descriptor(self) -> int:
        sock = self._transport.get_extra_info("socket")
        self._descriptor = -1 if sock is None else sock.fileno()
        return self._descriptor

    # The end

    @property
    def _address(self) -> str:
        return self.session.address if self.session is not None else "a peer"

    def closing_for(self, now: float) -> float:
        """Seconds for which only what the peer does not take has kept the connection open, since the first call."""
        if not self._transport.is_closing():
            return 0.0
        if not self._closing_since:
            self._closing_since = now
        return now - self._closing_since

    def finish(self, last_words: bytes) -> None:
        """Send *last_words* and close once they are sent; commands that wait are forgotten."""
        channel = self._channel
        if channel is None or self._handshaking or self._leaving:
            self.write(last_words)
        elif not self._transport.is_closing():
            if last_words:
                channel.write(last_words)
            channel.close()
            self._send_ciphertext(channel)
        self._closing = True
        self._transport.close()

    def _abort(self) -> None:
        self._closing = True
        self._transport.abort()

    def abort(self) -> None:
        """Close without another word."""
        self._abort()
