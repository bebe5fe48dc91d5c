"""The readable report of a run: Markdown with charts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.macro import chart
from benchmarks.macro.metrics import HIGHER_IS_BETTER
from benchmarks.macro.promises import TARGETS
from benchmarks.macro.table import markdown, operation_table, scaled, series_table
from benchmarks.macro.targets import Verdict, judge

FACTS = (
    ("date", "Date"),
    ("cpu", "CPU"),
    ("cpus", "CPUs"),
    ("memory_gib", "Memory, GiB"),
    ("virtual", "Virtual machine"),
    ("system", "System"),
    ("python", "Python"),
    ("fastxfer", "fastxfer"),
    ("congestion_control", "TCP congestion control"),
    ("load_before", "Load average before"),
)
METHOD = """\
Each repetition goes once round all peers of a scenario, on the same servers, starting with another peer each time;
every client runs in a process of its own. The figures are medians over the repetitions, with the range in brackets.
Rates of separate runs must not be compared: only ratios within one run mean something, and on a shared machine
differences under about 15 % do not. CPU is user and system time of the client process and the children it waited for,
and of the server's processes. *Limits* (in italics) are bare loops that do the same work and nothing else. A peer that
could not take part is named with the reason.
"""


def write(document: dict[str, Any], out: Path) -> Path:
    """Write ``report.md`` and the charts into *out*; the path of the report."""
    path = out / "report.md"
    path.write_text(render(document, out, "Benchmark results"))
    return path


def render(document: dict[str, Any], charts: Path, title: str, prefix: str = "") -> str:
    """The report as Markdown; the charts are written into *charts* and referred to with *prefix*."""
    parts = [f"# {title}\n", *_head(document), *_promises(document)]
    for scenario in document["scenarios"]:
        parts += _scenario(scenario, charts, prefix)
    return "\n".join(parts)


def _head(document: dict[str, Any]) -> Iterator[str]:
    machine = document["machine"]
    yield markdown(["", ""], [[label, str(machine[key])] for key, label in FACTS if machine.get(key) is not None])
    if document.get("interpreter_kib"):
        bare = document["interpreter_kib"] / 1024
        yield f"A bare Python interpreter takes {bare:.0f} MiB of each Python client's peak.\n"
    yield METHOD
    scale, repetitions = document.get("scale", 1), document.get("repetitions")
    how = f", {scale:g} of its work" if scale != 1 else ""
    how += f", {repetitions} repetitions" if repetitions else ""
    yield f"This is a {document['mode']} run{how}. {document.get('note', '')}\n"


def _promises(document: dict[str, Any]) -> Iterator[str]:
    verdicts = list(judge(document, TARGETS))
    if not verdicts:
        return
    known = [verdict for verdict in verdicts if verdict.met is not None]
    yield "## Targets\n"
    yield f"{sum(verdict.met is True for verdict in known)} of {len(known)} measured targets met.\n"
    yield markdown(
        ["scenario", "operation", "figure", "", "against", "target", "seen", ""], [*map(_verdict_row, verdicts)]
    )


def _verdict_row(verdict: Verdict) -> list[str]:
    target = verdict.target
    sign = "≥" if target.metric in HIGHER_IS_BETTER else "≤"
    form = "{:.2f} ×" if target.against else "{:.1f}"
    seen = "not measured" if verdict.seen is None else form.format(verdict.seen)
    state = {True: "met", False: "**not met**", None: ""}[verdict.met]
    metric = target.metric.replace("_per_", "/").replace("_", " ")
    if target.above_interpreter:
        metric += " above a bare interpreter"
    bound = f"{sign} {form.format(target.bound)}"
    return [target.scenario, target.op, metric, target.ours, verdict.rival, bound, seen, state]


def _scenario(scenario: dict[str, Any], charts: Path, prefix: str) -> Iterator[str]:
    yield f"## {scenario['title']}\n"
    if scenario.get("error"):
        yield f"Not run: {scenario['error']}\n"
        return
    versions = ", ".join(f"{name} {version}" for name, version in scenario["versions"].items())
    server = f"Server: {scenario['server']}. " if scenario["server"] else ""
    load = scenario.get("load_before")
    loaded = "" if load is None else f" Load average before: {load:.1f}."
    yield f"`{scenario['name']}`. {server}Versions: {versions}.{loaded}\n"
    for name, reason in scenario["missing"].items():
        yield f"- {name}: missing: {reason}"
    failures = {(name, reason) for point in scenario["points"] for name, reason in point["failures"].items()}
    for name, reason in sorted(failures):
        yield f"- {name}: {reason}"
    yield ""
    for name in chart.draw(scenario, charts):
        yield f"![{scenario['title']}]({prefix}{name})\n"
    yield from _series(scenario) if scenario["axis"] else _points(scenario)


def _points(scenario: dict[str, Any]) -> Iterator[str]:
    for point in scenario["points"]:
        load = point["load"]
        for op in scenario["ops"]:
            if any(op in runs for runs in point["runs"].values()):
                work = f"{scaled(load['size'], 'size')}, {load['concurrency']} in flight, {load['count']:,} times"
                yield f"**{op}** ({work})\n"
                yield operation_table(point, op, scenario["roles"])


def _series(scenario: dict[str, Any]) -> Iterator[str]:
    metric = chart.series_metric(scenario)
    for op in scenario["ops"]:
        yield f"**{op}**, {metric} by {scenario['axis']}\n"
        yield series_table(scenario, op, metric)
