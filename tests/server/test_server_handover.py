"""Workers share connections: whoever has more sessions than another passes a new one on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastxfer.server import FtpServer, LimitsConfig, TimeoutsConfig, TlsConfig, User, handover
from fastxfer.server.handover import Boxes, Handover
from fastxfer.server.sharedbooks import SharedBooks, WorkerBooks
from tests.server.conftest import Tls
from tests.server.dialogue import ENGINE_DESCRIPTORS, PASSWORD, USER, Dialogue, Running, wait_for

WORKERS = 2


@pytest.fixture
def shared() -> Iterator[tuple[SharedBooks, Boxes]]:
    books, boxes = SharedBooks(WORKERS), Boxes(WORKERS)
    yield books, boxes
    boxes.close()
    books.close()


@pytest.fixture
def workers(root: Path, shared: tuple[SharedBooks, Boxes]) -> Iterator[Callable[..., list[Running]]]:
    """Servers that stand for workers, each with a loop of its own; they have ports of their own too."""
    books, boxes = shared
    with contextlib.ExitStack() as stack:

        def start(**settings: object) -> list[Running]:
            def make(number: int) -> FtpServer:
                users = [(User(name=USER), PASSWORD)]
                timeouts = TimeoutsConfig(shutdown=1.0)
                server = FtpServer(root, port=0, users=users, timeouts=timeouts, **settings)  # type: ignore[arg-type]
                server.share(WorkerBooks(books, number), Handover(boxes, books, number))
                return server

            servers = [Running(lambda number=number: make(number)) for number in range(WORKERS)]  # type: ignore[misc]
            for server in servers:
                stack.callback(server.stop)
            return servers

        yield start


def sessions(servers: list[Running]) -> list[int]:
    return [server.server.sessions for server in servers]


def test_sessions_that_all_come_to_one_worker_end_up_evenly_spread(
    workers: Callable[..., list[Running]], descriptors: Callable[[], int]
) -> None:
    servers = workers()
    left: list[int] = []
    # So often that four connections of each round, were they held by who passed them on, would be more than an engine.
    for _ in range(ENGINE_DESCRIPTORS // 4 + 2):
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Dialogue(servers[0].address)).login() for _ in range(8)]
            wait_for(lambda: sessions(servers) == [4, 4])
            for number, client in enumerate(clients):
                assert client.put(f"STOR file{number}", b"x" * number).code == 226
                assert client.fetch(f"RETR file{number}") == b"x" * number
        wait_for(lambda: sessions(servers) == [0, 0])
        wait_for(lambda: not left or descriptors() <= left[0] + ENGINE_DESCRIPTORS)
        left.append(descriptors())


def test_a_worker_keeps_what_comes_to_it_while_the_others_have_as_many(workers: Callable[..., list[Running]]) -> None:
    servers = workers()
    with Dialogue(servers[0].address), Dialogue(servers[1].address), Dialogue(servers[1].address):
        wait_for(lambda: sessions(servers) == [1, 2])
        with Dialogue(servers[0].address):
            wait_for(lambda: sessions(servers) == [2, 2])


def test_bytes_that_the_client_sends_at_once_are_not_lost_on_the_way(workers: Callable[..., list[Running]]) -> None:
    servers = workers(proxy_protocol=True)
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            client = stack.enter_context(Dialogue(servers[0].address, greet=False))
            client.sock.sendall(b"PROXY TCP4 192.0.2.7 127.0.0.1 40000 21\r\nNOOP\r\nUSER alice\r\n")
            assert [client.read().code for _ in range(3)] == [220, 200, 331]
        wait_for(lambda: sessions(servers) == [4, 4])


def test_implicit_tls_begins_at_the_worker_that_keeps_the_connection(
    workers: Callable[..., list[Running]], tls: Tls
) -> None:
    servers = workers(implicit_tls=True, tls=TlsConfig(cert=tls.cert))
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(Dialogue(servers[0].address, greet=False))
            client.sock = tls.context().wrap_socket(client.sock, server_hostname="localhost")
            assert client.read().code == 220
            client.login()
        wait_for(lambda: sessions(servers) == [2, 2])


def test_limits_hold_for_connections_that_were_passed_on(workers: Callable[..., list[Running]]) -> None:
    servers = workers(limits=LimitsConfig(sessions=3))
    with contextlib.ExitStack() as stack:
        codes = []
        for _ in range(5):
            welcome = stack.enter_context(Dialogue(servers[0].address)).welcome
            assert welcome is not None
            codes.append(welcome.code)
        assert codes == [220] * 3 + [421] * 2


def test_what_waits_for_a_worker_that_died_is_taken_by_the_one_that_replaces_it(
    shared: tuple[SharedBooks, Boxes],
) -> None:
    books, boxes = shared
    near, far = socket.socketpair()

    async def play() -> socket.socket:
        sender = Handover(boxes, books, 0)
        sender.open(lambda connection, listener: connection.close())
        books.connections.enter(0, 0)
        assert sender.pass_on(far.fileno(), 7)
        assert books.loads() == [1, 1]
        far.close()
        books.strike_out(1)
        taken: asyncio.Future[tuple[socket.socket, int]] = asyncio.get_running_loop().create_future()
        replacement = Handover(boxes, books, 1)
        replacement.open(lambda connection, listener: taken.set_result((connection, listener)))
        connection, listener = await asyncio.wait_for(taken, 20)
        assert listener == 7
        assert books.loads() == [1, 0]
        replacement.close()
        sender.close()
        return connection

    with near, asyncio.run(play()) as connection:
        connection.setblocking(True)
        connection.sendall(b"still there")
        assert near.recv(100) == b"still there"
        assert not os.get_inheritable(connection.fileno())


def test_connections_in_their_thousands_stay_where_they_come_in(
    shared: tuple[SharedBooks, Boxes], monkeypatch: pytest.MonkeyPatch
) -> None:
    books, boxes = shared
    now = 1000.0
    monkeypatch.setattr(handover.time, "monotonic", lambda: now)
    monkeypatch.setattr(socket, "send_fds", lambda *arguments: None)
    monkeypatch.setattr(books, "loads", lambda: [10_000, 0])
    sender = Handover(boxes, books, 0)
    sender._loop = asyncio.new_event_loop()
    assert sum(sender.pass_on(0, 0) for _ in range(1000)) == handover.BURST
    now += 1.0
    assert sum(sender.pass_on(0, 0) for _ in range(1000)) == handover.PER_SECOND
    now += 3600.0
    assert sum(sender.pass_on(0, 0) for _ in range(1000)) == handover.BURST
    sender._loop.close()


def test_after_many_that_only_looked_in_connections_stay_where_they_come_in_for_a_while(
    shared: tuple[SharedBooks, Boxes], monkeypatch: pytest.MonkeyPatch
) -> None:
    books, boxes = shared
    now = 1000.0
    monkeypatch.setattr(handover.time, "monotonic", lambda: now)
    monkeypatch.setattr(books, "loads", lambda: [4, 0])
    sender = Handover(boxes, books, 0)
    for _ in range(1000):
        sender.looked_in(now - handover.SHORT)
    assert sender.crowded()
    for _ in range(1000):
        sender.looked_in(now - handover.SHORT / 2)
    assert not sender.crowded()
    now += 2.0
    assert sender.crowded()
    monkeypatch.setattr(books, "loads", lambda: [4, 4])
    assert not sender.crowded()


def test_a_worker_whose_box_is_full_gets_no_more(
    shared: tuple[SharedBooks, Boxes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "BURST", 1_000_000)
    books, boxes = shared
    near, far = socket.socketpair()

    async def play() -> int:
        sender = Handover(boxes, books, 0)
        sender.open(lambda connection, listener: connection.close())
        passed = 0
        end = time.monotonic() + 60
        while time.monotonic() < end:
            # More sessions here than could ever be passed on.
            at = books.connections.start
            books.memory[at : at + 4] = (1_000_000).to_bytes(4, "little")
            if not sender.pass_on(far.fileno(), 0):
                break
            passed += 1
        sender.close()
        return passed

    with near, far:
        passed = asyncio.run(play())
    assert passed > 0
    assert books.loads() == [1_000_000, passed]


OUT_OF_DESCRIPTORS = """
import asyncio, logging, os, resource, socket
from fastxfer.server.handover import Boxes, Handover
from fastxfer.server.sharedbooks import SharedBooks

async def play():
    books, boxes = SharedBooks(2), Boxes(2)
    near, far = socket.socketpair()
    sender, taker, adopted = Handover(boxes, books, 0), Handover(boxes, books, 1), []
    sender.open(lambda connection, listener: None)
    books.connections.enter(0, 0)
    assert sender.pass_on(far.fileno(), 0)
    far.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (os.open("/dev/null", os.O_RDONLY), 4096))
    taker.open(lambda connection, listener: adopted.append(connection))
    near.setblocking(False)
    end = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(near, 1), 20)
    print(end, adopted, books.loads())

logging.basicConfig(format="%(message)s")
asyncio.run(play())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="how a descriptor is lost is the system's affair")
def test_a_connection_that_no_descriptor_is_left_for_is_lost_with_a_word() -> None:
    found = subprocess.run(
        [sys.executable, "-c", OUT_OF_DESCRIPTORS], check=False, capture_output=True, text=True, timeout=60
    )
    assert (found.returncode, found.stdout) == (0, "b'' [] [1, 0]\n"), found.stderr
    assert "no descriptor left" in found.stderr
