"""The loops against bare loops of the same strategy: files, memory, small exchanges.

pytest benchmarks/micro/test_loops.py --benchmark-enable --benchmark-group-by=group
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import socket

import pytest

SIZE = int(os.environ.get("FASTXFER_BENCH_BYTES", str(128 << 20)))
ROUNDS = 5
CHUNK = 1 << 20
F_SETPIPE_SZ = 1031
MEMORY_FOLDER = "/dev/shm"  # noqa: S108

pytestmark = pytest.mark.skipif(not hasattr(os, "sendfile"), reason="the bare loops need sendfile")


@pytest.fixture(scope="module", autouse=True)
def away_from_the_peer():
    """The peer has the first processor; this side takes the others, if there are any."""
    before = os.sched_getaffinity(0)
    if len(before) > 1:
        os.sched_setaffinity(0, before - {0})
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture(scope="module")
def feeder(peer):
    return peer("feed", SIZE)


@pytest.fixture(scope="module")
def sink(peer):
    return peer("discard")


@pytest.fixture(scope="module")
def answerer(peer):
    return peer("answer", 20)


@pytest.fixture(params=["tmpfs", "disk"])
def target(request, tmp_path):
    path = tmp_path / "target"
    if request.param == "tmpfs":
        if not os.path.isdir(MEMORY_FOLDER):
            pytest.skip("no tmpfs")
        path = f"{MEMORY_FOLDER}/fastxfer-bench-{os.getpid()}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    yield request.param, descriptor
    os.close(descriptor)
    os.unlink(path)


@pytest.fixture
def source(tmp_path):
    descriptor = os.open(tmp_path / "source", os.O_RDWR | os.O_CREAT)
    for start in range(0, SIZE, CHUNK):
        os.pwrite(descriptor, os.urandom(min(CHUNK, SIZE - start)), start)
    yield descriptor
    os.close(descriptor)


def transfer_of(kind):
    return importlib.import_module(f"fastxfer.{kind}.xfer")


def carry(transfer):
    transfer.run()
    assert transfer.error == 0


# From a socket to a file


def bare_copy(sock, descriptor):
    sock.setblocking(True)
    buffer = bytearray(512 * 1024)
    view = memoryview(buffer)
    offset = 0
    while count := sock.recv_into(buffer):
        os.pwrite(descriptor, view[:count], offset)
        offset += count


def bare_splice(sock, descriptor):
    sock.setblocking(True)
    reading, writing = os.pipe()
    fcntl.fcntl(writing, F_SETPIPE_SZ, CHUNK)
    offset = 0
    while left := os.splice(sock.fileno(), writing, CHUNK):
        while left:
            count = os.splice(reading, descriptor, left, offset_dst=offset)
            offset += count
            left -= count
    os.close(reading)
    os.close(writing)


def receive_file(kind, **options):
    module = transfer_of(kind)

    def move(sock, descriptor):
        carry(
            module.Transfer(
                sock.fileno(),
                framing=module.FRAMING_RAW,
                recv_fd=descriptor,
                recv_offset=0,
                recv_count=SIZE,
                timeout=60,
                **options,
            )
        )

    return move


RECEIVERS = {
    "bare-copy": bare_copy,
    "bare-splice": bare_splice,
    "c": receive_file("_ext"),
    "c-copy": receive_file("_ext", zero_copy=False),
    "c-crc": receive_file("_ext", crc=True),
    "py": receive_file("_pure"),
}


@pytest.mark.parametrize("name", RECEIVERS)
def test_receive_a_file(benchmark, measure, feeder, target, name):
    if name == "bare-splice" and not hasattr(os, "splice"):
        pytest.skip("no os.splice")
    benchmark.group = f"socket to file on {target[0]}"

    def move(sock):
        os.ftruncate(target[1], 0)
        RECEIVERS[name](sock, target[1])

    measure(move, feeder, SIZE, ROUNDS)


# From a file to a socket


def bare_sendfile(sock, descriptor):
    sock.setblocking(True)
    offset = 0
    while offset < SIZE:
        offset += os.sendfile(sock.fileno(), descriptor, offset, CHUNK)


def bare_read_and_send(sock, descriptor):
    sock.setblocking(True)
    buffer = bytearray(256 * 1024)
    offset = 0
    while count := os.preadv(descriptor, [buffer], offset):
        sock.sendall(memoryview(buffer)[:count])
        offset += count


def send_file(kind, **options):
    module = transfer_of(kind)
    return lambda sock, descriptor: carry(
        module.Transfer(sock.fileno(), send=b"head", send_fd=descriptor, timeout=60, **options)
    )


SENDERS = {
    "bare-sendfile": bare_sendfile,
    "bare-read-and-send": bare_read_and_send,
    "c": send_file("_ext"),
    "c-copy": send_file("_ext", zero_copy=False),
    "c-crc": send_file("_ext", crc=True),
    "c-copy-crc": send_file("_ext", crc=True, zero_copy=False),
    "py": send_file("_pure"),
}


@pytest.mark.parametrize("name", SENDERS)
def test_send_a_file(benchmark, measure, sink, source, name):
    benchmark.group = "file to socket"
    measure(lambda sock: SENDERS[name](sock, source), sink, SIZE, ROUNDS)


# From a socket to memory


def bare_recv_into(sock):
    sock.setblocking(True)
    view = memoryview(bytearray(SIZE))
    offset = 0
    while offset < SIZE:
        offset += sock.recv_into(view[offset : offset + CHUNK])


def bare_extend(sock):
    sock.setblocking(True)
    got = bytearray()
    while piece := sock.recv(65536):
        got += piece


def receive_memory(kind, **options):
    module = transfer_of(kind)

    def move(sock):
        transfer = module.Transfer(
            sock.fileno(), framing=module.FRAMING_RAW, recv_count=SIZE, recv_limit=SIZE, timeout=60, **options
        )
        carry(transfer)
        assert len(transfer.body) == SIZE

    return move


MEMORY = {
    "bare-recv_into": bare_recv_into,
    "bare-extend": bare_extend,
    "c": receive_memory("_ext"),
    "c-crc": receive_memory("_ext", crc=True),
    "py": receive_memory("_pure"),
}


@pytest.mark.parametrize("name", MEMORY)
def test_receive_into_memory(benchmark, measure, feeder, name):
    benchmark.group = "socket to memory"
    measure(MEMORY[name], feeder, SIZE, ROUNDS)


# Small exchanges

REQUEST = bytes(8) + b"d\0"


def bare_exchange(sock):
    sock.settimeout(60)

    def once():
        sock.sendall(REQUEST)
        got = sock.recv(4096)
        while len(got) < 30:
            got += sock.recv(4096)
        return got[10:]

    return once


def native_exchange(kind, spin):
    exchange = transfer_of(kind).exchange
    return lambda sock: lambda: exchange(sock.fileno(), REQUEST, 60.0, spin)


EXCHANGES = {
    "bare": bare_exchange,
    "c": native_exchange("_ext", 0),
    "c-spin-50": native_exchange("_ext", 50),
    "py": native_exchange("_pure", 0),
}


@pytest.mark.parametrize("name", EXCHANGES)
@pytest.mark.parametrize("processors", ["own", "shared"])
def test_exchange(benchmark, answerer, name, processors):
    benchmark.group = f"exchange of 10 and 30 bytes, processor {processors}"
    before = os.sched_getaffinity(0)
    if processors == "shared":
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {0})
    sock: socket.socket = answerer()
    try:
        benchmark.pedantic(EXCHANGES[name](sock), rounds=2000, warmup_rounds=100)
    finally:
        os.sched_setaffinity(0, before)
        sock.close()
