"""CPU time and memory of processes, read from /proc, and who listens where."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

SCHEDULER = 2
"""CPUCLOCK_SCHED of Linux: which of a process's clocks."""
TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on (field 3 of proc(5) is index 0)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def family(roots: Iterable[int]) -> set[int]:
    """*roots* and all their living descendants."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(_stat(int(entry))[1])
            except (OSError, IndexError):
                continue
    found = {pid for pid in roots if pid in parents}
    grown = True
    while grown:
        grown = False
        for pid, parent in parents.items():
            if parent in found and pid not in found:
                found.add(pid)
                grown = True
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time of the processes, their living descendants and the children they have waited for.

    stat(5) rounds down to ticks for each process, which would favour servers of many processes: the process's clock,
    which counts nanoseconds and threads that have ended, is read instead where it says more.
    """
    total = 0.0
    for pid in family(roots):
        try:
            ticks = [int(value) for value in _stat(pid)[11:15]]
            total += max(sum(ticks[:2]) / TICK, _scheduled_seconds(pid)) + sum(ticks[2:]) / TICK
        except (OSError, IndexError):
            continue
    return total


def _scheduled_seconds(pid: int) -> float:
    """Time on a processor of all threads of *pid*, by the clock that clock_getcpuclockid(3) names."""
    return time.clock_gettime((~pid << 3) | SCHEDULER)


def proportional_memory_kib(roots: Iterable[int]) -> int:
    """Proportional set size of the processes and their living descendants."""
    total = 0
    for pid in family(roots):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def peak_memory_kib(roots: Iterable[int]) -> int:
    """Sum of the high-water marks of the processes and their living descendants."""
    total = 0
    for pid in family(roots):
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return total


def reset_peak_memory(roots: Iterable[int]) -> None:
    """Start new high-water marks, where we are allowed to."""
    for pid in family(roots):
        try:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        except OSError:
            continue


def listeners(addresses: Iterable[tuple[str, int]]) -> set[int]:
    """Processes of this machine that listen on the IPv4 *addresses*; those that hide from us are left out."""
    wanted = {f"{_hex(host)}:{port:04X}" for host, port in addresses}
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[1] in wanted:
            inodes.add(f"socket:[{fields[9]}]")
    owners = set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            for descriptor in os.scandir(f"/proc/{entry}/fd"):
                if os.readlink(descriptor.path) in inodes:
                    owners.add(int(entry))
                    break
        except OSError:
            continue
    return owners


def _hex(host: str) -> str:
    """An IPv4 address as /proc/net/tcp of a little-endian machine writes it."""
    return "".join(f"{int(part):02X}" for part in reversed(host.split(".")))
