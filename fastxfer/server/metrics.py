"""Counters for Prometheus. Needs the extra ``metrics``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Histogram

__all__ = ["Metrics", "TransferCounts"]

SECONDS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0, 1800.0)


class TransferCounts:
    """What transfers of one kind are counted in."""

    __slots__ = ("_bytes", "_seconds", "_transfers")

    def __init__(self, transfers: Counter, moved: Counter, seconds: Histogram) -> None:
        self._transfers = transfers
        self._bytes = moved
        self._seconds = seconds

    def enter(self, moved: int, duration: float) -> None:
        """Count one that has moved so many bytes in *duration* seconds."""
        self._transfers.inc()
        self._bytes.inc(moved)
        self._seconds.observe(duration)


class Metrics:
    """The metrics of one server, in a registry of their own.

    Raises:
        ImportError: prometheus-client is missing.
    """

    def __init__(self) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
        except ImportError as error:
            raise ImportError("metrics need prometheus-client: pip install 'fastxfer[metrics]'") from error
        registry = CollectorRegistry()
        self.registry: CollectorRegistry = registry
        self.sessions = Gauge("fastxfer_sessions", "FTP sessions that stand", registry=registry)
        self.opened = Counter("fastxfer_sessions_opened", "FTP sessions so far", registry=registry)
        self.refused = Counter("fastxfer_connections_refused", "Connections refused by a limit", registry=registry)
        self._logins = Counter("fastxfer_logins", "Logins", ["protocol", "result"], registry=registry)
        self.tls_failures = Counter("fastxfer_tls_failures", "TLS handshakes that failed", registry=registry)
        self.active = Gauge("fastxfer_transfers_active", "Transfers under way", registry=registry)
        self._transfers = Counter(
            "fastxfer_transfers", "Transfers that ended", ["protocol", "direction", "result"], registry=registry
        )
        self._bytes = Counter("fastxfer_bytes", "Bytes of files moved", ["protocol", "direction"], registry=registry)
        self._seconds = Histogram(
            "fastxfer_transfer_seconds", "Duration of transfers", ["direction"], buckets=SECONDS, registry=registry
        )
        self._login_counts: dict[tuple[str, str], Counter] = {}
        self._transfer_counts: dict[tuple[str, str, bool], TransferCounts] = {}

    # Labels are looked up once for each kind: that costs more than counting does.

    def count_login(self, protocol: str, result: str) -> None:
        """Count a login: ``"ok"``, ``"failed"``, ``"refused"``."""
        count = self._login_counts.get((protocol, result))
        if count is None:
            count = self._login_counts[protocol, result] = self._logins.labels(protocol, result)
        count.inc()

    def transfers(self, protocol: str, direction: str, *, ok: bool) -> TransferCounts:
        """What transfers of this kind are counted in."""
        key = protocol, direction, ok
        counts = self._transfer_counts.get(key)
        if counts is None:
            counts = self._transfer_counts[key] = TransferCounts(
                self._transfers.labels(protocol, direction, "ok" if ok else "failed"),
                self._bytes.labels(protocol, direction),
                self._seconds.labels(direction),
            )
        return counts

    def text(self) -> bytes:
        """Everything in the text format of Prometheus."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)
