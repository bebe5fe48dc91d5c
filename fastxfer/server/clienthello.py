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


def parse_client_hello(data: bytes, *, names: bool = True) -> ClientHello | None:
    """Read the first bytes of a connection; None where more are needed.

    Args:
        data: all that has come so far.
        names: whether the server name matters. Where it does not, one that offers no protocols is soon read.

    Raises:
        ValueError: they are no ClientHello; OpenSSL says so better.
    """
    message = b""
    at = 0
    while len(data) - at >= 5:
        if data[at] != _HANDSHAKE:
            raise ValueError("not a handshake")
        end = at + 5 + (data[at + 3] << 8 | data[at + 4])
        if end > len(data):
            break
        message += data[at + 5 : end]
        at = end
        if len(message) >= 4:
            if message[0] != _CLIENT_HELLO:
                raise ValueError("not a ClientHello")
            if len(message) >= 4 + int.from_bytes(message[1:4], "big"):
                return _parse(message[4:], names)
    if len(data) > LONGEST:
        raise ValueError("too long")
    return None


def _parse(body: bytes, names: bool) -> ClientHello:
    name = ""
    protocols: list[bytes] = []
    try:
        # Version and random bytes; then session ID, cipher suites and compression methods, which are of no interest.
        at = 2 + 32
        at += 1 + body[at]
        at += 2 + (body[at] << 8 | body[at + 1])
        at += 1 + body[at]
        if at == len(body):
            return ClientHello()
        end = at + 2 + (body[at] << 8 | body[at + 1])
        if end > len(body):
            raise ValueError("cut off")
        at += 2
        if not names and body.find(_ALPN.to_bytes(2, "big"), at) < 0:
            return ClientHello()
        while at < end:
            kind = body[at] << 8 | body[at + 1]
            begin = at + 4
            at = begin + (body[at + 2] << 8 | body[at + 3])
            if at > end:
                raise ValueError("cut off")
            if kind == _SERVER_NAME:
                name = _server_name(body[begin:at]) or name
            elif kind == _ALPN:
                protocols += _protocols(body[begin:at])
    except IndexError:
        raise ValueError("cut off") from None
    return ClientHello(name, tuple(protocols))


def _server_name(content: bytes) -> str:
    names = _Reader(content and _Reader(content).vector(2))
    if names.left and names.take(1)[0] == 0:
        return names.vector(2).decode("ascii", "replace").lower()
    return ""


def _protocols(content: bytes) -> list[bytes]:
    offered = _Reader(_Reader(content).vector(2))
    found = []
    while offered.left:
        found.append(offered.vector(1))
    return found
