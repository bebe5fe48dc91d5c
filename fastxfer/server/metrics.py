"""Counters for Prometheus. Needs the extra ``metrics``.

Several workers tell each other what they have counted, so that whichever is asked tells what all have. What a worker
that died had told goes on being counted by the one that takes its place.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Histogram
    from prometheus_client.metrics_core import Metric

    from fastxfer.server.reports import Reports

__all__ = ["Metrics", "TransferCounts"]

Samples: TypeAlias = "dict[str, list[tuple[str, dict[str, str], float]]]"
"""By metric: the name, labels and value of each sample."""
PUBLISH_AFTER = 1.0
"""Seconds after which others are told anew."""
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
        self._reports: Reports | None = None
        self._worker = 0
        self._before: Samples = {}
        self._published = float("-inf")

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

    def share(self, reports: Reports, worker: int) -> None:
        """Count together with other workers, as number *worker*, by way of *reports*."""
        self._reports = reports
        self._worker = worker
        kinds = {family.name: family.type for family in self.registry.collect()}
        # Sessions and transfers under way have ended with the worker that had this number before.
        self._before = {
            name: samples for name, samples in _samples_in(reports.read(worker)).items() if kinds[name] != "gauge"
        }
        self.publish()

    def publish(self) -> None:
        """Tell other workers, if there are any and it is time to."""
        now = time.monotonic()
        if self._reports is None or now - self._published < PUBLISH_AFTER:
            return
        self._published = now
        told = {
            family.name: [(sample.name, sample.labels, sample.value) for sample in family.samples]
            for family in self._own()
        }
        self._reports.write(self._worker, json.dumps(told).encode())

    def _own(self) -> list[Metric]:
        families = list(self.registry.collect())
        _add(families, self._before)
        return families

    def collect(self) -> Iterable[Metric]:
        """What all workers have counted: what this one has now, and the others up to a second ago."""
        families = self._own()
        reports = self._reports
        if reports is not None:
            for worker in range(reports.workers):
                if worker != self._worker:
                    _add(families, _samples_in(reports.read(worker)))
        return families

    def text(self) -> bytes:
        """Everything in the text format of Prometheus."""
        from prometheus_client import CollectorRegistry, generate_latest

        everybody = CollectorRegistry()
        everybody.register(self)
        return generate_latest(everybody)


def _samples_in(report: bytes) -> Samples:
    return json.loads(report) if report else {}


def _add(families: list[Metric], more: Samples) -> None:
    """Add *more* to the samples of the *families*."""
    for family in families:
        places = {(sample.name, *sorted(sample.labels.items())): at for at, sample in enumerate(family.samples)}
        for name, labels, value in more.get(family.name, ()):
            at = places.get((name, *sorted(labels.items())))
            if at is None:
                family.add_sample(name, labels, value)
                continue
            mine = family.samples[at]
            # When counting began is a moment.
            total = min(mine.value, value) if name.endswith("_created") else mine.value + value
            family.samples[at] = mine._replace(value=total)
