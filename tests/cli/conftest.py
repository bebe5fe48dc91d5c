"""A server, a local tree, and a way to run commands on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.calling import Cli
from tests.server.dialogue import PASSWORD, USER, Running, running


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    monkeypatch.setenv("FASTXFER_USER", USER)
    monkeypatch.setenv("FASTXFER_PASSWORD", PASSWORD)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    return Cli(capsys)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "served"
    path.mkdir()
    return path


@pytest.fixture
def server(root: Path) -> Iterator[Running]:
    with running(root) as server:
        yield server


@pytest.fixture
def url(server: Running) -> str:
    return f"ftp://127.0.0.1:{server.port}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A local directory with a few files."""
    path = tmp_path / "tree"
    (path / "sub" / "deep").mkdir(parents=True)
    (path / "empty").mkdir()
    (path / "a.txt").write_bytes(b"aaa")
    (path / "sub" / "b.bin").write_bytes(bytes(100_000))
    (path / "sub" / "deep" / "ünï côdé.txt").write_bytes(b"unicode")
    (path / "zero").write_bytes(b"")
    return path
