"""What a client knows of its cluster: who is up, which server a file ID means, where uploads go.

All of it was learnt from a tracker and may be stale; the plans treat it as a hint and ask again when anything is off.
Methods are safe to call from several threads: each change replaces a whole value.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic

from fastxfer.core.wire import FileId
from fastxfer.fdfs.config import Settings
from fastxfer.fdfs.steps import Control
from fastxfer.fdfs.types import StorageInfo, StorageStatus
from fastxfer.net.address import Address

__all__ = ["Cluster", "Group", "Member", "UploadTargets"]

_log = logging.getLogger("fastxfer.fdfs")

_FIRST_PENALTY = 1.0
_LONGEST_PENALTY = 30.0
"""Seconds for which a server that failed is passed over; doubled with each failure in a row."""

_FRESH = 10.0
"""What a tracker said so many seconds ago at most still proves that a file's source is in service."""

_REPLICATED = 10
"""Files younger than so many seconds are read from their source even where replicas are wanted."""


class Health:
    """Which servers failed lately.

    Attributes:
        down: by server, until when it is passed over and how often it has failed in a row; mostly empty.
    """

    __slots__ = ("down",)

    def __init__(self) -> None:
        self.down: dict[Address, tuple[float, int]] = {}

    def up(self, address: Address) -> bool:
        """Whether to go there: it has not failed lately, or long enough ago to try again."""
        mark = self.down.get(address)
        return mark is None or monotonic() >= mark[0]

    def failed(self, address: Address) -> None:
        _, failures = self.down.get(address, (0.0, 0))
        penalty = min(_LONGEST_PENALTY, _FIRST_PENALTY * 2.0 ** min(failures, 10))
        self.down[address] = (monotonic() + penalty, failures + 1)
        _log.info("%s has failed; it is passed over for %.0f seconds", address, penalty)

    def worked(self, address: Address) -> None:
        if self.down and self.down.pop(address, None) is not None:
            _log.info("%s answers again", address)

    def sorted(self, addresses: Iterable[Address]) -> list[Address]:
        """Those that are up in the order given, then the others, the one whose penalty ends first in front."""
        down = self.down
        if not down:
            return list(addresses)
        now = monotonic()
        return sorted(addresses, key=lambda address: max(0.0, down.get(address, (0.0, 0))[0] - now))

    def snapshot(self) -> dict[Address, float]:
        """Seconds for which each server that failed is still passed over."""
        now = monotonic()
        return {address: until - now for address, (until, _) in list(self.down.items()) if until > now}


@dataclass(frozen=True)
class Member:
    """A storage server of a group.

    Attributes:
        active: the tracker takes it to be in service.
        readable, writable: what it may be used for.
        gone: taken out of the group.
    """

    address: Address
    active: bool
    readable: bool
    writable: bool
    gone: bool


class Due:
    """When something learnt is to be learnt anew: *at*, by the monotonic clock."""

    __slots__ = ("_age", "_lock", "at")

    def __init__(self, age: float) -> None:
        self._age = age
        self.at = monotonic() + age
        self._lock = threading.RLock()

    @property
    def passed(self) -> bool:
        return monotonic() >= self.at

    def claim(self) -> bool:
        """Whether the time has come; True to one caller only, and again later, should that one fail."""
        if monotonic() < self.at:
            return False
        with self._lock:
            if monotonic() < self.at:
                return False
            self.at = monotonic() + max(1.0, self._age)
            return True


class Group:
    """A group's servers as a tracker listed them.

    Attributes:
        members: by what file IDs name them with: storage ID or address. A key that two servers share is left out.
        servers: each server once.
        learned: monotonic time of the listing.
        due: when to ask again.
    """

    def __init__(self, storages: Iterable[StorageInfo], age: float) -> None:
        self.learned = monotonic()
        self.due = Due(age)
        self.members: dict[str, Member] = {}
        self.servers: list[Member] = []
        shared: set[str] = set()
        for storage in storages:
            member = _member(storage)
            self.servers.append(member)
            for key in {storage.id, storage.ip_addr}:
                if key in self.members:
                    shared.add(key)
                self.members[key] = member
        for key in shared:
            del self.members[key]
        self.active = [member for member in self.servers if member.active]


class UploadTargets:
    """Servers that take uploads, as a tracker named them, used in turn. *due* tells when to ask again."""

    __slots__ = ("addresses", "due", "turn")

    def __init__(self, addresses: list[Address], age: float) -> None:
        self.addresses = addresses
        self.due = Due(age)
        self.turn = itertools.count()

    def at_once(self, health: Health) -> Address | None:
        """The next one in turn; None where there is more to consider: it is time to ask again, or it has failed."""
        addresses = self.addresses
        if not addresses or monotonic() >= self.due.at:
            return None
        address = addresses[next(self.turn) % len(addresses)]
        return None if address in health.down else address

    def next(self, health: Health, without: Iterable[Address]) -> Address | None:
        """The next one in turn that is up and not among *without*."""
        addresses = self.addresses
        count = len(addresses)
        for _ in range(count):
            address = addresses[next(self.turn) % count]
            if address not in without and health.up(address):
                return address
        return None


