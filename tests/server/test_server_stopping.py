"""Connections that do not want to end, and the end of the server: nothing is left open, nobody is waited for."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

import pytest

from tests.server.dialogue import Running, wait_for


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
