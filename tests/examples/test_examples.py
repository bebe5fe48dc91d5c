"""Every FTP program in examples/ does what it says, as a process of its own (those for FastDFS: see tests/fdfs)."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fastxfer
from fastxfer.ftp import Client, PermanentError
from tests.support import documents
from tests.support.ftp_servers import Certificates
from tests.support.serving import Served, serving

EXAMPLES = documents.ROOT / "examples"
pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="the examples are not beside the tests")
WAIT = 60.0
PASSWORD = "correct horse"


def environment() -> dict[str, str]:
    package = str(Path(fastxfer.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": package, "FTP_PASSWORD": PASSWORD}


def run(name: str, *arguments: object, code: int = 0) -> str:
    """What the program writes to standard output."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=WAIT,
        env=environment(),
    )
    assert done.returncode == code, done.stderr
    return done.stdout


@contextlib.contextmanager
def started(name: str, *arguments: object) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server program, and the port that its first line tells; afterwards it ends well when it is told to."""
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        port = re.search(r"FTP on port (\d+)", line)
        assert port is not None, line
        yield process, int(port.group(1))
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    root = tmp_path / "served"
    root.mkdir()
    with serving(root, Certificates(tmp_path), "me", PASSWORD) as server:
        yield server


def test_mirror(served: Served, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "css").mkdir(parents=True)
    (site / "index.html").write_text("<html>")
    (site / "css/main.css").write_text("body {}")
    (site / "draft.tmp").write_text("not yet")
    (served.root / "public").mkdir()
    (served.root / "public/old.html").write_text("gone")
    shown = run("ftp_mirror.py", site, f"ftp://me@127.0.0.1:{served.port}", "/public")
    assert "upload   /public/css/main.css" in shown
    assert "delete   /public/old.html" in shown
    assert "0 failed" in shown
    assert sorted(str(path.relative_to(served.root)) for path in served.root.rglob("*")) == [
        "public",
        "public/css",
        "public/css/main.css",
        "public/index.html",
    ]
    again = run("ftp_mirror.py", site, f"ftp://me@127.0.0.1:{served.port}", "/public")
    assert again.startswith("2 skip; 0 failed; 0 bytes")


def test_mirror_tells_what_failed(served: Served, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    assert run("ftp_mirror.py", tmp_path / "site", f"ftp://nobody@127.0.0.1:{served.port}", "/public", code=1) == ""


def test_small_files(served: Served) -> None:
    (served.root / "inbox").mkdir()
    shown = run("ftp_small_files.py", f"ftp://me@127.0.0.1:{served.port}/inbox", 100)
    assert "every byte is the same" in shown
    assert not list((served.root / "inbox").iterdir())


def test_server(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with started("ftp_server.py", root, 0) as (_, port):
        with Client(f"ftp://127.0.0.1:{port}", user="me", password=PASSWORD) as me:
            me.upload(b"for all", "/public/notice.txt")
            me.upload(b"for me", "/diary.txt")
        with Client(f"ftp://127.0.0.1:{port}") as guest:
            assert guest.read("/notice.txt") == b"for all"
            assert not guest.exists("/diary.txt")
            with pytest.raises(PermanentError):
                guest.upload(b"mine", "/mine.txt")


def test_server_with_hooks(tmp_path: Path) -> None:
    with started("server_with_hooks.py", tmp_path, 0) as (process, port):
        with Client(f"ftp://127.0.0.1:{port}", user="sender", password=PASSWORD, atomic=False) as sender:
            sender.upload(b"%PDF-1.7 and so on", "/inbox/good.pdf")
            sender.upload(b"something else", "/inbox/bad.pdf")
            with pytest.raises(PermanentError):
                sender.upload(b"MZ", "/inbox/virus.exe")
            with pytest.raises(PermanentError):
                sender.upload(b"%PDF-", "/accepted/smuggled.pdf")
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(3)]
    assert told == [
        "sender from 127.0.0.1",
        "/inbox/good.pdf -> accepted, 18 bytes",
        "/inbox/bad.pdf -> rejected, 14 bytes",
    ]
    assert [path.name for path in (tmp_path / "accepted").iterdir()] == ["good.pdf"]
    assert [path.name for path in (tmp_path / "rejected").iterdir()] == ["bad.pdf"]
    assert not list((tmp_path / "inbox").iterdir())


def test_ftppy() -> None:
    shown = run("ftppy_basic.py").splitlines()
    assert shown[0] == "uploaded 3 of 3"
    assert sorted(shown[1:4]) == ["one.txt 15 bytes", "three.txt 17 bytes", "two.txt 15 bytes"]
    assert shown[4:6] == ["the same as here: True", "moved: True"]
    assert "/archive/2026/one.txt" in shown[6]


def test_no_program_is_left_out() -> None:
    tests = [path.read_text("utf-8") for path in (documents.ROOT / "tests").rglob("test_*.py")]
    for program in EXAMPLES.glob("*.py"):
        assert any(f'"{program.name}"' in text or f'"{program.stem}": [' in text for text in tests), program.name
