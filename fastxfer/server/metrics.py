"""Counters for Prometheus. Needs the extra ``metrics``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["Metrics"]

SECONDS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0, 1800.0)


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
        self.logins = Counter("fastxfer_logins", "Logins", ["protocol", "result"], registry=registry)
        self.tls_failures = Counter("fastxfer_tls_failures", "TLS handshakes that failed", registry=registry)
        self.active = Gauge("fastxfer_transfers_active", "Transfers under way", registry=registry)
        self.transfers = Counter(
            "fastxfer_transfers", "Transfers that ended", ["protocol", "direction", "result"], registry=registry
        )
        self.bytes = Counter("fastxfer_bytes", "Bytes of files moved", ["protocol", "direction"], registry=registry)
        self.seconds = Histogram(
            "fastxfer_transfer_seconds", "Duration of transfers", ["direction"], buckets=SECONDS, registry=registry
        )

    def text(self) -> bytes:
        """Everything in the text format of Prometheus."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)
