"""Who may connect and try to log in: limits, delays and bans, shared by FTP and HTTP.

Addresses are counted singly for IPv4 and by /64 network for IPv6, where one host can have any number of addresses.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from fastxfer.server.config import LimitsConfig

__all__ = ["Guard", "LoginRefusedError", "peer_key"]

MAX_REMEMBERED = 16384
"""Addresses with failed logins that are remembered at the same time."""
MAX_DOUBLINGS = 4


class LoginRefusedError(Exception):
    """The credentials were not accepted.

    Attributes:
        reason: ``credentials``, ``banned``, ``limit``, ``tls`` or ``network``; only the first says anything about
            the credentials, and none may be told to the peer in more detail than its reply code.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"login refused: {reason}")
        self.reason = reason


def peer_key(address: str) -> str:
    """What *address* is counted under."""
    if ":" not in address:
        return address
    try:
        peer = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if peer.ipv4_mapped is not None:
        return str(peer.ipv4_mapped)
    return str(ipaddress.IPv6Network((peer, 64), strict=False))


@dataclass
class _Record:
    failures: int
    last: float
    banned_until: float = 0.0


class Guard:
    """Counts connections, sessions and failed logins. All methods are for one event loop and never wait."""

    def __init__(self, limits: LimitsConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._by_address: dict[str, int] = {}
        self._by_user: dict[str, int] = {}
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self.connections = 0

    def enter(self, address: str) -> str:
        """Count a new connection from *address*: empty, or why it must be refused (and was not counted)."""
        if self._records and self.banned(address):
            return "banned"
        limits = self._limits
        if limits.sessions and self.connections >= limits.sessions:
            return "too many connections"
        key = peer_key(address)
        count = self._by_address.get(key, 0)
        if limits.sessions_per_ip and count >= limits.sessions_per_ip:
            return "too many connections from this address"
        self._by_address[key] = count + 1
        self.connections += 1
        return ""

    def leave(self, address: str) -> None:
        """A connection that :meth:`enter` counted has ended."""
        self.connections -= 1
        _decrement(self._by_address, peer_key(address))

    def enter_user(self, name: str, limit: int = 0) -> bool:
        """Count a session of the user *name*, whose own *limit* goes before the general one; False: refused."""
        limit = limit or self._limits.sessions_per_user
        count = self._by_user.get(name, 0)
        if limit and count >= limit:
            return False
        self._by_user[name] = count + 1
        return True

    def leave_user(self, name: str) -> None:
        """A session that :meth:`enter_user` counted has ended."""
        _decrement(self._by_user, name)

    def banned(self, address: str) -> bool:
        """Whether *address* may not even try."""
        record = self._records.get(peer_key(address))
        return record is not None and record.banned_until > self._clock()

    def failed(self, address: str) -> float:
        """Note a failed login; the seconds to wait before the peer is told."""
        now = self._clock()
        key = peer_key(address)
        record = self._records.pop(key, None)
        if record is None or now - record.last > self._limits.ban_time:
            record = _Record(0, now)
        self._records[key] = record
        record.failures += 1
        record.last = now
        if self._limits.ban_after and record.failures >= self._limits.ban_after:
            record.banned_until = now + self._limits.ban_time
        while len(self._records) > MAX_REMEMBERED:
            self._records.popitem(last=False)
        return float(self._limits.login_delay * 2 ** min(record.failures - 1, MAX_DOUBLINGS))

    def succeeded(self, address: str) -> None:
        """A login from *address* went well: its failures are forgotten, a ban is not."""
        record = self._records.get(peer_key(address)) if self._records else None
        if record is not None and record.banned_until <= self._clock():
            del self._records[peer_key(address)]


def _decrement(counts: dict[str, int], key: str) -> None:
    count = counts.get(key, 0)
    if count > 1:
        counts[key] = count - 1
    else:
        counts.pop(key, None)
