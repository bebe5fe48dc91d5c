"""Server addresses: host and port, with IPv6 hosts in square brackets where both stand in one text."""

from __future__ import annotations

import functools
import ipaddress
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

__all__ = ["Address", "parse_address", "split_url"]


class Address(NamedTuple):
    """A TCP end point. *host* is a name or an IPv4 or IPv6 address without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@functools.lru_cache(maxsize=1024)
def parse_address(text: str, default_port: int | None = None) -> Address:
    """Read ``host:port``, ``[ipv6]:port``, or, where *default_port* is given, a host or IPv6 address alone.

    Raises ValueError, naming the text, where it is none of these or the port is not in 1..65535.
    """
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no address")
    stripped = text.strip()
    if stripped.startswith("["):
        host, bracket, rest = stripped[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"malformed address {text!r}: expected [ipv6]:port")
        port_text = rest[1:]
    elif stripped.count(":") == 1:
        host, _, port_text = stripped.partition(":")
    elif stripped.count(":") > 1 and default_port is None:
        raise ValueError(f"malformed address {text!r}: an IPv6 host stands in square brackets, [ipv6]:port")
    else:
        host, port_text = stripped, ""
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError as reason:
            raise ValueError(f"malformed address {text!r}: {reason}") from None
    if not host or any(character.isspace() for character in host) or "\0" in host:
        raise ValueError(f"malformed address {text!r}: no host")
    if not port_text and default_port is not None:
        return Address(host, default_port)
    if not (port_text.isascii() and port_text.isdigit() and 1 <= int(port_text) <= 65535):
        raise ValueError(f"malformed address {text!r}: the port must be a number from 1 to 65535")
    return Address(host, int(port_text))


def split_url(text: str) -> tuple[SplitResult, str]:
    """What stands before the path of a URL, and the path as it is written.

    All that follows the server is the path: ``?`` and ``#`` are characters of names, for what has URLs here has neither
    queries nor fragments (RFC 1738, section 3.2.2). Raises ValueError where the server makes no sense.
    """
    scheme, _, rest = text.partition("://")
    server, slash, path = rest.partition("/")
    if "?" in server or "#" in server:
        raise ValueError(f"{scheme}://{server.rpartition('@')[2]}: '?' and '#' can not stand in the name of a server")
    return urlsplit(f"{scheme}://{server}"), slash + path
