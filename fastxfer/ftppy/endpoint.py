"""The address that everything begins with."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["Endpoint", "read_endpoint"]

_PORTS = {"ftp": 21, "ftps": 990, "ftpes": 21}


@dataclass(frozen=True)
class Endpoint:
    """What an endpoint says.

    ``ftps`` is TLS from the first byte, as ever on port 990; on port 21, where plain FTP begins, it is AUTH TLS, which
    ``ftpes`` means on any port.
    """

    text: str
    host: str
    port: int
    tls: str
    """``none``, ``implicit`` or ``explicit``."""

    @property
    def secure(self) -> bool:
        return self.tls != "none"


def read_endpoint(text: object) -> Endpoint:
    """Read ``ftp://host[:port]``.

    Raises:
        TypeError: *text* is no string.
        ValueError: another scheme, no host, or a port that is none.
    """
    if not isinstance(text, str):
        raise TypeError(f"endpoint must be a string, not {type(text).__name__}")
    parts = urlsplit(text)
    if parts.scheme not in _PORTS:
        raise ValueError(f"endpoint must begin with ftp:// or ftps://: {_without_password(text)!r}")
    if not parts.hostname:
        raise ValueError(f"endpoint names no host: {_without_password(text)!r}")
    port = parts.port if parts.port is not None else _PORTS[parts.scheme]
    tls = "none"
    if parts.scheme != "ftp":
        tls = "explicit" if parts.scheme == "ftpes" or port == 21 else "implicit"
    return Endpoint(text, parts.hostname, port, tls)


def _without_password(text: str) -> str:
    before, at, after = text.rpartition("@")
    return f"…@{after}" if at and before else text
