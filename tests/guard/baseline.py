"""What one operation may cost: ``baseline.json``; ``FASTXFER_WRITE_BASELINE=1 pytest tests/guard`` writes it anew."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).with_name("baseline.json")
WRITE = bool(os.environ.get("FASTXFER_WRITE_BASELINE"))
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def _load() -> dict[str, Any]:
    return json.loads(PATH.read_text()) if PATH.exists() else {}


def _store(kind: str, name: str, found: Any) -> None:
    document = _load()
    document.setdefault(kind, {})[name] = found
    PATH.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")


def check_system_calls(name: str, found: dict[str, float]) -> None:
    """Fail when one operation needs more system calls than the baseline, with half a call of tolerance."""
    if WRITE:
        _store("system_calls", name, found)
        return
    known = _load()["system_calls"][name]
    total, allowed = sum(found.values()), sum(known.values()) + 0.5
    assert total <= allowed, (
        f"{name} needs {total:.2f} system calls, not {allowed - 0.5:.2f}:\n now {found}\n was {known}"
    )


TOLERANCE = {"own": 0.1, "all": 0.25}
"""Our own modules differ by the compiler alone; the interpreter around them differs from build to build."""


def check_instructions(name: str, found: dict[str, float]) -> None:
    """Fail when one operation takes more instructions than the baseline of this Python version and the tolerance."""
    if WRITE:
        _store(f"instructions {PYTHON}", name, {part: round(amount) for part, amount in found.items()})
        return
    known = _load().get(f"instructions {PYTHON}", {}).get(name)
    if known is None:
        pytest.skip(f"there is no baseline of instructions for Python {PYTHON}")
    for part, tolerance in TOLERANCE.items():
        assert found[part] <= known[part] * (1 + tolerance), f"{name} takes {found} instructions, not {known}"
