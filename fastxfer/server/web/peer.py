"""Who sent a request: the address at the other end, or the one that a trusted proxy vouches for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp import web

from fastxfer.net.address import parse_address as split_host_port
from fastxfer.server.networks import Networks, parse_address, peer_of

__all__ = ["Peer", "Proxies"]


@dataclass(frozen=True)
class Peer:
    """The client of one request."""

    address: str
    port: int
    tls: bool
    host: str
    """Host and port that the client addressed, in lower case."""

    @property
    def origin(self) -> str:
        """The origin that a page from here has, as browsers write it."""
        return f"{'https' if self.tls else 'http'}://{self.host}"

    @property
    def host_port(self) -> str:
        """The port that is named with the host; empty for the usual one."""
        port = self.host.rpartition("]")[2].rpartition(":")[2] if ":" in self.host.rpartition("]")[2] else ""
        return port if port.isdigit() else ""

    @property
    def host_name(self) -> str:
        """The host without the port."""
        if self.host.startswith("["):
            return self.host[1:].partition("]")[0]
        return self.host.partition(":")[0]


class Proxies:
    """The proxies whose X-Forwarded headers are believed.

    Args:
        networks: addresses or networks (``10.0.0.0/8``); of nobody else such a header is looked at.

    Raises:
        ValueError: a network cannot be understood.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = Networks(networks, "web.trusted_proxies")

    def trusts(self, address: str) -> bool:
        """Whether *address* is that of a trusted proxy."""
        return address in self._networks

    def peer(self, request: web.Request) -> Peer:
        """The client of *request*."""
        address, port = peer_of(request.transport)
        tls = request.secure
        host = request.headers.get("Host", "")
        if self.trusts(address):
            # Each proxy appends whom it saw: the last that is no proxy of ours is the client.
            for hop in reversed(_entries(request, "X-Forwarded-For")):
                try:
                    address, port = _address(hop)
                except ValueError:
                    # A proxy that does not know, or does not tell: it stands for whoever is behind it.
                    break
                if not self.trusts(address):
                    break
            tls = _nearest(request, "X-Forwarded-Proto", "https" if tls else "http").lower() == "https"
            host = _nearest(request, "X-Forwarded-Host", host)
        return Peer(address, port, tls, host.strip().lower())


def _entries(request: web.Request, name: str) -> list[str]:
    """The entries of a header that each proxy adds to: some lengthen the line they find, some write another one."""
    entries = [entry.strip() for line in request.headers.getall(name, ()) for entry in line.split(",")]
    return [entry for entry in entries if entry]


def _nearest(request: web.Request, name: str, default: str) -> str:
    """What the proxy nearest to us says: each adds its own at the end."""
    entries = _entries(request, name)
    return entries[-1] if entries else default


def _address(entry: str) -> tuple[str, int]:
    """``192.0.2.1``, ``192.0.2.1:4711``, ``2001:db8::1``, ``[2001:db8::1]`` or ``[2001:db8::1]:4711``.

    Raises:
        ValueError: it is none of them.
    """
    host, port = split_host_port(entry, 0)
    if "%" in host:
        raise ValueError(f"not an address: {entry!r}")
    return parse_address(host), port
