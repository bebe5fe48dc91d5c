"""How measurements become figures, figures ratios, and ratios verdicts."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.macro.metrics import ratio, spread, value
from benchmarks.macro.promises import TARGETS
from benchmarks.macro.report import render
from benchmarks.macro.scenarios import SCENARIOS
from benchmarks.macro.targets import Target, judge


def run(operations: int = 100, seconds: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"operations": operations, "seconds": seconds, "bytes": 0, "failed": 0, "error": "", **more}


def document(**runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Results of one scenario with one operation, ``get``."""
    return {
        "mode": "short",
        "machine": {},
        "interpreter_kib": 10 * 1024,
        "scenarios": [
            {
                "name": "s",
                "title": "S",
                "server": "",
                "ops": ["get"],
                "axis": "",
                "missing": {},
                "versions": {},
                "roles": {},
                "points": [
                    {
                        "load": {"size": 4096, "count": 100, "concurrency": 1, "entries": 0},
                        "runs": {name: {"get": of_it} for name, of_it in runs.items()},
                        "failures": {},
                    }
                ],
            }
        ],
    }


def test_a_figure_is_the_median_of_the_repetitions_that_did_something() -> None:
    runs = [run(100), run(300), run(200), run(0)]
    assert value(runs, "ops_per_s") == 200
    assert spread(runs, "ops_per_s") == (100, 300)


def test_a_figure_that_nobody_measured_is_none() -> None:
    assert value([run(p50_us=None)], "p50_us") is None
    assert value([run()], "mb_per_s") is None
    assert value([], "ops_per_s") is None


def test_a_ratio_compares_what_was_measured_moments_apart() -> None:
    # In the second repetition the machine was slow for both: the ratio of medians would say 100 / 50.
    ours, theirs = [run(100), run(10), run(100)], [run(50), run(5), run(50)]
    assert ratio(ours, theirs, "ops_per_s") == 2
    assert ratio([run(100), run(0)], [run(50), run(50)], "ops_per_s") == 2


@pytest.mark.parametrize(("rate", "met"), [(150, True), (151, False)])
def test_a_rate_is_held_to_the_best_of_the_rivals(rate: int, met: bool) -> None:
    target = Target("s", "get", "ops_per_s", "ours", ("slow", "quick", "absent"), 2.0)
    (verdict,) = judge(document(ours=[run(300)], slow=[run(10)], quick=[run(rate)]), (target,))
    assert (verdict.rival, verdict.met) == ("quick", met)


def test_a_cost_is_held_to_the_thriftiest_rival() -> None:
    target = Target("s", "get", "client_cpu_ms_per_op", "ours", ("thrifty", "dear"), 1.0)
    results = document(ours=[run(cpu_seconds=1.1)], thrifty=[run(cpu_seconds=1.0)], dear=[run(cpu_seconds=5)])
    (verdict,) = judge(results, (target,))
    assert verdict.rival == "thrifty"
    assert verdict.met is False


def test_memory_is_held_to_a_figure_above_a_bare_interpreter() -> None:
    target = Target("s", "get", "client_peak_mib", "ours", (), 25, above_interpreter=True)
    (verdict,) = judge(document(ours=[run(peak_kib=34 * 1024)]), (target,))
    assert (verdict.seen, verdict.met) == (24, True)
    (verdict,) = judge(document(ours=[run(peak_kib=36 * 1024)]), (target,))
    assert (verdict.seen, verdict.met) == (26, False)


def test_a_target_without_a_rival_that_was_measured_is_not_judged() -> None:
    target = Target("s", "get", "ops_per_s", "ours", ("absent",), 1.0)
    (verdict,) = judge(document(ours=[run()]), (target,))
    assert verdict.met is None
    assert "absent" in verdict.rival


def test_a_target_of_a_scenario_that_was_not_run_is_left_out() -> None:
    assert not list(judge(document(), (Target("other", "get", "ops_per_s", "ours", ("x",), 1.0),)))


def test_every_target_is_of_a_scenario_an_operation_and_peers_that_there_are() -> None:
    from benchmarks.macro.families import PEERS

    scenarios = {scenario.name: scenario for scenario in SCENARIOS}
    for target in TARGETS:
        scenario = scenarios[target.scenario]
        names = set(scenario.peers) or {peer.name for peer in PEERS[scenario.family]}
        assert target.op in scenario.ops, target
        assert {target.ours, *target.against} <= names, target


def test_the_report_names_who_is_missing_and_who_failed(tmp_path: Any) -> None:
    results = document(ours=[run()], other=[run(failed=3, error="no such file")])
    results["scenarios"][0]["missing"] = {"absent": "not on PATH"}
    page = render(results, tmp_path, "Results")
    assert "- absent: missing: not on PATH" in page
    assert "other (3 failed: no such file)" in page
