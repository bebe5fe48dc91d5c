"""All scenarios, each a small table."""

from __future__ import annotations

from benchmarks.macro.scenario import Scenario
from benchmarks.macro.scenarios.fdfs import FDFS

SCENARIOS: tuple[Scenario, ...] = (*FDFS,)
