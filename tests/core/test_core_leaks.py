"""Nothing is left behind, whether calls end well or badly: seen in a fresh process, where nothing else allocates."""

from __future__ import annotations

from pathlib import Path

from tests.core.conftest import core_module, run_python

SCRIPT = Path(__file__).with_name("isolated") / "leaks.py"


def test_no_memory_is_left_behind(implementation: str) -> None:
    core_module("ftpwire", implementation)
    ran = run_python(str(SCRIPT), implementation)
    assert ran.returncode == 0, ran.stdout + ran.stderr
