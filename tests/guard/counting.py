"""Counting what a run of :mod:`tests.guard.workloads` costs: system calls (strace) and instructions (callgrind)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOT_WORK = re.compile(
    r"futex|clock_|nanosleep|mmap|mremap|munmap|mprotect|madvise|brk|sched_|rt_sig|restart_syscall|membarrier|gettid|getpid"
    r"|poll|epoll_|select|clone|exit|getrandom|rseq|set_robust_list|set_tid_address|prlimit"
)
"""Memory, waiting and threads: how often they are called depends on what else the machine does."""


def workload(name: str, count: int, *arguments: str) -> list[str]:
    """The command that runs a workload."""
    return [sys.executable, str(Path(__file__).with_name("workloads.py")), name, str(count), *arguments]


def traced(report: Path, command: Sequence[str]) -> list[str]:
    """*command* under strace, which writes its table to *report*."""
    return ["strace", "-f", "-qq", "-c", "-o", str(report), *command]


def read_system_calls(report: Path) -> Counter[str]:
    """System calls that succeeded, by name, from strace's table."""
    calls: Counter[str] = Counter()
    for line in report.read_text().splitlines():
        fields = line.split()
        if len(fields) in (5, 6) and fields[3].isdigit() and fields[-1] != "total" and not NOT_WORK.match(fields[-1]):
            calls[fields[-1]] = int(fields[3]) - (int(fields[4]) if len(fields) == 6 else 0)
    return calls


def environment() -> dict[str, str]:
    """Ours, so that the child finds the same package."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONDONTWRITEBYTECODE": "1"}


def run_quietly(command: Sequence[str]) -> str:
    """Run *command* in the project's root; what it wrote to standard error."""
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100, env=environment()
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr


def per_operation(few: Counter[str], many: Counter[str], operations: int) -> dict[str, float]:
    """System calls of one operation, from two runs that differ by *operations*."""
    found = {name: (many[name] - few[name]) / operations for name in few | many}
    return {name: round(amount, 2) for name, amount in sorted(found.items()) if amount >= 0.05}


def count_system_calls(report: Path, few: int, many: int, run: Callable[[int, Path], object]) -> dict[str, float]:
    """System calls of one operation; *run* is given how many to do and where strace's table is to go."""
    counts = []
    for amount in (few, many):
        run(amount, report)
        counts.append(read_system_calls(report))
    return per_operation(counts[0], counts[1], many - few)


def read_instructions(report: Path) -> dict[str, int]:
    """Instructions of a run, from callgrind's output: all, and those of our own modules without what they call."""
    paths: dict[str, str] = {}
    counted = {"all": 0, "own": 0}
    here = ""
    of_a_call = False
    for line in report.read_text().splitlines():
        if found := re.fullmatch(r"c?ob=(\(\d+\))(?: (.+))?", line):
            paths.setdefault(found[1], found[2] or "")
            here = here if line.startswith("c") else paths[found[1]]
        elif line.startswith("calls="):
            of_a_call = True
        elif re.match(r"[-+*\d]", line):
            cost = 0 if of_a_call else int(line.split()[1])
            of_a_call = False
            counted["all"] += cost
            counted["own"] += cost if "/fastxfer/_ext/" in here else 0
    return counted


def count_instructions(report: Path, name: str, few: int, many: int) -> dict[str, float]:
    """Instructions of one operation under callgrind."""
    totals = []
    for amount in (few, many):
        run_quietly(["valgrind", "--tool=callgrind", f"--callgrind-out-file={report}", *workload(name, amount)])
        totals.append(read_instructions(report))
    return {part: (totals[1][part] - totals[0][part]) / (many - few) for part in totals[0]}
