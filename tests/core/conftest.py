"""Each module of the native core is tested twice: compiled (``c``) and as its pure twin (``py``)."""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import fastxfer

# Where the package under test was imported from: other processes must take the same one.
ROOT = Path(fastxfer.__file__).parents[1]
RECORDINGS = Path(__file__).parents[1] / "data" / "fastdfs" / "wire"
UPLOADS = (
    "UPLOAD_FILE",
    "UPLOAD_APPENDER_FILE",
    "UPLOAD_SLAVE_FILE",
    "REGENERATE_APPENDER_FILENAME",
    "CREATE_LINK",
)


def core_module(name: str, implementation: str) -> ModuleType:
    if implementation == "py":
        return importlib.import_module(f"fastxfer._pure.{name}")
    try:
        return importlib.import_module(f"fastxfer._ext.{name}")
    except ImportError as error:
        pytest.skip(f"the compiled module is not there: {error}")


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter that imports the package under test."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def read_all(sock: socket.socket) -> bytes:
    """What comes up to the end of the connection."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


@pytest.fixture(params=["c", "py"])
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def crc32(implementation: str) -> ModuleType:
    return core_module("crc32", implementation)


@pytest.fixture
def wire(implementation: str) -> ModuleType:
    return core_module("wire", implementation)


@pytest.fixture
def buffers(implementation: str) -> ModuleType:
    return core_module("buffers", implementation)


@pytest.fixture
def places(implementation: str) -> ModuleType:
    return core_module("places", implementation)


@pytest.fixture
def ftpwire(implementation: str) -> ModuleType:
    return core_module("ftpwire", implementation)


@pytest.fixture
def ftpserve(implementation: str) -> ModuleType:
    pytest.importorskip("fcntl", reason="the server needs a POSIX system")
    return core_module("ftpserve", implementation)


@pytest.fixture(scope="session")
def exchanges() -> list[dict[str, Any]]:
    """Every exchange recorded from real servers."""
    return [
        json.loads(line) for path in sorted(RECORDINGS.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines()
    ]


@pytest.fixture(scope="session")
def uploads(exchanges: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that made a new file ID."""
    return [exchange for exchange in exchanges if exchange["command"] in UPLOADS and exchange["status"] == 0]
