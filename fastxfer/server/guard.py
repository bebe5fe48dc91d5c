"""Who may connect and try to log in: limits, delays and bans, shared by FTP and HTTP.

Addresses are counted singly for IPv4 and by /64 network for IPv6, where one host can have any number of addresses.
"""

from __future__ import annotations

import contextlib
import ipaddress
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastxfer.server.config import LimitsConfig

if TYPE_CHECKING:
    from fastxfer.server.sharedbooks import WorkerBooks

__all__ = ["Guard", "LoginRefusedError", "SharedGuard", "peer_key"]

MAX_REMEMBERED = 16384
"""Addresses with failed logins that are remembered at the same time."""
MAX_DOUBLINGS = 4
ADDRESS, USER = "@", "="
"""What keys of counts begin with."""


class LoginRefusedError(Exception):
    """The credentials were not accepted.

    Attributes:
        reason: ``credentials``, ``banned``, ``limit`` or ``tls``; only the first says anything about
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
    """Counts connections, sessions and failed logins. All methods are for one event loop and never wait for a peer."""

    def __init__(self, limits: LimitsConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._connections = 0
        self._counts: dict[str, int] = {}
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._judges = 1
        """Processes that judge logins."""

    @property
    def connections(self) -> int:
        """Connections that stand."""
        return self._connections

    def enter(self, address: str) -> str:
        """Count a new connection from *address*: empty, or why it must be refused (and was not counted)."""
        if self.remembers(address) and self.banned(address):
            return "banned"
        limits = self._limits
        if not self._enter(limits.sessions):
            return "too many connections"
        if limits.sessions_per_ip and not self._add(ADDRESS + peer_key(address), limits.sessions_per_ip):
            self._leave()
            return "too many connections from this address"
        return ""

    def leave(self, address: str) -> None:
        """A connection that :meth:`enter` counted has ended."""
        self._leave()
        if self._limits.sessions_per_ip:
            self._remove(ADDRESS + peer_key(address))

    def enter_user(self, name: str, limit: int = 0) -> bool:
        """Count a session of the user *name*, whose own *limit* goes before the general one; False: refused."""
        return self._add(USER + name, limit or self._limits.sessions_per_user)

    def leave_user(self, name: str) -> None:
        """A session that :meth:`enter_user` counted has ended."""
        self._remove(USER + name)

    def remembers(self, address: str) -> bool:
        """Whether a login from *address* has failed and not been forgotten."""
        return bool(self._records) and self._look_up(address) is not None

    def banned(self, address: str) -> bool:
        """Whether *address* may not even try."""
        record = self._look_up(address)
        return record is not None and record.banned_until > self._clock()

    def guesses_left(self, address: str) -> int:
        """How many logins from *address*, which is not banned, may be judged at once without passing a ban."""
        limits = self._limits
        if not limits.ban_after:
            return sys.maxsize
        record = self._look_up(address)
        if record is None or self._clock() - record.last > limits.ban_time:
            return max(limits.ban_after // self._judges, 1)
        return max((limits.ban_after - record.failures) // self._judges, 1)

    def failed(self, address: str) -> float:
        """Note a failed login; the seconds to wait before the peer is told."""
        now = self._clock()
        limits = self._limits
        with self._alone():
            record = self._look_up(address)
            if record is None or now - record.last > limits.ban_time:
                record = _Record(0, now)
            record.failures += 1
            record.last = now
            if limits.ban_after and record.failures >= limits.ban_after:
                record.banned_until = now + limits.ban_time
            self._note(address, record)
        return float(limits.login_delay * 2 ** min(record.failures - 1, MAX_DOUBLINGS))

    def succeeded(self, address: str) -> None:
        """A login from *address* went well: its failures are forgotten, a ban is not."""
        record = self._look_up(address)
        if record is not None and record.banned_until <= self._clock():
            with self._alone():
                self._forget(address)

    # Where it is written down

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        return _NOBODY_ELSE

    def _enter(self, limit: int) -> bool:
        if limit and self._connections >= limit:
            return False
        self._connections += 1
        return True

    def _leave(self) -> None:
        self._connections -= 1

    def _add(self, key: str, limit: int) -> bool:
        count = self._counts.get(key, 0)
        if limit and count >= limit:
            return False
        self._counts[key] = count + 1
        return True

    def _remove(self, key: str) -> None:
        count = self._counts.get(key, 0)
        if count > 1:
            self._counts[key] = count - 1
        else:
            self._counts.pop(key, None)

    def _look_up(self, address: str) -> _Record | None:
        return self._records.get(peer_key(address)) if self._records else None

    def _note(self, address: str, record: _Record) -> None:
        key = peer_key(address)
        self._records[key] = record
        self._records.move_to_end(key)
        while len(self._records) > MAX_REMEMBERED:
            self._records.popitem(last=False)

    def _forget(self, address: str) -> None:
        self._records.pop(peer_key(address), None)


_NOBODY_ELSE: contextlib.AbstractContextManager[None] = contextlib.nullcontext()


class SharedGuard(Guard):
    """A guard of one worker, whose books all workers share."""

    def __init__(self, limits: LimitsConfig, books: WorkerBooks) -> None:
        super().__init__(limits)
        self._books = books.books
        self._worker = books.number
        self._judges = books.books.workers

    @property
    def connections(self) -> int:
        """Connections that stand, of all workers together."""
        return sum(self._books.connections.counts())

    def remembers(self, address: str) -> bool:
        return not self._books.failures.all_forgotten(self._clock()) and self._look_up(address) is not None

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        return self._books.locked()

    def _enter(self, limit: int) -> bool:
        connections = self._books.connections
        if connections.enter(self._worker, limit):
            return True
        # They may be just as many as there can be, or one that is just being refused was counted.
        with self._books.locked():
            return connections.enter_last(self._worker, limit)

    def _leave(self) -> None:
        self._books.connections.leave(self._worker)

    def _add(self, key: str, limit: int) -> bool:
        if not limit:
            return self._books.sessions.add(key, self._worker, 0)
        with self._books.locked():
            return self._books.sessions.add(key, self._worker, limit)

    def _remove(self, key: str) -> None:
        self._books.sessions.remove(key, self._worker)

    def _look_up(self, address: str) -> _Record | None:
        failures = self._books.failures
        if failures.all_forgotten(self._clock()):
            return None
        found = failures.get(peer_key(address))
        return _Record(*found) if found is not None else None

    def _note(self, address: str, record: _Record) -> None:
        failures = self._books.failures
        failures.put(peer_key(address), record.failures, record.last, record.banned_until)
        # After so long neither failures count any more nor a ban.
        failures.remember_until(record.last + self._limits.ban_time)

    def _forget(self, address: str) -> None:
        self._books.failures.put(peer_key(address), 0, 0.0, 0.0)
