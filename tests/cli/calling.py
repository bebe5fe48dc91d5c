"""Commands called as the tests of this area do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastxfer.cli import _app
from fastxfer.cli._exit_codes import ExitCode

# A shell starts what runs in the background with SIGINT ignored, and these tests may run there.
INTERRUPTIBLE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from fastxfer.cli import main; main()"
)


class Cli:
    """Runs commands in this process, those of a *group* of commands or all."""

    def __init__(self, capture: pytest.CaptureFixture[str], *group: str) -> None:
        self.capture = capture
        self.group = group
        self.error = ""

    def run(self, *arguments: object) -> tuple[int, str]:
        """Exit code and standard output; standard error is in ``error``."""
        code = _app.run([*self.group, *map(str, arguments)])
        shown = self.capture.readouterr()
        self.error = shown.err
        return code, shown.out

    def ok(self, *arguments: object) -> str:
        code, output = self.run(*arguments)
        assert code == ExitCode.OK, self.error
        return output.rstrip("\n")

    def json(self, *arguments: object) -> list[Any]:
        return [json.loads(line) for line in self.ok(*arguments, "--json").splitlines()]


def piped(*arguments: object, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A real process with real pipes."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "fastxfer", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


def files_in(path: Path) -> dict[str, bytes]:
    return {str(each.relative_to(path)): each.read_bytes() for each in path.rglob("*") if each.is_file()}


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
