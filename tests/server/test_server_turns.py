"""Check sums and copies of big files: they take turns, and nobody else waits for them."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastxfer.server import WebConfig
from tests.server.dialogue import DEADLINE, PASSWORD, USER, Dialogue, Running, reset, wait_for
from tests.web.site import basic

MANY = 12
HUGE = 1 << 40
"""Bytes of a file without any on the disk, which nobody hashes within the time of a test."""


@pytest.fixture
def huge(root: Path) -> None:
    with open(root / "huge", "wb") as file:
        file.truncate(HUGE)


@contextlib.contextmanager
def hashes(running: Running, commands: list[str]) -> Iterator[list[Dialogue]]:
    """Sessions whose hashes of a huge file are all under way."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Dialogue(running.address)).login() for _ in commands]
        for client, command in zip(clients, commands, strict=True):
            client.send(command.encode() + b"\r\n")
        wait_for(lambda: busy(running) == len(commands))
        yield clients
        # Orderly ends would be heard of only when the hashes are done.
        for client in clients:
            reset(client.sock)
        wait_for(lambda: running.server.sessions == 0)


def upload(running: Running, content: bytes) -> None:
    """Upload *content* as ``/a`` over HTTP."""
    connection = http.client.HTTPConnection("127.0.0.1", running.server.web_port, timeout=DEADLINE)
    with contextlib.closing(connection):
        connection.request("PUT", "/files/a", content, {"Authorization": basic(f"{USER}:{PASSWORD}")})
        assert connection.getresponse().status == 201


def busy(running: Running) -> int:
    return sum(control.busy for control in running.server.runtime.controls)


@pytest.mark.usefixtures("huge")
def test_uploads_do_not_wait_for_hashes(serve: Callable[..., Running], root: Path) -> None:
    pytest.importorskip("aiohttp", reason="the HTTP interface needs aiohttp")
    running = serve(web=WebConfig(enabled=True))
    content = bytes(range(256)) * 8192
    with hashes(running, ["HASH huge", "XMD5 huge"] * (MANY // 2)):
        upload(running, content)
        assert (root / "a").read_bytes() == content
        assert busy(running) == MANY


@pytest.mark.usefixtures("huge")
def test_uploads_do_not_wait_for_copies(
    serve: Callable[..., Running], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp", reason="the HTTP interface needs aiohttp")

    def copy_slowly(source: int, target: int, count: int, *_: int) -> int:
        # Nothing is written: no disk has so much room.
        time.sleep(0.001)
        return count

    monkeypatch.setattr(os, "copy_file_range", copy_slowly, raising=False)
    running = serve(web=WebConfig(enabled=True))
    content = bytes(range(256)) * 8192
    with contextlib.ExitStack() as stack:
        for number in range(MANY):
            client = stack.enter_context(Dialogue(running.address)).login()
            client.expect(350, "SITE CPFR huge")
            client.send(b"SITE CPTO copy%d\r\n" % number)
            stack.callback(reset, client.sock)
        wait_for(lambda: busy(running) == MANY)
        upload(running, content)
        assert (root / "a").read_bytes() == content
        assert busy(running) == MANY
    wait_for(lambda: running.server.sessions == 0)


@pytest.mark.usefixtures("huge")
def test_a_hash_does_not_wait_for_bigger_ones(serve: Callable[..., Running], root: Path) -> None:
    running = serve()
    content = b"some megabytes " * 700_000
    (root / "some").write_bytes(content)
    with hashes(running, ["HASH huge"] * MANY):
        with Dialogue(running.address) as client:
            client.login()
            reply = client.expect(213, "HASH some")
            assert hashlib.sha256(content).hexdigest() in reply
        wait_for(lambda: busy(running) == MANY)


@pytest.mark.usefixtures("huge")
@pytest.mark.parametrize("command", ["HASH huge", "XMD5 huge"])
def test_nobody_waits_for_the_hash_of_a_client_that_is_gone(serve: Callable[..., Running], command: str) -> None:
    running = serve()
    with hashes(running, [command]):
        pass
    running.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fastxfer-turns")]
