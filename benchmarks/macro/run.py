"""Runs scenarios: every repetition goes once round all peers, starting with another one each time."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.macro import machine
from benchmarks.macro.client import WorkerError
from benchmarks.macro.families import field_of
from benchmarks.macro.family import Field, Party
from benchmarks.macro.scenario import Load, Scenario
from benchmarks.macro.servers.program import ServerError


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def scratch_folder() -> Path:
    """Where files live while they are moved: memory where there is some, so that no disk is measured."""
    shared = Path("/dev/shm")  # noqa: S108
    base = shared if shared.is_dir() and shutil.disk_usage(shared).free > 8 << 30 else None
    folder = Path(tempfile.mkdtemp(prefix="fastxfer-bench-", dir=base))
    folder.chmod(0o755)
    return folder


def run_scenario(scenario: Scenario, short: bool, scale: float = 1.0, repetitions: int = 0) -> dict[str, Any]:
    """Run one scenario; its part of the results.

    Args:
        scenario: what is to be compared.
        short: its short run.
        scale: how much of the work is done.
        repetitions: how often; 0 for as often as it declares.
    """
    folder = scratch_folder()
    started = time.monotonic()
    result: dict[str, Any] = {
        "name": scenario.name,
        "title": scenario.title,
        "family": scenario.family,
        "ops": list(scenario.ops),
        "axis": scenario.axis,
        "metric": scenario.metric,
        "tls": scenario.tls,
        "load_before": machine.load(),
        "points": [],
    }
    try:
        with field_of(scenario, folder) as field:
            result |= {
                "server": field.server,
                "missing": field.missing,
                "versions": {party.peer.name: party.version for party in field.parties},
                "roles": {party.peer.name: _role(party) for party in field.parties},
            }
            for name, reason in field.missing.items():
                say(f"  {name}: missing ({reason})")
            repetitions = repetitions or (max(2, scenario.repetitions // 3) if short else scenario.repetitions)
            for load in scenario.short if short else scenario.full:
                result["points"].append(_run_point(field, scenario, load.scaled(scale), repetitions))
    except ServerError as error:
        result["error"] = f"the server did not start: {error}"
        say(f"  {result['error']}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result["seconds"] = round(time.monotonic() - started, 1)
    return result


def _role(party: Party) -> str:
    return "ours" if party.peer.ours else "limit" if party.peer.limit else "peer"


def _run_point(field: Field, scenario: Scenario, load: Load, repetitions: int) -> dict[str, Any]:
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
    failures: dict[str, str] = {}
    for repetition in range(repetitions):
        for party in _rotated(field.parties, repetition):
            name = party.peer.name
            if name in failures:
                continue
            if load.concurrency > party.peer.most:
                failures[name] = f"left out: one such client per process or thread, at most {party.peer.most}"
                continue
            try:
                measured = party.run(scenario, load)
            except WorkerError as error:
                failures[name] = str(error)
                say(f"  {name}: failed ({error})")
                continue
            for measurement in measured:
                runs.setdefault(name, {}).setdefault(measurement["op"], []).append(measurement)
                _tell(name, measurement)
    return {"load": asdict(load), "runs": runs, "failures": failures}


def _rotated(parties: Sequence[Party], by: int) -> list[Party]:
    turn = by % len(parties) if parties else 0
    return [*parties[turn:], *parties[:turn]]


def _tell(name: str, measurement: dict[str, Any], out: Callable[[str], None] = say) -> None:
    seconds = measurement["seconds"] or 1e-9
    megabytes = f"{measurement['bytes'] / seconds / 1e6:9.1f} MB/s" if measurement["bytes"] else " " * 14
    cpu = measurement.get("cpu_seconds")
    spent = f"{cpu * 1e3 / max(1, measurement['operations']):8.4f} ms CPU" if cpu is not None else ""
    failed = f"  FAILED {measurement['failed']}: {measurement['error']}" if measurement["failed"] else ""
    out(f"  {name:28} {measurement['op']:14} {measurement['operations'] / seconds:10.1f}/s {megabytes} {spent}{failed}")
