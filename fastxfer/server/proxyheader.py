"""The PROXY protocol, versions 1 and 2: a load balancer tells first who the client is.

https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt
"""

from __future__ import annotations

import ipaddress
import struct

__all__ = ["ProxyHeader"]

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LONGEST_V1 = 107
_LONGEST_V2 = 16 + 2048


class ProxyHeader:
    """Takes the first bytes of a connection until the header is whole.

    Attributes:
        address: of the client; empty where the balancer speaks for itself (LOCAL, UNKNOWN).
        port: of the client.
        told_address: the address that the client connected to; empty if unknown.
        rest: bytes that followed the header.
    """

    __slots__ = ("_buffer", "address", "port", "rest", "told_address")

    def __init__(self) -> None:
        self._buffer = b""
        self.address = ""
        self.port = 0
        self.told_address = ""
        self.rest = b""

    def feed(self, data: bytes) -> bool:
        """Take *data*; True once the header is whole. ValueError for what is none."""
        buffer = self._buffer = self._buffer + data
        if buffer.startswith(_SIGNATURE):
            return self._second(buffer)
        if buffer.startswith(b"PROXY "):
            return self._first(buffer)
        if _SIGNATURE.startswith(buffer[: len(_SIGNATURE)]) or b"PROXY ".startswith(buffer[:6]):
            return False
        raise ValueError("not a PROXY header")

    def _first(self, buffer: bytes) -> bool:
        end = buffer.find(b"\r\n")
        if end < 0:
            if len(buffer) > _LONGEST_V1:
                raise ValueError("PROXY header too long")
            return False
        if end > _LONGEST_V1:
            raise ValueError("PROXY header too long")
        self.rest = buffer[end + 2 :]
        words = buffer[:end].decode("ascii", "replace").split(" ")
        if words[1] == "UNKNOWN":
            return True
        if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
            raise ValueError("malformed PROXY header")
        kind = ipaddress.IPv4Address if words[1] == "TCP4" else ipaddress.IPv6Address
        if not all(word.isascii() and word.isdigit() and int(word) < 65536 for word in words[4:]):
            raise ValueError("malformed PROXY header")
        try:
            self.address, self.told_address = str(kind(words[2])), str(kind(words[3]))
        except ValueError:
            raise ValueError("malformed PROXY header") from None
        self.port = int(words[4])
        return True

    def _second(self, buffer: bytes) -> bool:
        if len(buffer) < 16:
            return False
        version, family, length = struct.unpack_from(">BBH", buffer, 12)
        if version >> 4 != 2:
            raise ValueError("unknown version of the PROXY protocol")
        if 16 + length > _LONGEST_V2:
            raise ValueError("PROXY header too long")
        if len(buffer) < 16 + length:
            return False
        body = buffer[16 : 16 + length]
        self.rest = buffer[16 + length :]
        command = version & 15
        if command == 0:
            return True
        if command != 1:
            raise ValueError("unknown command of the PROXY protocol")
        if family == 0x11:
            source, told, port, _ = struct.unpack_from(">4s4sHH", body.ljust(12, b"\0"))
            needed = 12
        elif family == 0x21:
            source, told, port, _ = struct.unpack_from(">16s16sHH", body.ljust(36, b"\0"))
            needed = 36
        else:
            return True
        if length < needed:
            raise ValueError("malformed PROXY header")
        self.address = str(ipaddress.ip_address(source))
        self.told_address = str(ipaddress.ip_address(told))
        self.port = port
        return True
