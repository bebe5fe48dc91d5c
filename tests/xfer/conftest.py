"""Both implementations, every way of driving a transfer, and peers on loopback."""

from __future__ import annotations

import importlib
import os
import select
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

PATIENCE = 60.0
SPARSE = 64 << 30
"""More than any peer here reads."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The twin's engine without threads has a thread after all, and makes no socket block: that is not tested twice."""
    twice = ("[py-inline", "-py-long-calls", "[py-long-calls")
    items[:] = [item for item in items if "/xfer/" not in item.nodeid or not any(id in item.nodeid for id in twice)]


@pytest.fixture(params=["c", "py"])
def twin(request: pytest.FixtureRequest) -> SimpleNamespace:
    """One implementation of the transfers and of the engine."""
    package = "fastxfer._ext" if request.param == "c" else "fastxfer._pure"
    try:
        xfer = importlib.import_module(f"{package}.xfer")
        engine = importlib.import_module(f"{package}.engine")
    except ImportError as error:
        pytest.skip(f"not built: {error}")
    return SimpleNamespace(
        name=request.param,
        Transfer=xfer.Transfer,
        RateLimit=xfer.RateLimit,
        exchange=xfer.exchange,
        NONE=xfer.FRAMING_NONE,
        RAW=xfer.FRAMING_RAW,
        FASTDFS=xfer.FRAMING_FASTDFS,
        Engine=engine.Engine,
    )


def wait_for(engine: Any) -> bool:
    """Whether the engine has something to collect, after some patience."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(engine, select.POLLIN)
        return bool(poll.poll(PATIENCE * 1000))
    return bool(select.select([engine], [], [], PATIENCE)[0])


def finish_in_engine(engine: Any, transfers: list[Any]) -> None:
    """Carry *transfers* to their end in *engine*; what an engine without threads hands back goes on elsewhere."""
    for transfer in transfers:
        engine.submit(transfer)
    waiting = set(transfers)
    while waiting:
        assert wait_for(engine), "the engine finished nothing"
        for transfer in engine.completed():
            waiting.remove(transfer)
            if not transfer.done:
                transfer.run()


@pytest.fixture(params=["run", "advance", "engine", "inline"])
def drive(request: pytest.FixtureRequest, twin: SimpleNamespace) -> Iterator[Callable[[Any], Any]]:
    """Carries a transfer to its end, in each of the ways there are."""
    if request.param == "run":
        yield lambda transfer: transfer.run() or transfer
    elif request.param == "advance":

        def advance(transfer: Any) -> Any:
            while not transfer.advance(70_000):
                # What it waits for is its own affair: look again soon.
                select.select([], [], [], 0.001)
            return transfer

        yield advance
    else:
        engine = twin.Engine(2 if request.param == "engine" else 0)

        def submit(transfer: Any) -> Any:
            finish_in_engine(engine, [transfer])
            return transfer

        yield submit
        assert engine.active == 0
        engine.close()


@pytest.fixture
def tcp_pair() -> Iterator[Callable[[], tuple[socket.socket, socket.socket]]]:
    """Makes connected TCP sockets: a non-blocking one for the transfer, and the peer's."""
    made: list[socket.socket] = []

    def make() -> tuple[socket.socket, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            peer, _ = listener.accept()
        ours.setblocking(False)
        peer.settimeout(PATIENCE)
        made.extend((ours, peer))
        return ours, peer

    yield make
    for held in made:
        held.close()


@pytest.fixture
def pair(tcp_pair: Callable[[], tuple[socket.socket, socket.socket]]) -> tuple[socket.socket, socket.socket]:
    return tcp_pair()


@pytest.fixture
def background() -> Iterator[Callable[..., Future[Any]]]:
    """Runs a peer's part in a thread of its own; what it raises fails the test."""
    with ThreadPoolExecutor(16) as pool:
        started: list[Future[Any]] = []

        def start(part: Callable[..., Any], *arguments: Any) -> Future[Any]:
            started.append(pool.submit(part, *arguments))
            return started[-1]

        yield start
        for future in started:
            future.result(PATIENCE)


@pytest.fixture
def make_file(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Makes a file with the given content and returns a descriptor for reading and writing."""
    made: list[int] = []

    def make(content: bytes = b"", name: str = "") -> int:
        path = tmp_path / (name or f"file{len(made)}")
        path.write_bytes(content)
        made.append(os.open(path, os.O_RDWR))
        return made[-1]

    yield make
    for descriptor in made:
        os.close(descriptor)


@pytest.fixture
def endless(make_file: Callable[..., int]) -> int:
    """A file without end, as it were."""
    source = make_file()
    os.ftruncate(source, SPARSE)
    return source


def read_exactly(sock: socket.socket, count: int) -> bytes:
    """*count* bytes from a blocking socket, fewer only at the end of the stream."""
    got = bytearray()
    while len(got) < count and (piece := sock.recv(min(1 << 20, count - len(got)))):
        got += piece
    return bytes(got)


def read_to_end(sock: socket.socket) -> bytes:
    got = bytearray()
    while piece := sock.recv(1 << 20):
        got += piece
    return bytes(got)


def content_of(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0)


def reply(body: bytes = b"", status: int = 0, *, length: int | None = None, command: int = 100) -> bytes:
    """A FastDFS reply; *length* is what the header claims."""
    claimed = len(body) if length is None else length
    return claimed.to_bytes(8, "big", signed=True) + bytes([command, status]) + body


@pytest.fixture
def tools() -> SimpleNamespace:
    """The functions above, for the tests."""
    return SimpleNamespace(
        read_exactly=read_exactly,
        read_to_end=read_to_end,
        content_of=content_of,
        reply=reply,
        finish_in_engine=finish_in_engine,
        wait_for=wait_for,
        patience=PATIENCE,
    )
