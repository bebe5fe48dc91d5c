"""TLS as a state machine without a socket: ciphertext goes in and comes out, plaintext comes out and goes in."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["TLSChannel", "TLSTruncatedError"]

_MOST_AT_ONCE = 1 << 20
"""Bytes encrypted in one call, which makes as many records of it as it takes and lets go of the interpreter's lock but
once: an eighth cheaper than a call for each record of 16 KiB."""


class TLSTruncatedError(ConnectionError):
    """The peer ended the TCP stream without TLS's own end (close_notify): what came may not be all there is."""


class TLSChannel:
    """One side of a TLS connection.

    Feed what the socket receives to :meth:`feed` (and :meth:`feed_eof`), send what :meth:`outgoing` returns.

    Args:
        context: the OpenSSL context.
        server_hostname: name for SNI and for the check of the certificate; None on a server.
        session: session of an earlier connection made with the same context, to be resumed.
        server_side: be the server.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        server_hostname: str | None,
        session: ssl.SSLSession | None = None,
        *,
        server_side: bool = False,
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname, session=session
        )
        self._ended = False

    @property
    def session(self) -> ssl.SSLSession | None:
        """What a later connection needs to resume this one. Under TLS 1.3 known only after the first bytes received."""
        return self._object.session

    @property
    def session_reused(self) -> bool:
        return bool(self._object.session_reused)

    @property
    def version(self) -> str | None:
        """``"TLSv1.2"``, ``"TLSv1.3"``; None before the handshake."""
        return self._object.version()

    @property
    def cipher(self) -> tuple[str, str, int] | None:
        return self._object.cipher()

    @property
    def ended(self) -> bool:
        """The peer has sent its close_notify."""
        return self._ended

    def peer_certificate(self) -> bytes | None:
        """The peer's certificate, DER."""
        return self._object.getpeercert(binary_form=True)

    def peer_certificate_fields(self) -> dict[str, Any] | None:
        """The peer's certificate as :meth:`ssl.SSLSocket.getpeercert` shows it, if it was asked for and verified."""
        return self._object.getpeercert() or None

    def feed(self, data: Buffer) -> None:
        """Take ciphertext in."""
        self._incoming.write(data)

    def feed_eof(self) -> None:
        """The socket has reached its end."""
        self._incoming.write_eof()

    def outgoing(self) -> bytes:
        """Ciphertext to be sent; empty where there is none."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def unread(self) -> bytes:
        """What was fed and not used: bytes that follow the peer's close_notify."""
        return self._incoming.read()

    def handshake(self) -> bool:
        """Go on with the handshake; True when it is done. Look at :meth:`outgoing` either way (alerts too).

        Raises ssl.SSLError, among them ssl.SSLCertVerificationError.
        """
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def read(self, limit: int = 65536) -> bytes | None:
        """Plaintext, b"" at the peer's close_notify, None where more must be fed first.

        Raises TLSTruncatedError where the socket ended without close_notify, ssl.SSLError on a broken record.
        """
        if self._ended:
            return b""
        try:
            data = self._object.read(limit)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            data = b""
        except ssl.SSLEOFError as error:
            raise TLSTruncatedError("the TLS stream was cut without close_notify") from error
        if not data:
            self._ended = True
        return data

    def read_available(self) -> bytes:
        """All the plaintext that is there; b"" where there is none. Raises what :meth:`read` raises."""
        # Asking where nothing is would only raise an exception, which costs more than this look.
        incoming = self._incoming
        if not (incoming.pending or self._object.pending() or incoming.eof):
            return b""
        plain = self.read()
        if not plain or not (incoming.pending or self._object.pending()):
            return plain or b""
        pieces = [plain]
        while plain := self.read():
            pieces.append(plain)
        return b"".join(pieces)

    def read_into(self, target: memoryview) -> int:
        """As :meth:`read`, into *target*, as many records as there are: how many bytes; 0 at the end or for want.

        :attr:`ended` tells the two apart.
        """
        filled = 0
        size = len(target)
        read = self._object.read
        while filled < size and not self._ended:
            try:
                # The object fills the buffer given; what it returns is then the count.
                count: int = read(size - filled, target[filled:])  # type: ignore[assignment]
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                count = 0
            except ssl.SSLEOFError as error:
                raise TLSTruncatedError("the TLS stream was cut without close_notify") from error
            if not count:
                self._ended = True
            filled += count
        return filled

    def write(self, data: Buffer) -> None:
        """Encrypt all of *data*; fetch the ciphertext from :meth:`outgoing`."""
        view = memoryview(data)
        done = 0
        while done < len(view):
            done += self._object.write(view[done : done + _MOST_AT_ONCE])

    def close(self) -> bool:
        """Say close_notify (fetch it from :meth:`outgoing`); True when the peer has said it too."""
        try:
            self._object.unwrap()
        except ssl.SSLWantReadError:
            return False
        except (ssl.SSLError, ValueError):
            # Never shaken hands, or broken already: nothing that could be ended in good order.
            return True
        return True
