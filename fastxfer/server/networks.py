"""Sets of addresses."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable

__all__ = ["Networks", "parse_address", "peer_of", "plain_address"]


def parse_address(text: str) -> str:
    """The address in *text*, in its own form: an IPv4 address that is written as IPv6 (RFC 4291, 2.5.5.2) as IPv4.

    Raises:
        ValueError: *text* is no address.
    """
    address, percent, zone = text.partition("%")
    parsed = ipaddress.ip_address(address)
    return str(getattr(parsed, "ipv4_mapped", None) or parsed) + percent + zone


def plain_address(address: str) -> str:
    """The host that a socket names, as it is known everywhere else.

    An IPv4 address that a dual-stack socket shows as IPv6 (RFC 4291 section 2.5.5.2) has its own form, and the zone of
    a link-local one, which some systems tell and others do not, is left out.
    """
    if ":" not in address:
        return address
    if not address.startswith("::ffff:"):
        return address.partition("%")[0]
    # Systems write the last part with dots, Python does from 3.13 on.
    return address[7:] if "." in address else parse_address(address).partition("%")[0]


def peer_of(transport: asyncio.BaseTransport | None) -> tuple[str, int]:
    """Address and port at the other end of *transport*; ``("", 0)`` where it has gone or is no internet connection."""
    name = transport.get_extra_info("peername") if transport is not None else None
    return (plain_address(str(name[0])), int(name[1])) if isinstance(name, tuple) and len(name) >= 2 else ("", 0)


class Networks:
    """Addresses and networks (``192.0.2.1``, ``10.0.0.0/8``, ``2001:db8::/32``).

    Args:
        networks: which.
        setting: what they were set by, for the error.

    Raises:
        ValueError: one of *networks* cannot be understood; the message tells which.
    """

    __slots__ = ("_networks",)

    def __init__(self, networks: Iterable[str] = (), setting: str = "networks") -> None:
        try:
            self._networks = tuple(ipaddress.ip_network(network, strict=False) for network in networks)
        except ValueError as error:
            raise ValueError(f"{setting}: {error}") from None

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        """Whether *address* lies in one of them; what is no address does not."""
        if not self._networks:
            return False
        try:
            peer = ipaddress.ip_address(parse_address(address).partition("%")[0])
        except ValueError:
            return False
        return any(peer in network for network in self._networks)