Route = tuple[Address | None, Address | None, Due]
"""Where to read files of one source, where to change them (None: there is more to consider), until when that holds."""


class Cluster:
    """All of it together, and the settings it is used under.

    Attributes:
        routes: what :meth:`route` has found, by source and group; forgotten with every group that is learnt.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.config = settings.config
        self.health = Health()
        self.groups: dict[str, Group] = {}
        self.routes: dict[bytes, Route] = {}
        self.targets: dict[str | None, UploadTargets] = {}
        self._turn = itertools.count()
        self._straight = self.config.reads != "tracker"
        self._spread = self.config.reads == "replicas"

    def small_by_call(self, control: Control | None) -> bool:
        """Whether a few bytes may go by the shortest way: nobody follows them, and no limit counts them."""
        return (control is None or control.patient) and not self.settings.limits

    def trackers(self) -> list[Address]:
        """The trackers in the order in which to try them."""
        return self.health.sorted(self.settings.trackers)

    def learned(self, name: str, group: Group) -> None:
        """From now on *group* is what is known of the group *name*."""
        self.groups[name] = group
        self.routes.clear()

    def route(self, key: bytes, file: FileId) -> Route | None:
        """The ways to *file*'s source where they are always the same; then they are kept under *key*, too."""
        group = self.groups.get(file.group)
        member = None if group is None else group.members.get(file.source_ip or str(file.storage_id))
        if group is None or member is None or not self._straight:
            return None
        usable = member.active
        route = (
            member.address if usable and member.readable and not self._spread else None,
            member.address if usable and member.writable else None,
            group.due,
        )
        self.routes[key] = route
        if self.groups.get(file.group) is not group:
            # Another thread has learnt the group anew in the meantime.
            self.routes.pop(key, None)
        return route

    def at_once(self, file: FileId, update: bool) -> Address | None:
        """As :meth:`straight`; None also where it is time to learn the group's servers anew."""
        group = self.groups.get(file.group)
        if group is None or not self._straight or monotonic() >= group.due.at:
            return None
        return self._straight_in(group, file, update)

    def straight(self, file: FileId, update: bool) -> Address | None:
        """The server to ask about *file* without asking a tracker; None where the tracker must be asked first."""
        group = self.groups.get(file.group)
        if group is None or not self._straight:
            return None
        return self._straight_in(group, file, update)

    def _straight_in(self, group: Group, file: FileId, update: bool) -> Address | None:
        if self._spread and not update:
            replica = self._replica(file, group)
            if replica is not None:
                return replica
        member = group.members.get(file.source_ip or str(file.storage_id))
        if member is None or not member.active or not (member.writable if update else member.readable):
            return None
        address = member.address
        return address if not self.health.down or self.health.up(address) else None

    def wants_group(self, name: str) -> bool:
        """Whether the servers of that group are to be asked for, since nothing is known of them."""
        return self._straight and name not in self.groups

    def source(self, file: FileId) -> Member | None:
        """The server that *file*'s ID names, whatever its state; None where it is not (any more) in the group."""
        group = self.groups.get(file.group)
        return None if group is None else group.members.get(file.source_ip or str(file.storage_id))

    def is_fresh(self, name: str) -> bool:
        """Whether what is known of the group is new enough to prove something."""
        group = self.groups.get(name)
        return group is not None and monotonic() - group.learned <= _FRESH

    def others(self, file: FileId, without: Iterable[Address], *, update: bool) -> list[Address]:
        """The active servers of *file*'s group apart from those in *without*."""
        group = self.groups.get(file.group)
        if group is None:
            return []
        return [
            member.address
            for member in group.active
            if member.address not in without and (member.writable if update else member.readable)
        ]

    def forget_target(self, address: Address) -> None:
        """No more uploads to *address* until a tracker names it again."""
        for targets in list(self.targets.values()):
            targets.addresses = [other for other in targets.addresses if other != address]

    def _replica(self, file: FileId, group: Group) -> Address | None:
        if file.appender or file.slave or time.time() - file.created < _REPLICATED:
            return None
        readable = [member.address for member in group.active if member.readable and self.health.up(member.address)]
        return readable[next(self._turn) % len(readable)] if readable else None


def _member(storage: StorageInfo) -> Member:
    return Member(
        Address(storage.ip_addr, storage.storage_port),
        active=storage.status == StorageStatus.ACTIVE and 0 < storage.storage_port < 65536,
        readable=storage.readable,
        writable=storage.writable,
        gone=storage.status in (StorageStatus.DELETED, StorageStatus.IP_CHANGED, StorageStatus.NONE),
    )
