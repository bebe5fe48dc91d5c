"""Charts of the results: bars for a comparison, lines for a series.

``python -m benchmarks.macro.chart RESULTS.json [SCENARIO...] [--out DIR]`` draws them again from a file of results.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.macro.metrics import spread, value

COLORS = {"ours": "#1f77b4", "peer": "#b0b0b0", "limit": "#e0e0e0"}
SECOND_OF_OURS = "#6baed6"


def draw(scenario: dict[str, Any], out: Path, formats: tuple[str, ...] = ("svg",)) -> list[str]:
    """Write the charts of one scenario; the names of the first format's files. Without matplotlib: none."""
    try:
        import matplotlib as mpl
    except ImportError:
        return []
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "fastxfer"
    figure = _series(scenario) if scenario["axis"] else _bars(scenario)
    if figure is None:
        return []
    names = [f"{scenario['name']}.{form}" for form in formats]
    for name in names:
        figure.savefig(
            out / name, bbox_inches="tight", dpi=110, metadata={"Date": None} if name.endswith("svg") else None
        )
    import matplotlib.pyplot as plt

    plt.close(figure)
    return names[:1]


def _bars(scenario: dict[str, Any]) -> Any:
    import matplotlib.pyplot as plt

    if not scenario["points"]:
        return None
    point = scenario["points"][0]
    large = point["load"]["size"] >= 256 * 1024
    metric, label = ("mb_per_s", "MB/s") if large else ("ops_per_s", "operations per second")
    ops = [op for op in scenario["ops"] if any(value(runs.get(op, []), metric) for runs in point["runs"].values())]
    if not ops:
        return None
    figure, axes = plt.subplots(1, len(ops), figsize=(4.2 * len(ops), 0.34 * len(point["runs"]) + 1.2), squeeze=False)
    for axis, op in zip(axes[0], ops, strict=True):
        found = [(value(runs.get(op, []), metric), name) for name, runs in point["runs"].items()]
        ranked = sorted((amount, name) for amount, name in found if amount)
        amounts = [amount for amount, _ in ranked]
        names = [name for _, name in ranked]
        errors = [spread(point["runs"][name][op], metric) or (amount, amount) for amount, name in ranked]
        bars = axis.barh(
            names,
            amounts,
            color=[_color(name, scenario["roles"]) for name in names],
            xerr=[
                [amount - low for amount, (low, _) in zip(amounts, errors, strict=True)],
                [high - amount for amount, (_, high) in zip(amounts, errors, strict=True)],
            ],
            ecolor="#707070",
        )
        axis.bar_label(bars, [f" {amount:,.0f}" for amount in amounts], label_type="edge", fontsize=8, padding=2)
        axis.set_title(op)
        axis.set_xlabel(label)
        axis.margins(x=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(scenario["title"])
    figure.tight_layout()
    return figure


def _series(scenario: dict[str, Any]) -> Any:
    import matplotlib.pyplot as plt

    axis_name = scenario["axis"]
    metric = series_metric(scenario)
    ops = [
        op
        for op in scenario["ops"]
        if any(op in runs for point in scenario["points"] for runs in point["runs"].values())
    ]
    if not ops:
        return None
    figure, axes = plt.subplots(1, len(ops), figsize=(5 * len(ops), 3.6), squeeze=False)
    for axis, op in zip(axes[0], ops, strict=True):
        for name in scenario["roles"]:
            points = [
                (point["load"][axis_name], value(point["runs"].get(name, {}).get(op, []), metric))
                for point in scenario["points"]
            ]
            kept = [(x, y) for x, y in points if y]
            if kept:
                ours = scenario["roles"][name] == "ours"
                axis.plot(*zip(*kept, strict=True), marker="o", label=name, linewidth=2.5 if ours else 1.2)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_title(op)
        axis.set_xlabel(axis_name)
        axis.set_ylabel(metric)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.suptitle(scenario["title"])
    figure.tight_layout()
    return figure


def series_metric(scenario: dict[str, Any]) -> str:
    """What a series shows."""
    return str(scenario.get("metric") or "ops_per_s")


def _color(name: str, roles: dict[str, str]) -> str:
    role = roles.get(name, "peer")
    return SECOND_OF_OURS if role == "ours" and " " in name else COLORS[role]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.macro.chart", description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("scenarios", nargs="*", help="scenarios whose name starts so; default all")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR")
    arguments = parser.parse_args()
    document = json.loads(arguments.results.read_text())
    arguments.out.mkdir(parents=True, exist_ok=True)
    for scenario in document["scenarios"]:
        if not arguments.scenarios or scenario["name"].startswith(tuple(arguments.scenarios)):
            for name in draw(scenario, arguments.out, ("svg", "png")):
                print(arguments.out / name)


if __name__ == "__main__":
    main()
