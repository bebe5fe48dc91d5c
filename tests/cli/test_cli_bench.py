"""``fastxfer bench`` measures real operations and leaves nothing behind."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path

import pytest

from fastxfer.bench import Recorder, Target
from fastxfer.bench._loops import in_threads
from fastxfer.cli._app import run
from fastxfer.fdfs.node import Fault, Node
from tests.support.ftp_servers import run_pyftpdlib

DOWNLOAD = 14


def test_it_measures_every_operation_of_a_fastdfs_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Node(tmp_path) as node:
        url = f"fdfs://{node.tracker_addrs[0]}"
        code = run(["bench", url, "--size", "1k", "--count", "5", "--concurrency", "2", "--json"])
        left = list(tmp_path.rglob("*.bin"))
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert [(row["client"], row["op"]) for row in rows] == [
        (client, op) for client in ("sync", "asyncio") for op in ("upload", "download", "info", "delete")
    ]
    assert all(row["operations"] == 5 and not row["failed"] and row["seconds"] > 0 for row in rows)
    assert rows[0]["bytes"] == 5 * 1024
    assert left == []


@pytest.mark.parametrize("client", ["sync", "asyncio"])
def test_what_fails_leaves_nothing_on_the_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], client: str
) -> None:
    with Node(tmp_path) as node:
        node.inject(Fault(command=DOWNLOAD, status=5, times=None))
        url = f"fdfs://{node.tracker_addrs[0]}"
        assert run(["bench", url, "--size", "1k", "--count", "5", "--concurrency", "2", "--client", client]) == 1
        assert "every download failed" in capsys.readouterr().err
        left = list(tmp_path.rglob("*.bin"))
    assert left == []


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals reach no thread here")
def test_an_interrupt_ends_it_when_what_is_under_way_is_done() -> None:
    begun: list[int] = []
    threads = threading.active_count()

    def operation(index: int, item: int) -> None:
        begun.append(index)
        if index == 10:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        time.sleep(0.01)

    # A shell that starts tests in the background has it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            in_threads(range(3000), 4, Recorder(), 0, operation)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(begun) < 3000
    assert threading.active_count() == threads


def test_trackers_with_ipv6_addresses_get_the_port_too() -> None:
    assert Target("fdfs://[::1],host,127.0.0.1:9/").server["tracker"] == "[::1]:22122,host:22122,127.0.0.1:9"


def test_it_measures_an_ftp_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_pyftpdlib(tmp_path) as peer:
        monkeypatch.setenv("FASTXFER_PASSWORD", peer.password)
        url = f"ftp://{peer.user}@{peer.host}:{peer.port}/"
        code = run(["bench", url, "--size", "1k", "--count", "3", "--concurrency", "2", "--json"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert [(row["client"], row["op"]) for row in rows] == [
        (client, op) for client in ("sync", "asyncio") for op in ("upload", "download")
    ]
    assert all(row["operations"] == 3 and not row["failed"] for row in rows)
    assert list(peer.root.iterdir()) == []


@pytest.mark.parametrize("way", ["environment", "netrc", "netrc of another user"])
def test_it_takes_user_and_password_as_the_other_commands_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    netrc = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(netrc))
    with run_pyftpdlib(root) as peer:
        if way == "environment":
            monkeypatch.setenv("FASTXFER_USER", peer.user)
            monkeypatch.setenv("FASTXFER_PASSWORD", peer.password)
        netrc.write_text(f"machine {peer.host} login {peer.user} password {peer.password}\n")
        netrc.chmod(0o600)
        name = "somebody@" if way == "netrc of another user" else ""
        code = run(["bench", f"ftp://{name}{peer.host}:{peer.port}/", "--size", "1k", "--count", "1", "--json"])
    assert (code == 0) == (not name), capsys.readouterr().err
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("url", ["http://host/", "fdfs://", "ftp://", "plain"])
def test_it_refuses_other_urls(url: str) -> None:
    with pytest.raises(ValueError, match="is not fdfs"):
        Target(url)
    assert run(["bench", url]) == 2
