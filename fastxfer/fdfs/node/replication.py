"""Replication: what was changed on one storage is made the same on the others of its group, at once or later.

A change is a file name. To replicate it is to make the other storage's copy (file, metadata, link or slot of a trunk
file) what the source's is now, or to remove it where the source has none: doing it twice does no harm. Changes that
cannot be replicated yet are kept in a journal beside the data, so that a restarted node goes on where it was.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fastxfer.core.crc32 import crc32
from fastxfer.fdfs.node.files import READ, UPDATE, copy_range, copy_whole, read_at, unlink_quietly
from fastxfer.fdfs.node.names import TAIL, Location, parse_filename
from fastxfer.fdfs.node.statuses import Refused
from fastxfer.fdfs.node.store import META_SUFFIX, Store
from fastxfer.fdfs.node.trunk import HEADER_SIZE, Slot, clear_slot, open_slot, slot_of, write_slot
from fastxfer.fdfs.node.worker import logger


@dataclass(frozen=True)
class Change:
    """A file name of a group that was changed at *at* (seconds since 1970); *appended* tells that it only grew."""

    at: float
    filename: str
    appended: bool = False


@dataclass
class _Peer:
    name: str
    group: str
    store: Store
    journal: Path
    up: bool = False
    changes: dict[str, deque[Change]] = field(default_factory=dict)
    """What is still to be done, by the storage it comes from."""
    lock: threading.Lock = field(default_factory=threading.Lock)


class Replicator:
    """Keeps the storages of each group alike.

    Args:
        delay: seconds that a change waits; 0 carries it out before :meth:`changed` returns.
        on_copied: called with the names of source and target and the bytes of each change that was carried out.
    """

    def __init__(self, delay: float, on_copied: Callable[[str, str, int], None]) -> None:
        self.delay = delay
        self._on_copied = on_copied
        self._peers: dict[str, _Peer] = {}
        self._wanted = threading.Condition()
        self._stopping = False
        self._paused = False
        self._thread: threading.Thread | None = None

    def add(self, name: str, group: str, store: Store, journal: Path) -> None:
        """Make a storage known, and read what it had still to do."""
        peer = _Peer(name, group, store, journal)
        if journal.exists():
            for line in journal.read_text().splitlines():
                at, source, filename = line.split(" ")
                peer.changes.setdefault(source, deque()).append(Change(float(at), filename))
        self._peers[name] = peer

    def start(self) -> None:
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="fastxfer-node-replication", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        with self._wanted:
            self._stopping = True
            self._wanted.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def set_up(self, name: str, up: bool) -> None:
        """Tell that a storage runs, or does not; changes wait for both ends to run."""
        with self._wanted:
            self._peers[name].up = up
            self._wanted.notify_all()

    def pause(self) -> None:
        """Hold all replication until :meth:`resume`."""
        self._paused = True

    def resume(self) -> None:
        with self._wanted:
            self._paused = False
            self._wanted.notify_all()

    def changed(self, source: str, filename: str, *, appended: bool = False) -> None:
        """Tell of a change on *source*."""
        origin = self._peers[source]
        change = Change(time.time(), filename, appended)
        for peer in self._peers.values():
            if peer.group != origin.group or peer is origin:
                continue
            waiting = peer.changes.setdefault(source, deque())
            if not self.delay and not self._paused and peer.up and not waiting:
                with peer.lock:
                    self._apply(origin, peer, change)
                continue
            waiting.append(change)
            with peer.journal.open("a") as journal:
                journal.write(f"{change.at} {source} {filename}\n")
            with self._wanted:
                self._wanted.notify_all()

    def is_synchronised(self, name: str, until: int) -> bool:
        """Whether the storage has all changes that were made up to the second *until*."""
        return all(not waiting or waiting[0].at >= until + 1 for waiting in self._peers[name].changes.values())

    def waiting(self, name: str) -> int:
        """How many changes the storage has still to take."""
        return sum(map(len, self._peers[name].changes.values()))

    def drain(self, timeout: float) -> bool:
        """Wait until nothing can be done any more: False where that takes longer than *timeout* seconds."""
        deadline = time.monotonic() + timeout
        while any(True for _ in self._due(float("inf"))):
            if time.monotonic() > deadline:
                return False
            with self._wanted:
                self._wanted.notify_all()
            time.sleep(0.005)
        return True

    def _due(self, now: float) -> Iterable[tuple[_Peer, _Peer, deque[Change]]]:
        for peer in self._peers.values():
            for source, waiting in list(peer.changes.items()):
                origin = self._peers.get(source)
                if waiting and origin and origin.up and peer.up and waiting[0].at + self.delay <= now:
                    yield origin, peer, waiting

    def _run(self) -> None:
        while True:
            with self._wanted:
                if self._stopping:
                    return
                self._wanted.wait(0.02 if self._any_waiting() else 1.0)
            self._carry_out_due()

    def _carry_out_due(self) -> None:
        for origin, peer, waiting in self._due(time.time()):
            while self._may_go_on(peer) and waiting and waiting[0].at + self.delay <= time.time():
                with peer.lock:
                    self._apply(origin, peer, waiting[0])
                waiting.popleft()
            if not any(peer.changes.values()):
                unlink_quietly(str(peer.journal))

    def _may_go_on(self, peer: _Peer) -> bool:
        return peer.up and not self._paused and not self._stopping

    def _any_waiting(self) -> bool:
        return any(any(peer.changes.values()) for peer in self._peers.values() if peer.up)

    def _apply(self, origin: _Peer, peer: _Peer, change: Change) -> None:
        try:
            location = parse_filename(change.filename.encode(), peer.store.count, peer.store.subdir_count)
            with contextlib.suppress(FileNotFoundError):
                size = make_alike(origin.group, origin.store, peer.store, location, appended=change.appended)
                self._on_copied(origin.name, peer.name, size)
        except (OSError, Refused) as error:
            logger.warning("cannot replicate %s from %s to %s: %s", change.filename, origin.name, peer.name, error)


def make_alike(group: str, source: Store, target: Store, location: Location, *, appended: bool = False) -> int:
    """Make *target*'s file of that name what *source*'s is, and return how many bytes that took."""
    old, new = source.path(location), target.path(location)
    slot = slot_of(group, location)
    size = 0
    if slot is not None:
        size = _copy_slot(source, target, slot, location.filename)
    elif not os.path.lexists(old):
        unlink_quietly(new)
    else:
        target.make_directory(new)
        added = _append_missing(old, new) if appended else None
        if added is None:
            copy_whole(old, new)
        size = os.lstat(new).st_size if added is None else added
    if os.path.lexists(old + META_SUFFIX):
        target.make_directory(new)
        copy_whole(old + META_SUFFIX, new + META_SUFFIX)
    else:
        unlink_quietly(new + META_SUFFIX)
    return size


def _copy_slot(source: Store, target: Store, slot: Slot, filename: str) -> int:
    try:
        found = open_slot(source, slot, filename)
    except (Refused, FileNotFoundError):
        with contextlib.suppress(FileNotFoundError):
            clear_slot(target, slot)
        return 0
    try:
        content = read_at(found.fd, found.size, slot.offset + HEADER_SIZE)
    finally:
        os.close(found.fd)
    write_slot(target, slot, filename[-TAIL:], content, crc32(content), is_link=found.is_link)
    return found.size


def _append_missing(old: str, new: str) -> int | None:
    """Copy only what *new* has less than *old*, so many bytes; None where that cannot be told."""
    try:
        target = os.open(new, UPDATE)
    except FileNotFoundError:
        return None
    try:
        source = os.open(old, READ)
        try:
            have, wanted = os.fstat(target).st_size, os.fstat(source).st_size
            if have > wanted:
                return None
            copy_range(source, have, target, have, wanted - have)
            return wanted - have
        finally:
            os.close(source)
    finally:
        os.close(target)
