"""Who sent a request: the address at the other end, or the one that a trusted proxy vouches for."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp import web

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
        self._networks = tuple(ipaddress.ip_network(network, strict=False) for network in networks)

    def trusts(self, address: str) -> bool:
        """Whether *address* is that of a trusted proxy."""
        if not self._networks:
            return False
        try:
            peer = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self._networks)

    def peer(self, request: web.Request) -> Peer:
        """The client of *request*."""
        transport = request.transport
        name = transport.get_extra_info("peername") if transport is not None else None
        address, port = (str(name[0]), int(name[1])) if isinstance(name, tuple) and len(name) >= 2 else ("", 0)
        tls = request.secure
        host = request.headers.get("Host", "")
        if self.trusts(address):
            # Each proxy appends whom it saw: the last that is no proxy of ours is the client.
            for hop in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
                if hop.strip():
                    address, port = hop.strip().strip("[]"), 0
                    if not self.trusts(address):
                        break
            tls = _nearest(request.headers.get("X-Forwarded-Proto", "https" if tls else "http")).lower() == "https"
            host = _nearest(request.headers.get("X-Forwarded-Host", host))
        return Peer(address, port, tls, host.strip().lower())


def _nearest(header: str) -> str:
    """What the proxy nearest to us says: each adds its own at the end."""
    return header.rpartition(",")[2].strip()
