"""One congestion control for every party: a small preloaded library, see congestion.c."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.macro.compile import CompileError, compiled


@functools.cache
def _library() -> tuple[str, str]:
    """The preload library and, when there is none, why."""
    if not sys.platform.startswith("linux"):
        return "", "the system's default (only Linux offers the choice)"
    try:
        return compiled("congestion.c", "-shared", "-fPIC", "-ldl"), ""
    except CompileError as error:
        return "", f"{default()} (the system's default: {error})"


def default() -> str:
    """The system's congestion control."""
    try:
        return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    except OSError:
        return "unknown"


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """*base* with the library preloaded, if there is one."""
    library, _ = _library()
    if not library:
        return dict(base)
    return {**base, "LD_PRELOAD": " ".join(filter(None, (base.get("LD_PRELOAD", ""), library)))}


def describe() -> str:
    """What the parties of a run use, for the report."""
    library, reason = _library()
    if not library:
        return reason
    return (
        "cubic for all (reno for servers that gave up the right to choose cubic); servers started elsewhere keep theirs"
    )
