"""What a scenario declares."""

from __future__ import annotations

from dataclasses import dataclass, replace

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True)
class Load:
    """How much is done at one point of a scenario.

    Args:
        size: bytes of each file.
        count: how often each operation is done by each peer in one repetition.
        concurrency: operations in flight.
        entries: entries of the directory that is listed; 0 where none is.
    """

    size: int
    count: int
    concurrency: int = 1
    entries: int = 0

    def scaled(self, factor: float) -> Load:
        """*factor* times as much work: fewer files, or smaller ones where there is one for each in flight."""
        if factor == 1 or not self.size:
            return self
        if self.count > 8 * self.concurrency:
            return replace(self, count=max(8 * self.concurrency, round(self.count * factor)))
        if self.size >= 64 * MIB:
            return replace(self, size=max(16 * MIB, round(self.size * factor)))
        return self


@dataclass(frozen=True)
class Peer:
    """One party of a scenario.

    Args:
        name: what the report calls it.
        module: the worker under ``benchmarks.macro.peers`` or the server under ``benchmarks.macro.servers``.
        arguments: given to the worker.
        ours: whether it is fastxfer.
        limit: whether it is a bare loop that bounds the others.
        share: fraction of the count that it does (a process per operation would take for ever).
        serial_share: the same where only one operation is in flight.
        threads: it uses no more than so many, whatever the concurrency.
        most: the largest concurrency that it is asked for; above it is left out and said so.
    """

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    ours: bool = False
    limit: bool = False
    share: float = 1.0
    serial_share: float = 1.0
    threads: int = 1_000_000
    most: int = 1_000_000


@dataclass(frozen=True)
class Scenario:
    """One comparison.

    Args:
        name: used with ``--only``.
        title: heading of the report.
        family: which servers are started and which peers there are, see :mod:`benchmarks.macro.families`.
        ops: operations, in order.
        full: the points of the long run.
        short: the points of the short run.
        peers: names of the peers that take part; empty: all of the family.
        server: which server the clients talk to, in order of preference, for families of clients.
        axis: the field of :class:`Load` that a series varies; "" for a scenario of one point.
        metric: what a series shows.
        tls: over TLS.
        shares: peers that would take for ever, and the fraction of the count that each does.
        repetitions: of the long run; the short one does a third, at least two.
    """

    name: str
    title: str
    family: str
    ops: tuple[str, ...]
    full: tuple[Load, ...]
    short: tuple[Load, ...]
    peers: tuple[str, ...] = ()
    server: tuple[str, ...] = ()
    axis: str = ""
    metric: str = "ops_per_s"
    tls: bool = False
    shares: tuple[tuple[str, float], ...] = ()
    repetitions: int = 3
