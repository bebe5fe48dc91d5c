"""What a TLS client asks for before the handshake (RFC 8446 section 4.1.2): server name and protocols.

OpenSSL goes on where client and server have no protocol in common (RFC 7301 would end it); a browser that was lured
to this port would then talk HTTP to it (the ALPACA attack). So the offer is read before OpenSSL sees it.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ClientHello", "parse_client_hello"]

LONGEST = 1 << 16
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_SERVER_NAME, _ALPN = 0, 16


class ClientHello(NamedTuple):
    """The parts that are of interest."""

    server_name: str = ""
    protocols: tuple[bytes, ...] = ()


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise ValueError("cut off")
        self._at += count
        return self._data[self._at - count : self._at]

    def vector(self, width: int) -> bytes:
        """A piece that is preceded by its length in *width* bytes."""
        return self.take(int.from_bytes(self.take(width), "big"))


def parse_client_hello(data: bytes) -> ClientHello | None:
    """Read the first bytes of a connection; None where more are needed.

    Raises:
        ValueError: they are no ClientHello; OpenSSL says so better.
    """
    message = b""
    records = _Reader(data)
    while records.left >= 5:
        if records.take(1)[0] != _HANDSHAKE:
            raise ValueError("not a handshake")
        records.take(2)
        length = int.from_bytes(records.take(2), "big")
        if length > records.left:
            break
        message += records.take(length)
        if len(message) >= 4:
            if message[0] != _CLIENT_HELLO:
                raise ValueError("not a ClientHello")
            if len(message) >= 4 + int.from_bytes(message[1:4], "big"):
                return _parse(message[4:])
    if len(data) > LONGEST:
        raise ValueError("too long")
    return None


def _parse(body: bytes) -> ClientHello:
    reader = _Reader(body)
    reader.take(2 + 32)
    reader.vector(1)
    reader.vector(2)
    reader.vector(1)
    name = ""
    protocols: list[bytes] = []
    extensions = _Reader(reader.vector(2) if reader.left else b"")
    while extensions.left:
        kind = int.from_bytes(extensions.take(2), "big")
        content = _Reader(extensions.vector(2))
        if kind == _SERVER_NAME and content.left:
            names = _Reader(content.vector(2))
            if names.left and names.take(1)[0] == 0:
                name = names.vector(2).decode("ascii", "replace").lower()
        elif kind == _ALPN:
            offered = _Reader(content.vector(2))
            while offered.left:
                protocols.append(offered.vector(1))
    return ClientHello(name, tuple(protocols))
