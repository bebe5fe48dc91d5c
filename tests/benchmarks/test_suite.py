"""The suite itself, at a thousandth of its work: figures mean nothing, but all of it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ("fastxfer", "fastxfer asyncio", "bare loop")


def suite(out: Path, *arguments: str, fails: bool = False) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FASTXFER_BENCH_")}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.macro", "--out", str(out), *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert bool(done.returncode) is fails, done.stderr
    return done.stderr


def results(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="processes are measured by /proc")
@pytest.mark.parametrize(
    ("scenario", "ours"),
    [
        ("fdfs-small-1", CLIENTS),
        ("ftp-small-1", CLIENTS),
        ("ftpd-small-1", ("fastxfer", "fastxfer, 2 workers")),
        ("http-small", ("fastxfer", "aiohttp")),
    ],
)
def test_a_scenario_of_each_family_measures_every_peer_or_says_why_not(
    tmp_path: Path, scenario: str, ours: tuple[str, ...]
) -> None:
    suite(tmp_path, "--short", "--scale", "0.001", "--repetitions", "1", "--only", scenario)
    (first, *_) = results(tmp_path)["scenarios"]
    (point,) = first["points"]
    assert first["name"] == scenario
    assert {name: point["failures"][name] for name in ours if name in point["failures"]} == {}
    for name in ours:
        for op in first["ops"]:
            (measured,) = point["runs"][name][op]
            assert measured["operations"] > 0
            assert measured["failed"] == 0
    from benchmarks.macro.families import PEERS

    for peer in PEERS[first["family"]]:
        assert peer.name in {*point["runs"], *point["failures"], *first["missing"]}
    report = (tmp_path / "report.md").read_text()
    for chart in (line for line in report.splitlines() if line.startswith("![")):
        assert (tmp_path / chart.rpartition("(")[2].rstrip(")")).exists()


def test_a_run_that_was_broken_off_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    how = ("--short", "--scale", "0.001", "--repetitions", "1", "--only", "fdfs-mib-1")
    suite(tmp_path, *how)
    before = results(tmp_path)["scenarios"]
    log = suite(tmp_path, *how, "--only", "fdfs-small-1", "--go-on")
    first, second = sorted(results(tmp_path)["scenarios"], key=lambda scenario: scenario["name"])[:2]
    assert first == before[0]
    assert second["name"] == "fdfs-small-1"
    assert "fdfs-mib-1" not in log


def test_results_of_another_kind_of_run_are_not_gone_on_with(tmp_path: Path) -> None:
    document = {"mode": "full", "scale": 1.0, "repetitions": 0, "machine": {"fastxfer": ""}, "scenarios": []}
    (tmp_path / "results.json").write_text(json.dumps(document))
    log = suite(tmp_path, "--short", "--only", "fdfs-small-1", "--go-on", fails=True)
    assert "mode full, not short" in log
