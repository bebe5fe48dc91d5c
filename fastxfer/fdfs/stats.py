"""What a client tells of itself."""

from __future__ import annotations

from dataclasses import dataclass

from fastxfer.fdfs.cluster import Cluster
from fastxfer.net.connection import Connection
from fastxfer.net.pool import PoolBook, PoolStats

__all__ = ["ClientStats", "client_stats"]


@dataclass(frozen=True)
class ClientStats:
    """A snapshot of a client.

    Attributes:
        connections: by server, ``host:port``.
        down: servers that failed lately, and for how many seconds more they are passed over.
        groups: the storage servers known of each group that are in service.
    """

    connections: dict[str, PoolStats]
    down: dict[str, float]
    groups: dict[str, list[str]]


def client_stats(book: PoolBook[Connection] | None, cluster: Cluster) -> ClientStats:
    """Gather the figures."""
    return ClientStats(
        {str(address): stats for address, stats in (book.stats() if book else {}).items()},
        {str(address): seconds for address, seconds in cluster.health.snapshot().items()},
        {
            name: [str(member.address) for member in group.active if member.readable]
            for name, group in list(cluster.groups.items())
        },
    )
