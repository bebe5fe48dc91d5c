"""Every example in the guide of the FTP client runs, against our own server, and does what stands beside it."""

from __future__ import annotations

import asyncio
import inspect
import re
import warnings
from dataclasses import fields
from pathlib import Path

import pytest

import fastxfer.ftp
from fastxfer.ftp import AsyncClient, Client, ClientConfig, Limits, RetryPolicy, Timeouts, TLSSettings
from tests.support import documents
from tests.support.serving import Served

GUIDE = documents.ROOT / "docs" / "ftp.md"
pytestmark = pytest.mark.skipif(not GUIDE.exists(), reason="the documents are not beside the tests")
BLOCKS = documents.blocks(GUIDE) if GUIDE.exists() else []


def block(needle: str) -> str:
    (found,) = [code for code in BLOCKS if needle in code]
    return found


def run(needle: str, served: Served) -> None:
    """Run the block that contains *needle*, with an open client where it does not open one itself."""
    code = served.fitted(block(needle))

    async def main() -> None:
        if "import" in code:
            await documents.execute(code, {})
            return
        async with AsyncClient(f"ftp://me:secret@127.0.0.1:{served.port}") as client:
            await documents.execute(code, {"client": client})

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the password has fewer than")
        asyncio.run(main())


def test_first_steps(served: Served, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("make_directories=True", served)
    assert (served.root / "inbox/2026/report.pdf").read_bytes() == (here / "report.pdf").read_bytes()
    assert (here / "big.iso").read_bytes() == (served.root / "pub/big.iso").read_bytes()
    assert "/pub/data/one.csv file 16000" in capsys.readouterr().out


def test_settings(served: Served, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("config = ClientConfig(", served)
    assert capsys.readouterr().out.startswith("fastxfer {")


def test_files(served: Served, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (served.root / "inbox/note.txt").write_text("to be replaced")
    run("append=True", served)
    assert (served.root / "inbox/report.pdf").stat().st_mtime == int((here / "report.pdf").stat().st_mtime)
    assert (served.root / "inbox/note.txt").read_bytes() == b"some bytes"
    assert (served.root / "logs/today.log").read_bytes().endswith(b"more.log")
    assert capsys.readouterr().out.splitlines()[-1].startswith("11000 ")


def test_directories(served: Served, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (served.root / "inbox/report.pdf").write_text("report")
    run("client.glob", served)
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines[:2]} == {"big.iso", "data"}
    assert lines[2:] == ["False 11000", "['/pub/big.iso']"]
    assert not (served.root / "inbox/2026").exists()


def test_trees(served: Served, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "photos/cache.tmp").unlink()
    stale = served.root / "backup/photos/stale.jpg"
    stale.parent.mkdir(parents=True)
    stale.write_text("no longer wanted")
    run("photos.journal", served)
    assert sorted(path.name for path in stale.parent.iterdir()) == ["one.jpg", "two.jpg"]
    assert (here / "work/theirs.txt").exists()
    assert (served.root / "work/mine.txt").exists()
    assert capsys.readouterr().out.endswith("True\n")
    assert not (here / "photos.journal").exists()


def test_hooks(served: Served, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("hooks = {", served)
    assert capsys.readouterr().out.splitlines() == [
        f"connected to 127.0.0.1:{served.port}",
        "/pub/big.iso -> big.iso",
    ]


def test_the_blocking_client(served: Served, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("with Client(", served)
    assert capsys.readouterr().out.splitlines()[-1] == "550 /pub/nothing.txt"


def test_ftppy(served: Served, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("from fastxfer.ftppy import", served)
    printed = capsys.readouterr().out
    assert printed.startswith("True\n{")
    # Which of the two was done first is not said.
    assert "'report.pdf': True" in printed
    assert "'more.log': True" in printed
    assert (served.root / "inbox/b.log").exists()


def test_no_example_is_left_out() -> None:
    assert len(BLOCKS) == len([name for name in globals() if name.startswith("test_")]) - 2


def test_the_guide_knows_all_settings_errors_and_operations() -> None:
    named = set(re.findall(r"\w+", GUIDE.read_text("utf-8")))
    classes = (ClientConfig, Limits, RetryPolicy, Timeouts, TLSSettings)
    settings = {field.name for cls in classes for field in fields(cls)}
    errors = {name for name in fastxfer.ftp.__all__ if name.endswith("Error")}
    operations = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    assert (settings | errors | operations) - named == set()
