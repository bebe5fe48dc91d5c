"""Connections that do not want to end, and the end of the server: nothing is left open, nobody is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.server import FtpServer, Hooks, TimeoutsConfig, TransferInfo
from tests.server.dialogue import DEADLINE, Dialogue, Running, wait_for


async def close(running: Running) -> None:
    for control in list(running.server.runtime.controls):
        control.finish(b"421 Goodbye.\r\n")


def test_a_client_that_does_not_take_the_last_reply_is_gone_soon(
    serve: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastxfer.server.runtime.LAST_WORDS", 0.2)
    running = serve()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(0.3)
        deaf.connect(running.address)
        wait_for(lambda: running.server.sessions == 1)
        (control,) = running.server.runtime.controls
        flood = b"HELP\r\n" * 1_000_000
        sent = 0
        while not control._transport.get_write_buffer_size():
            with contextlib.suppress(TimeoutError):
                sent += deaf.send(flood[sent : sent + 6000])
        running.do(close(running))
        wait_for(lambda: running.server.sessions == 0)


def ended(sock: socket.socket) -> bool:
    """Whether the server closes the connection; what it says before is thrown away."""
    with contextlib.suppress(ConnectionResetError):
        while sock.recv(65536):
            pass
    return True


def uvloop() -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop = pytest.importorskip("uvloop", reason="uvloop is not installed").new_event_loop()
    return loop


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("turns", range(5))
def test_a_connection_that_comes_while_the_server_stops_is_closed(
    root: Path, turns: int, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def main() -> None:
        server = FtpServer(root, port=0, anonymous=True)
        await server.start()
        with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as client:
            for _ in range(turns):
                await asyncio.sleep(0)
            await server.stop()
            assert await asyncio.get_running_loop().run_in_executor(None, ended, client)
        assert server.sessions == 0

    loop = new_loop()
    try:
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    # A socket that was left open warns when it is collected, and warnings are errors here.
    gc.collect()


def test_listeners_have_heard_of_broken_transfers_when_the_server_has_stopped(
    serve: Callable[..., Running], root: Path
) -> None:
    class Slow(Hooks):
        heard: list[str]

        async def on_transfer_end(self, transfer: TransferInfo) -> None:
            await asyncio.sleep(0.2)
            self.heard.append(transfer.error)

    hooks = Slow()
    hooks.heard = []
    running = serve(hooks=hooks, timeouts=TimeoutsConfig(shutdown=0.1))
    with Dialogue(running.address) as client:
        client.login()
        with client.data() as data:
            assert client.say("STOR a").code == 150
            data.sendall(b"half")
            wait_for(lambda: any(name.endswith(".fxpart") for name in os.listdir(root)))
            running.stop()
    assert hooks.heard == ["the control connection was closed"]
