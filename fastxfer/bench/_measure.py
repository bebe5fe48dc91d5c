"""What one operation cost: time, CPU, latencies and memory of this process and the children it waited for."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fastxfer.bench._work import Work


@dataclass
class Measurement:
    """The cost of one operation done many times.

    Attributes:
        op: name of the operation.
        size: bytes of each file.
        concurrency: operations in flight.
        operations: how many were done, failed ones left out.
        failed: how many failed.
        bytes: payload moved.
        seconds: wall clock.
        cpu_seconds: user and system time of the client and the children it waited for; None if unknown.
        p50_us, p99_us: latency quantiles in microseconds; None where single operations cannot be timed.
        peak_kib: highest resident memory of the client in KiB; None if unknown.
        error: text of the first failure, or "".
    """

    op: str
    size: int
    concurrency: int
    operations: int
    seconds: float
    failed: int = 0
    bytes: int = 0
    cpu_seconds: float | None = None
    p50_us: float | None = None
    p99_us: float | None = None
    peak_kib: int | None = None
    error: str = ""

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.operations / self.seconds if self.seconds else 0.0

    @property
    def megabytes_per_second(self) -> float:
        """Payload in 10**6 bytes per second."""
        return self.bytes / self.seconds / 1e6 if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Recorder:
    """Takes the latencies of one operation while it is measured."""

    nanoseconds: list[int] = field(default_factory=list)
    done: int = 0
    bytes: int = 0
    failed: int = 0
    error: str = ""
    in_children: bool = False
    """The work is done by child processes, whose memory is not known."""

    def add(self, latencies: Sequence[int], size: int) -> None:
        """Add operations that moved *size* bytes each and took *latencies* nanoseconds."""
        self.nanoseconds.extend(latencies)
        self.done += len(latencies)
        self.bytes += size * len(latencies)

    def add_untimed(self, count: int, size: int) -> None:
        """Add *count* operations that could not be timed one by one."""
        self.done += count
        self.bytes += size * count

    def fail(self, error: BaseException | str, count: int = 1) -> None:
        """Count failures; the first one's text is kept."""
        self.failed += count
        self.error = self.error or (error if isinstance(error, str) else f"{type(error).__name__}: {error}")


class Meter:
    """Measures operations and hands each result over.

    Args:
        report: called with each finished measurement.
        begin: called with the operation's name just before its clock starts.

    Attributes:
        report: the same, for work that was measured elsewhere.
    """

    def __init__(self, report: Callable[[Measurement], None], begin: Callable[[str], None] | None = None) -> None:
        self.report = report
        self._begin = begin

    @contextmanager
    def operation(self, op: str, work: Work) -> Iterator[Recorder]:
        """Time the body of the ``with`` block as *op*."""
        recorder = Recorder()
        if self._begin is not None:
            self._begin(op)
        reset_peak_memory()
        cpu, start = cpu_seconds(), time.perf_counter()
        try:
            yield recorder
        except Exception as error:
            recorder.fail(error, max(1, work.count - recorder.done - recorder.failed))
        seconds, spent = time.perf_counter() - start, cpu_seconds() - cpu
        p50, p99 = quantiles(recorder.nanoseconds)
        self.report(
            Measurement(
                op=op,
                size=work.size,
                concurrency=work.concurrency,
                operations=recorder.done,
                seconds=seconds,
                failed=recorder.failed,
                bytes=recorder.bytes,
                cpu_seconds=spent,
                p50_us=p50,
                p99_us=p99,
                peak_kib=None if recorder.in_children else peak_memory_kib(),
                error=recorder.error,
            )
        )


def quantiles(nanoseconds: Sequence[int]) -> tuple[float | None, float | None]:
    """The median and the 99th percentile in microseconds (nearest rank); None for no samples."""
    if not nanoseconds:
        return None, None
    ordered = sorted(nanoseconds)
    last = len(ordered) - 1
    return ordered[last // 2] / 1e3, ordered[min(last, round(last * 0.99))] / 1e3


def cpu_seconds() -> float:
    """User and system time of this process and of the children it has waited for."""
    try:
        import resource
    except ImportError:
        return time.process_time()
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def reset_peak_memory() -> None:
    """Start a new high-water mark where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory_kib() -> int | None:
    """The highest resident memory since the last reset, in KiB; on systems without a reset, since the start."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak
