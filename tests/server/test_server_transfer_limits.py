"""What a transfer may take: bytes, time, rate, quota."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from fastxfer.server import (
    RatesConfig,
    TimeoutsConfig,
    UploadsConfig,
    User,
)
from tests.server.dialogue import DEADLINE, PASSWORD, USER, Dialogue, Running, visible


def test_an_upload_may_not_be_larger_than_allowed(serve: Callable[..., Running], root: Path) -> None:
    server = serve(uploads=UploadsConfig(max_size=100_000))
    with Dialogue(server.address) as client:
        client.login()
        client.expect(552, "ALLO 100001")
        client.expect(200, "ALLO 1000")
        assert client.put("STOR fits", b"x" * 100_000).code == 226
        with client.data() as data:
            client.expect(150, "STOR big")
            try:
                for _ in range(10_000):
                    data.sendall(b"x" * 100_000)
            except (BrokenPipeError, ConnectionResetError):
                pass
        assert client.read().code == 552
    assert os.listdir(root) == ["fits"]


def test_a_quota_holds_over_files(serve: Callable[..., Running], root: Path) -> None:
    (root / "old").write_bytes(b"x" * 600)
    server = serve(users=[(User(name=USER, quota_bytes=1000, quota_files=3), PASSWORD)])
    with Dialogue(server.address) as client:
        client.login()
        assert client.expect(213, "AVBL") == "213 400"
        assert client.put("STOR new", b"y" * 401).code == 552
        assert client.put("STOR new", b"y" * 400).code == 226
        client.passive()
        client.expect(552, "STOR another")
        client.expect(250, "DELE old")
        assert client.put("STOR one", b"z").code == 226
        assert client.put("STOR two", b"z").code == 226
        client.passive()
        client.expect(552, "STOR three")
        client.expect(552, "MKD four")
    assert visible(root) == ["new", "one", "two"]


def test_a_rate_limit_slows_a_download_down(serve: Callable[..., Running], root: Path) -> None:
    (root / "file").write_bytes(b"x" * 100_000)
    server = serve(rates=RatesConfig(session_download=200_000))
    with Dialogue(server.address) as client:
        client.login()
        began = time.monotonic()
        assert len(client.fetch("RETR file")) == 100_000
        # 50 ms' worth may come at once; the rest cannot come faster than the rate.
        assert time.monotonic() - began >= 0.3


def test_a_users_rate_is_shared_by_his_sessions(serve: Callable[..., Running], root: Path) -> None:
    server = serve(users=[(User(name=USER, upload_rate=200_000), PASSWORD)])
    began = time.monotonic()

    def upload(name: str) -> None:
        with Dialogue(server.address) as client:
            assert client.login().put(f"STOR {name}", b"x" * 60_000).code == 226

    threads = [threading.Thread(target=upload, args=(f"f{number}",)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert time.monotonic() - began >= 0.4
    assert visible(root) == ["f0", "f1"]


def test_a_reader_that_stalls_is_given_up(serve: Callable[..., Running], root: Path) -> None:
    with (root / "file").open("wb") as file:
        file.truncate(1 << 30)
    server = serve(timeouts=TimeoutsConfig(data_stall=0.5, shutdown=1.0))
    with Dialogue(server.address) as client:
        client.login()
        with client.data():
            client.expect(150, "RETR file")
            assert client.read().code == 426
        client.expect(200, "NOOP")


def test_a_writer_that_stalls_is_given_up(serve: Callable[..., Running], root: Path) -> None:
    server = serve(timeouts=TimeoutsConfig(data_stall=0.5, shutdown=1.0))
    with Dialogue(server.address) as client:
        client.login()
        with client.data():
            client.expect(150, "STOR file")
            assert client.read().code == 426
    assert visible(root) == []


def test_a_transfer_may_be_limited_in_time(serve: Callable[..., Running], root: Path) -> None:
    server = serve(timeouts=TimeoutsConfig(transfer=0.6, shutdown=1.0))
    with Dialogue(server.address) as client:
        client.login()
        with client.data() as data:
            client.expect(150, "STOR file")
            try:
                for _ in range(200):
                    data.sendall(b"x")
                    time.sleep(0.05)
            except (BrokenPipeError, ConnectionResetError):
                pass
            assert client.read().code == 426
