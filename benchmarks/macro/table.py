"""Results as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.macro.metrics import spread, value

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("ops_per_s", "ops/s", "{:,.0f}"),
    ("mb_per_s", "MB/s", "{:,.0f}"),
    ("p50_us", "p50 µs", "{:,.0f}"),
    ("p99_us", "p99 µs", "{:,.0f}"),
    ("client_cpu_ms_per_op", "client CPU ms/op", "{:.3f}"),
    ("client_cpu_s_per_gb", "client CPU s/GB", "{:.2f}"),
    ("server_cpu_ms_per_op", "server CPU ms/op", "{:.3f}"),
    ("server_cpu_s_per_gb", "server CPU s/GB", "{:.2f}"),
    ("client_peak_mib", "client peak MiB", "{:.0f}"),
    ("server_memory_mib", "server MiB", "{:.1f}"),
    ("server_grown_kib_per_session", "KiB per session", "{:.1f}"),
)
SMALL = 256 * 1024


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join("---" for _ in header) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def columns_for(size: int) -> list[tuple[str, str, str]]:
    """The columns that say something: CPU per operation for small files, per gigabyte for large ones."""
    left_out = (
        {"client_cpu_s_per_gb", "server_cpu_s_per_gb", "mb_per_s"}
        if size < SMALL
        else {
            "client_cpu_ms_per_op",
            "server_cpu_ms_per_op",
        }
    )
    return [column for column in COLUMNS if column[0] not in left_out]


def operation_table(point: dict[str, Any], op: str, roles: dict[str, str]) -> str:
    """All peers of one operation at one point; ours in bold, limits in italics, fastest first."""
    measured = {name: ops[op] for name, ops in point["runs"].items() if op in ops}
    ranked = sorted(measured, key=lambda name: -(value(measured[name], "ops_per_s") or 0))
    columns = [
        column
        for column in columns_for(point["load"]["size"])
        if any(value(runs, column[0]) is not None for runs in measured.values())
    ]
    rows = []
    for name in ranked:
        runs = measured[name]
        row = [_styled(name, roles.get(name, "peer"))]
        for metric, _, form in columns:
            found = value(runs, metric)
            text = "" if found is None else form.format(found)
            if metric == "ops_per_s" and found is not None:
                low, high = spread(runs, metric) or (found, found)
                text += f" ({low:,.0f}–{high:,.0f})"
            row.append(text)
        failed = sum(run["failed"] for run in runs)
        if failed:
            row[0] += f" ({failed} failed: {_cell(next(run['error'] for run in runs if run['failed']))})"
        rows.append(row)
    return markdown(["", *(title for _, title, _ in columns)], rows)


def series_table(scenario: dict[str, Any], op: str, metric: str) -> str:
    """One operation over the points of a series."""
    axis = scenario["axis"]
    names = list(scenario["roles"])
    rows = []
    for name in names:
        row = [_styled(name, scenario["roles"][name])]
        for point in scenario["points"]:
            runs = point["runs"].get(name, {}).get(op, [])
            found = value(runs, metric)
            row.append("" if found is None else f"{found:,.4g}")
        if any(row[1:]):
            rows.append(row)
    return markdown([axis, *(scaled(point["load"][axis], axis) for point in scenario["points"])], rows)


def scaled(amount: int, axis: str) -> str:
    """A point of an axis for people: sizes in binary units."""
    if axis != "size":
        return f"{amount:,}"
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if amount >= unit:
            return f"{amount // unit} {name}"
    return f"{amount} B"


def _styled(name: str, role: str) -> str:
    return f"**{name}**" if role == "ours" else f"*{name}*" if role == "limit" else name


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:160]
