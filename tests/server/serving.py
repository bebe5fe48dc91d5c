"""``fastxfer serve`` as a process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.server.dialogue import DEADLINE


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running server and the first line that it says."""
    pytest.importorskip("click", reason="needs the extra `cli`")
    process = subprocess.Popen(
        [sys.executable, "-m", "fastxfer", "serve", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    try:
        assert process.stderr is not None
        yield process, process.stderr.readline().strip()
    finally:
        process.terminate()
        process.wait(DEADLINE)
        process.stderr.close()
