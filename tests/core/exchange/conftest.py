"""Small files over FTP in one go: the peer of an exchange, and the two ways of carrying one."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.core.conftest import core_module

PATIENCE = 30.0


class Peer:
    """A control connection, and the server's side of it and of its data connections, in this thread's hands."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.port = self.listener.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as door:
            self.client = socket.create_connection(door.getsockname())
            self.server, _ = door.accept()
        self.client.setblocking(False)
        self.exchange = module.Exchange(self.client.fileno(), socket.AF_INET, "127.0.0.1")
        self.data: list[socket.socket] = []

    def accept(self) -> socket.socket:
        self.data.append(self.listener.accept()[0])
        return self.data[-1]

    @property
    def listening(self) -> bytes:
        return b"229 Extended Passive Mode (|||%d|)\r\n" % self.port

    def close(self) -> None:
        self.exchange.close()
        for sock in (self.client, self.server, self.listener, *self.data):
            sock.close()


@pytest.fixture
def peer(implementation: str) -> Iterator[Peer]:
    found = Peer(core_module("ftpexchange", implementation))
    with contextlib.closing(found):
        yield found


@pytest.fixture(params=["run", "watch"])
def carry(request: pytest.FixtureRequest, peer: Peer) -> Iterator[Any]:
    """Carries an exchange that was begun to its end, as a blocking client or an event loop does."""
    if request.param == "run":
        yield lambda patience=PATIENCE: peer.exchange.run(patience)
        return
    watch = peer.module.Watch()
    watch.join(peer.exchange)

    def wait(patience: float = PATIENCE) -> None:
        watch.submit(peer.exchange)
        while peer.exchange in watch.active:
            select.select([watch], [], [], 0.01)
            watch.ready()
            watch.silent(patience)
        assert peer.exchange.done

    with contextlib.closing(watch):
        yield wait


def serve(peer: Peer, work: Any) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def upload_and_name(peer: Peer, **named: Any) -> None:
    """Begin an upload that gets its name and the next one's connection asked for once it is confirmed."""
    peer.exchange.begin(
        b"EPSV\r\nSTOR a\r\n", 5, 1, 0, 4, b"12345", then=b"RNFR a\r\nRNTO b\r\nEPSV\r\n", named_at=3, **named
    )


def commands_within(peer: Peer, seconds: float) -> bytes:
    """What comes on the control connection, waited for so long."""
    ready, _, _ = select.select([peer.server], [], [], seconds)
    return peer.server.recv(1000) if ready else b""
