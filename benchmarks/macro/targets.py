"""What we promise ourselves, each as a ratio within one run, and whether a run kept it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.macro.metrics import HIGHER_IS_BETTER, ratio, value


@dataclass(frozen=True)
class Target:
    """Ours compared with one peer, or with the best of several, or held to a figure.

    Args:
        scenario: its name.
        op: the operation.
        metric: a name of :data:`benchmarks.macro.metrics.METRICS`.
        ours: which of our peers.
        against: the peers; the best of those present counts. Without any, ours alone is held to *bound*.
        bound: for rates the least acceptable ratio, for costs the greatest; a figure where there is nobody to compare
            with.
        above_interpreter: what a bare Python interpreter takes is left out of a memory figure.
    """

    scenario: str
    op: str
    metric: str
    ours: str
    against: tuple[str, ...]
    bound: float
    above_interpreter: bool = False


@dataclass(frozen=True)
class Verdict:
    """How a run stands to a target; ``seen`` is the ratio or figure, None when one side was not measured."""

    target: Target
    rival: str
    seen: float | None

    @property
    def met(self) -> bool | None:
        if self.seen is None:
            return None
        if self.target.metric in HIGHER_IS_BETTER:
            return self.seen >= self.target.bound
        return self.seen <= self.target.bound


def judge(document: dict[str, Any], targets: tuple[Target, ...]) -> Iterator[Verdict]:
    """The verdict on each target whose scenario was run."""
    scenarios = {scenario["name"]: scenario for scenario in document["scenarios"]}
    for target in targets:
        scenario = scenarios.get(target.scenario)
        if scenario is None:
            continue
        points = scenario["points"]
        runs = points[-1]["runs"] if points else {}
        ours = runs.get(target.ours, {}).get(target.op, [])
        if not target.against:
            yield Verdict(target, "", _figure(document, target, ours))
            continue
        rivals = {name: runs[name][target.op] for name in target.against if target.op in runs.get(name, {})}
        ranked = [(found, name) for name, of_it in rivals.items() if (found := value(of_it, target.metric)) is not None]
        if not ours or not ranked:
            yield Verdict(target, ", ".join(target.against), None)
            continue
        best = max if target.metric in HIGHER_IS_BETTER else min
        _, rival = best(ranked)
        yield Verdict(target, rival, ratio(ours, rivals[rival], target.metric))


def _figure(document: dict[str, Any], target: Target, ours: list[dict[str, Any]]) -> float | None:
    found = value(ours, target.metric)
    if found is None or not target.above_interpreter:
        return found
    interpreter = document.get("interpreter_kib")
    return None if interpreter is None else found - interpreter / 1024
