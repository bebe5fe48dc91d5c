"""Building the native core where there is no compiler that works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytest.importorskip("Cython", reason="Cython is not installed")
pytest.importorskip("setuptools", reason="setuptools is not installed")
pytestmark = [
    pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="setup.py is not beside the tests"),
    pytest.mark.skipif(os.name != "posix", reason="names the compiler as POSIX systems do"),
]


def build(directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    wanted = {name: value for name, value in os.environ.items() if not name.startswith("FASTXFER_")}
    command = ["setup.py", "-q", "build_ext", "--build-lib", str(directory), "--build-temp", str(directory)]
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**wanted, "CC": "false", **environment},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_a_compiler_that_fails_only_costs_the_native_modules(tmp_path: Path) -> None:
    built = build(tmp_path)
    assert built.returncode == 0, built.stderr
    assert not list(tmp_path.rglob("*.so"))


def test_a_compiler_that_fails_is_an_error_where_native_modules_are_required(tmp_path: Path) -> None:
    assert build(tmp_path, FASTXFER_REQUIRE_NATIVE="1").returncode != 0
