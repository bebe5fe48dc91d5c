"""What the figures were measured on and with."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.macro import congestion


def describe() -> dict[str, Any]:
    """The machine, the system and the versions that matter to all scenarios."""
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.release()}",
        "virtual": _virtual(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "fastxfer": _fastxfer(),
        "congestion_control": congestion.describe(),
        "load_before": load(),
    }


def load() -> float | None:
    """Processes that wanted a core during the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory_gib() -> float | None:
    if not hasattr(os, "sysconf"):
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _virtual() -> bool:
    try:
        return "hypervisor" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _fastxfer() -> str:
    import fastxfer

    git = shutil.which("git")
    if not git:
        return fastxfer.__version__
    folder = Path(__file__).parent
    done = subprocess.run(
        [git, "-C", str(folder), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return f"{fastxfer.__version__} {done.stdout.strip()}".strip()


def interpreter_kib() -> int | None:
    """Resident memory of a Python interpreter that does nothing, in KiB: what every Python peer starts with."""
    code = "print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmHWM:')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 else None
