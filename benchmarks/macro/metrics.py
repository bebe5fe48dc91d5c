"""From raw measurements to the figures that are compared."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

Run = dict[str, Any]
Metric = Callable[[Run], "float | None"]


def _per(amount: str, scale: float, count: str) -> Metric:
    def metric(run: Run) -> float | None:
        if run.get(amount) is None or not run.get(count):
            return None
        return float(run[amount]) * scale / float(run[count])

    return metric


def _plain(key: str, scale: float = 1.0) -> Metric:
    return lambda run: None if run.get(key) is None else float(run[key]) * scale


METRICS: dict[str, Metric] = {
    "ops_per_s": _per("operations", 1, "seconds"),
    "mb_per_s": lambda run: _per("bytes", 1e-6, "seconds")(run) or None,
    "p50_us": _plain("p50_us"),
    "p99_us": _plain("p99_us"),
    "client_cpu_ms_per_op": _per("cpu_seconds", 1e3, "operations"),
    "client_cpu_s_per_gb": _per("cpu_seconds", 1e9, "bytes"),
    "server_cpu_ms_per_op": _per("server_cpu_seconds", 1e3, "operations"),
    "server_cpu_s_per_gb": _per("server_cpu_seconds", 1e9, "bytes"),
    "client_peak_mib": _plain("peak_kib", 1 / 1024),
    "server_grown_kib_per_session": _per("server_grown_kib", 1, "concurrency"),
    "server_memory_mib": _plain("server_memory_kib", 1 / 1024),
}
HIGHER_IS_BETTER = frozenset({"ops_per_s", "mb_per_s"})


def value(runs: Sequence[Run], metric: str) -> float | None:
    """The median of *metric* over the repetitions that succeeded."""
    values = [found for run in runs if run["operations"] and (found := METRICS[metric](run)) is not None]
    return statistics.median(values) if values else None


def spread(runs: Sequence[Run], metric: str) -> tuple[float, float] | None:
    """Lowest and highest of *metric* over the repetitions."""
    values = [found for run in runs if run["operations"] and (found := METRICS[metric](run)) is not None]
    return (min(values), max(values)) if values else None


def ratio(ours: Sequence[Run], theirs: Sequence[Run], metric: str) -> float | None:
    """The median over the repetitions of ours divided by theirs: each pair was measured moments apart."""
    pairs = [
        (METRICS[metric](mine), METRICS[metric](other))
        for mine, other in zip(ours, theirs, strict=False)
        if mine["operations"] and other["operations"]
    ]
    ratios = [mine / other for mine, other in pairs if mine is not None and other]
    return statistics.median(ratios) if ratios else None
