"""One operation of a hot path needs no more system calls than it did."""

from __future__ import annotations

import contextlib
import ftplib
import io
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.guard.baseline import check_system_calls
from tests.guard.counting import ROOT, count_system_calls, environment, run_quietly, traced, workload

FEW, MANY = 10, 60

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="strace is a Linux program"),
    pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the baseline is of x86-64"),
]


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from fastxfer.fdfs.node import Node

    with Node(tmp_path_factory.mktemp("node")) as node:
        yield node.tracker_addrs[0]


@pytest.mark.parametrize("operation", ["upload", "download", "info"])
def test_a_small_fastdfs_operation_is_one_exchange(tracker: str, operation: str, tmp_path: Path) -> None:
    from fastxfer.fdfs import Client, ClientConfig

    with Client(ClientConfig(tracker_addrs=[tracker])) as client:
        file_id = client.upload_buffer(b"x" * 4096, "bin")

    def run(count: int, report: Path) -> None:
        run_quietly(traced(report, workload(f"fdfs_{operation}", count, tracker, file_id)))

    check_system_calls(f"fdfs_{operation}", count_system_calls(tmp_path / "calls", FEW, MANY, run))


def start_server(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    )


@pytest.mark.parametrize("operation", ["download", "upload"])
def test_a_small_ftp_transfer_costs_the_client_what_it_did(tmp_path: Path, operation: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for place in (root, tmp_path):
        (place / "small").write_bytes(b"x" * 4096)
    server = start_server(workload("ftp_serve", 0, str(root)))
    try:
        assert server.stdout is not None
        port = server.stdout.readline().strip()

        def run(count: int, report: Path) -> None:
            run_quietly(traced(report, workload(f"ftp_{operation}", count, port, str(tmp_path / "small"))))

        found = count_system_calls(tmp_path / "calls", FEW, MANY, run)
        # How many replies one receive brings is a matter of time, and so is whether any is waited for.
        found.pop("recvfrom", None)
        found.pop("setsockopt", None)
        check_system_calls(f"ftp_{operation}", found)
    finally:
        server.communicate(timeout=60)


@contextlib.contextmanager
def traced_server(root: Path, report: Path) -> Iterator[int]:
    """The port of a server under strace, whose table is in *report* afterwards."""
    server = start_server(traced(report, workload("ftp_serve", 0, str(root))))
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline())
    finally:
        server.communicate(timeout=60)


@pytest.mark.parametrize("operation", ["retr", "stor"])
def test_a_small_transfer_costs_the_server_what_it_did(tmp_path: Path, operation: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    content = b"x" * 4096
    (root / "small").write_bytes(content)

    def run(count: int, report: Path) -> None:
        with traced_server(root, report) as port, ftplib.FTP() as client:
            client.connect("127.0.0.1", port, timeout=60)
            client.login("user", "pass")
            for _ in range(count):
                if operation == "stor":
                    client.storbinary("STOR small", io.BytesIO(content))
                    continue
                received: list[bytes] = []
                client.retrbinary("RETR small", received.append)
                assert b"".join(received) == content

    found = count_system_calls(tmp_path / "calls", FEW, MANY, run)
    # Whether the bytes are there at once is a matter of time.
    found.pop("timerfd_settime", None)
    check_system_calls(f"ftp_serve_{operation}", found)


def test_a_login_costs_the_server_what_it_did(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()

    def run(count: int, report: Path) -> None:
        with traced_server(root, report) as port:
            for _ in range(count):
                with ftplib.FTP() as client:
                    client.connect("127.0.0.1", port, timeout=60)
                    client.login("user", "pass")

    found = count_system_calls(tmp_path / "calls", FEW, MANY, run)
    # asyncio accepts until there is none, and how often it finds more than one is a matter of time.
    found.pop("accept4", None)
    check_system_calls("ftp_serve_login", found)
