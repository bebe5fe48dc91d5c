"""Uploads that are ended from this side: cancelled, interrupted, or by their source. Nothing of them is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastxfer.ftp import AsyncClient, Client, Progress, Timeouts, data_port
from tests.ftp.conftest import client_of, harvest, run
from tests.support.ftp_servers import FTPPeer, run_pyftpdlib
from tests.support.scripted_ftp import Control, ScriptedServer, scripted_server

SLOW = 2e6
BIG = bytes(32 << 20)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers here do answer, however busy the machine is."""
    monkeypatch.setattr(data_port, "GRACE", 60.0)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as found:
        yield found


async def cancelled_on_the_way(client: AsyncClient, **options: Any) -> None:
    under_way = asyncio.Event()
    loop = asyncio.get_running_loop()

    def look(progress: Progress) -> None:
        if progress.transferred:
            loop.call_soon_threadsafe(under_way.set)

    task = asyncio.create_task(client.upload(BIG, "f", progress=look, **options))
    await under_way.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_cancelled_upload_leaves_nothing(peer: FTPPeer) -> None:
    async def body(client: AsyncClient) -> None:
        for _ in range(3):
            await cancelled_on_the_way(client)
        assert harvest(peer.root) == {}
        await client.upload(b"whole", "f")
        assert harvest(peer.root) == {"f": b"whole"}

    run(peer, body, upload_rate=SLOW)


def test_an_upload_whose_source_fails_leaves_nothing(peer: FTPPeer) -> None:
    def source() -> Iterator[bytes]:
        yield bytes(100_000)
        raise KeyError("no more")

    async def body(client: AsyncClient) -> None:
        (peer.root / "f").write_bytes(b"old")
        with pytest.raises(KeyError):
            await client.upload(source(), "f")
        assert harvest(peer.root) == {"f": b"old"}

    run(peer, body)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_an_interrupted_upload_leaves_nothing(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with run_pyftpdlib(tmp_path) as peer:
            client = Client(peer.url, user=peer.user, password=peer.password, upload_rate=SLOW)
            sent = threading.Event()

            def look(progress: Progress) -> None:
                if progress.transferred and not sent.is_set():
                    sent.set()
                    os.kill(os.getpid(), signal.SIGINT)

            with client:
                with pytest.raises(KeyboardInterrupt):
                    client.upload(BIG, "f", progress=look)
                assert harvest(peer.root) == {}
                client.upload(b"whole", "f")
            assert harvest(peer.root) == {"f": b"whole"}
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_is_to_be_resumed_stays_when_it_is_cancelled(tmp_path: Path) -> None:
    with run_pyftpdlib(tmp_path) as peer:

        async def session() -> None:
            async with client_of(peer, upload_rate=SLOW) as client:
                await cancelled_on_the_way(client, resume=True)
            assert list(harvest(peer.root)) == [".f.part"]

        asyncio.run(session())


def test_a_file_cut_short_under_its_own_name_is_not_called_whole(server: ScriptedServer) -> None:
    """Where nothing is written beside it, the server at least finds the connection broken."""
    ends: list[str] = []

    def store(control: Control, argument: str) -> None:
        control.reply("150 go ahead")
        data = control.data()
        try:
            while data.recv(65536):
                pass
            ends.append("ended")
        except ConnectionResetError:
            ends.append("broken")
        control.reply("426 broken")

    server.handlers["STOR"] = store

    async def session() -> None:
        async with AsyncClient(server.url, atomic=False, upload_rate=SLOW) as client:
            await cancelled_on_the_way(client)

    asyncio.run(session())
    server.close()
    assert ends == ["broken"]


def test_a_server_that_says_nothing_is_not_waited_for_long(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_port, "GRACE", 0.2)

    def store(control: Control, argument: str) -> None:
        control.reply("150 go ahead")
        data = control.data()
        with contextlib.suppress(ConnectionResetError):
            while data.recv(65536):
                pass
        # The end of the control connection is all that ends this.
        control.read_line()

    server.handlers["STOR"] = store

    async def session() -> None:
        timeouts = Timeouts(reply=3600, data=3600)
        async with AsyncClient(server.url, timeouts=timeouts, upload_rate=SLOW) as client:
            await asyncio.wait_for(cancelled_on_the_way(client), 60)

    asyncio.run(session())
