"""``fastxfer node`` and ``fastxfer demo``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastxfer.cli import _app
from fastxfer.cli._exit_codes import ExitCode
from fastxfer.cli._parameters import parse_size, size_text
from fastxfer.fdfs import Client, ClientConfig
from fastxfer.fdfs.node import Node

COMMAND = [sys.executable, "-W", "ignore", "-m", "fastxfer"]
ANY_PORT = ["--tracker-port", "0", "--storage-port", "0"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_node_serves_until_it_is_told_to_stop(tmp_path: Path, number: int) -> None:
    command = [*COMMAND, "node", str(tmp_path), *ANY_PORT, "--group", "a", "--group", "b=2", "--storage-ids", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            assert [storage["name"] for storage in told["storages"]] == ["a/storage1", "b/storage1", "b/storage2"]
            with Client(ClientConfig(tracker_addrs=told["trackers"])) as client:
                assert client.download_file(client.upload_buffer(b"x", "txt")) == b"x"
            process.send_signal(number)
            _, error = process.communicate(timeout=60)
        finally:
            process.kill()
        assert (process.returncode, error) == (0, b"")


@pytest.mark.parametrize(
    "arguments",
    [["--group", "a=b"], ["--group", "a", "--group", "a"], ["--tracker-port", "70000"], ["--group", "no spaces"]],
)
def test_the_node_refuses_wrong_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert _app.run(["node", str(tmp_path), *ANY_PORT, *arguments]) == ExitCode.USAGE
    assert capsys.readouterr().err


def test_the_node_tells_of_a_taken_port(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Node(tmp_path / "a") as node:
        port = node.tracker_addrs[0].rpartition(":")[2]
        code = _app.run(["node", str(tmp_path / "b"), "--tracker-port", port, "--storage-port", "0"])
    assert code == ExitCode.LOCAL
    assert f"port {port}" in capsys.readouterr().err


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for number in range(30):
        path = root / str(number % 3) / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * number * 997)
    (root / "large.bin").write_bytes(bytes(6 << 20))
    (root / "link").symlink_to(root / "large.bin")
    (root / "__pycache__").mkdir()
    (root / "__pycache__" / "x.pyc").write_bytes(b"x")
    return root


def run_demo(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = _app.run(["demo", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_demo_moves_a_tree_there_and_back(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = run_demo(capsys, str(tree))
    assert code == ExitCode.OK
    assert (told["files"], told["verified"], told["errors"]) == (31, True, [])
    assert [(phase["phase"], phase["files"]) for phase in told["phases"]] == [
        ("upload", 31),
        ("download", 31),
        ("delete", 31),
    ]
    size = (6 << 20) + sum(number * 997 for number in range(30))
    assert [phase["bytes"] for phase in told["phases"]] == [size, size, 0]
    for phase in told["phases"]:
        assert 0 < phase["p50_seconds"] <= phase["p99_seconds"] <= phase["seconds"]


def test_the_demo_shows_a_table(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _app.run(["demo", str(tree), "--threads", "2", "--limit", "5"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "every byte came back as it was sent" in shown
    assert all(word in shown for word in ("upload", "download", "delete", "MB/s", "p99"))


def test_the_demo_keeps_its_files_where_asked(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = run_demo(capsys, str(tree), "--keep", str(tmp_path / "kept"))
    assert (code, [phase["phase"] for phase in told["phases"]]) == (0, ["upload", "download"])
    stored = [path for path in (tmp_path / "kept").rglob("data/*/*/*") if path.is_file()]
    assert len(stored) == 31


def test_the_demo_runs_against_a_cluster(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Node(tmp_path / "node") as node:
        code, told = run_demo(capsys, str(tree), "-t", node.tracker_addrs[0])
        assert (code, told["verified"]) == (0, True)
        assert [path for path in (tmp_path / "node").rglob("data/*/*/*") if path.is_file()] == []


def test_the_demo_tells_what_came_back_changed(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fastxfer.fdfs.node import Fault

    with Node(tmp_path / "node") as node:
        node.inject(Fault(command=14, corrupt=0, times=None))
        code, told = run_demo(capsys, str(tree / "0"), "-t", node.tracker_addrs[0])
    assert (code, told["verified"]) == (ExitCode.MISMATCH, False)
    assert told["mismatches"]


def test_the_demo_tells_what_failed(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fastxfer.fdfs.node import Fault

    with Node(tmp_path / "node") as node:
        node.inject(Fault(command=11, status=28, times=1))
        code, told = run_demo(capsys, str(tree / "0"), "-t", node.tracker_addrs[0])
    assert code == ExitCode.FAILED
    assert len(told["errors"]) == 1
    assert told["phases"][1]["files"] == told["files"] - 1


def test_the_demo_of_nothing_is_wrong_usage(tmp_path: Path) -> None:
    assert _app.run(["demo", str(tmp_path)]) == ExitCode.USAGE
    assert _app.run(["demo", str(tmp_path / "missing")]) == ExitCode.USAGE
    assert _app.run(["demo", "--keep", str(tmp_path), "-t", "a:1"]) == ExitCode.USAGE


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("500", 500), ("64k", 65536), ("1.5M", 1572864), ("2GiB", 2 << 30), ("1 TB", 1 << 40)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "k", "1x", "1 000"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB"), (5 << 40, "5.0 TiB")]
)
def test_sizes_are_shown(size: int, text: str) -> None:
    assert size_text(size) == text
