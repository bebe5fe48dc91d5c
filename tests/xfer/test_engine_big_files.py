"""Big files to peers that take them fast: the engine may give each a thread, and still owes all that it owes others."""

from __future__ import annotations

import errno
import os
import random
import sys
import threading
import time
import zlib

import pytest


@pytest.fixture(params=[1, 2], ids=lambda count: f"{count}-threads")
def engine(request, twin):
    made = twin.Engine(request.param)
    yield made
    made.close()


@pytest.fixture
def collect(tools):
    """Collects the next *count* finished transfers."""

    def collect(engine, count):
        done = []
        while len(done) < count:
            assert tools.wait_for(engine), f"{len(done)} of {count} finished"
            done += [transfer for transfer in engine.completed() if transfer.done]
        return done

    return collect


class Reader:
    """A peer that reads fast, until the stream ends or it is told to stop."""

    def __init__(self, background, sock):
        self._stop = threading.Event()
        self._sock = sock
        self.ended = background(self._read)

    def _read(self):
        block = bytearray(1 << 20)
        try:
            while not self._stop.is_set() and self._sock.recv_into(block):
                time.sleep(0.001)  # fast enough, and the machine has other things to do
        except ConnectionError:
            pass

    def stop(self):
        """It reads no more."""
        self._stop.set()


@pytest.fixture(params=[False, True], ids=["short-calls", "long-calls"])
def may_block(request, twin):
    """Whether the engine may make a big file's socket block."""
    return request.param


@pytest.fixture
def stream(twin, may_block, tcp_pair, background, endless, tools):
    """Starts a transfer without end to a fast peer: the transfer and the peer."""
    peers = []
    sockets = []

    def start(engine, **options):
        ours, peer = tcp_pair()
        sockets.append(ours)
        transfer = twin.Transfer(ours.fileno(), send_fd=endless, may_block=may_block, **options)
        engine.submit(transfer)
        peers.append(Reader(background, peer))
        return transfer, peers[-1]

    yield start
    for peer in peers:
        peer.stop()
    for ours in sockets:
        ours.close()
    for peer in peers:
        peer.ended.result(tools.patience)


def wait_until(condition, tools):
    end = time.monotonic() + tools.patience
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def under_way(transfer, tools):
    """Wait until *transfer* has moved on by much more than a socket holds."""
    mark = transfer.sent + (16 << 20)
    wait_until(lambda: transfer.sent > mark, tools)


def test_the_bytes_of_many_files_at_once(twin, engine, may_block, tools, tcp_pair, background, make_file):
    content = random.Random(1).randbytes(24_000_000)
    source = make_file(content)
    pairs = [tcp_pair() for _ in range(10)]
    got = [background(tools.read_exactly, peer, len(content)) for _, peer in pairs]
    transfers = [twin.Transfer(ours.fileno(), send_fd=source, timeout=100, may_block=may_block) for ours, _ in pairs]
    tools.finish_in_engine(engine, transfers)
    assert [(transfer.error, transfer.sent) for transfer in transfers] == [(0, len(content))] * 10
    assert {zlib.crc32(future.result(tools.patience)) for future in got} == {zlib.crc32(content)}


def test_part_of_a_file_to_a_peer_that_is_slow_at_first(
    twin, engine, may_block, tools, tcp_pair, background, make_file, collect
):
    content = random.Random(2).randbytes(30_000_000)
    ours, peer = tcp_pair()
    transfer = twin.Transfer(
        ours.fileno(),
        send_fd=make_file(content),
        send_offset=1_234_567,
        send_count=25_000_000,
        may_block=may_block,
    )
    engine.submit(transfer)
    time.sleep(0.1)
    got = background(tools.read_exactly, peer, 25_000_000)
    assert collect(engine, 1) == [transfer]
    assert (transfer.error, transfer.sent) == (0, 25_000_000)
    assert got.result(tools.patience) == content[1_234_567:26_234_567]


def test_they_hold_up_no_other(twin, engine, stream, tools, tcp_pair, collect):
    """More of them than the engine has threads; what comes after them is done while they run."""
    big = [stream(engine)[0] for _ in range(9)]
    for transfer in big:
        under_way(transfer, tools)
    for number in range(20):
        ours, peer = tcp_pair()
        small = twin.Transfer(ours.fileno(), send=b"request", framing=twin.FASTDFS, timeout=tools.patience)
        engine.submit(small)
        assert tools.read_exactly(peer, 7) == b"request"
        peer.sendall(tools.reply(b"%d" % number))
        assert collect(engine, 1) == [small]
        assert (small.error, small.body) == (0, b"%d" % number)
    for transfer in big:
        under_way(transfer, tools)
        transfer.cancel()
    assert {transfer.error for transfer in collect(engine, 9)} == {errno.ECANCELED}


@pytest.mark.skipif(sys.platform != "linux", reason="holds threads up with a FIFO")
def test_neither_do_they_when_a_disk_stalls(twin, stream, tools, tcp_pair, make_file, collect):
    """All threads carry files or wait for a source that does not deliver; another transfer goes through."""
    if twin.name != "c":
        pytest.skip("the twin has no sentinel")
    engine = twin.Engine(2)
    big = [stream(engine)[0] for _ in range(9)]
    for transfer in big:
        under_way(transfer, tools)
    reading, writing = os.pipe()
    ours, _ = tcp_pair()
    engine.submit(twin.Transfer(ours.fileno(), send_fd=reading, tag="stuck"))
    time.sleep(0.1)
    ours, peer = tcp_pair()
    free = twin.Transfer(ours.fileno(), send_fd=make_file(b"content"), timeout=tools.patience)
    engine.submit(free)
    assert collect(engine, 1) == [free]
    assert tools.read_exactly(peer, 7) == b"content"
    for transfer in big:
        under_way(transfer, tools)
        transfer.cancel()
    os.close(writing)
    assert {transfer.error for transfer in collect(engine, 10)} == {errno.ECANCELED, 0}
    engine.close()
    os.close(reading)


def test_never_more_than_eight_threads(twin, stream, tools, collect):
    if twin.name != "c" or not os.path.isdir("/proc/self"):
        pytest.skip("counts native threads")
    engine = twin.Engine(2)

    def threads():
        # The peers' threads are Python's, which have names of their own.
        return len(os.listdir("/proc/self/task")) - threading.active_count()

    before = threads() - 2
    big = [stream(engine)[0] for _ in range(12)]
    for transfer in big:
        under_way(transfer, tools)
        assert threads() - before <= 8
    for transfer in big:
        transfer.cancel()
    collect(engine, 12)
    # Those that were started for one file each end with it, the others after a while.
    wait_until(lambda: threads() - before <= 3, tools)
    engine.close()


def test_a_peer_that_stops_reading_is_idle(engine, stream, tools, collect):
    transfer, peer = stream(engine, idle_timeout=2)
    under_way(transfer, tools)
    peer.stop()
    assert collect(engine, 1) == [transfer]
    assert (transfer.error, transfer.error_side) == (errno.ETIMEDOUT, "socket")


def test_a_deadline_ends_what_runs_well(engine, stream, collect):
    transfer, _ = stream(engine, timeout=1)
    assert collect(engine, 1) == [transfer]
    assert (transfer.error, transfer.error_side) == (errno.ETIMEDOUT, "socket")


@pytest.mark.parametrize("reads_on", [True, False])
def test_a_cancelled_one_ends(engine, stream, tools, collect, reads_on):
    transfer, peer = stream(engine)
    under_way(transfer, tools)
    if not reads_on:
        peer.stop()
        time.sleep(0.05)
    transfer.cancel()
    assert collect(engine, 1) == [transfer]
    assert transfer.error == errno.ECANCELED


def test_closing_the_engine_ends_them(engine, stream, tools):
    transfers = [stream(engine)[0] for _ in range(4)]
    for transfer in transfers:
        under_way(transfer, tools)
    engine.close()
    assert {(transfer.done, transfer.error) for transfer in transfers} == {(True, errno.ECANCELED)}


def test_a_peer_that_hangs_up(engine, may_block, tools, tcp_pair, twin, endless, collect):
    ours, peer = tcp_pair()
    transfer = twin.Transfer(ours.fileno(), send_fd=endless, may_block=may_block)
    engine.submit(transfer)
    tools.read_exactly(peer, 40 << 20)
    peer.close()
    assert collect(engine, 1) == [transfer]
    assert transfer.error in (errno.EPIPE, errno.ECONNRESET)
    assert transfer.error_side == "socket"


def test_a_file_that_is_cut_short_meanwhile(engine, stream, tools, endless, collect):
    transfer, _ = stream(engine)
    under_way(transfer, tools)
    os.ftruncate(endless, 1000)
    assert collect(engine, 1) == [transfer]
    assert (transfer.error, transfer.error_side) == (errno.EIO, "file")


def test_a_rate_limit_is_kept(twin, engine, tools, stream, collect):
    """A thousandth of what the peer would take."""
    started = time.monotonic()
    transfer, _ = stream(engine, limits=[twin.RateLimit(1 << 20, 1 << 16)])
    wait_until(lambda: transfer.sent > 600_000, tools)
    sent = transfer.sent
    assert sent <= (1 << 16) + (time.monotonic() - started + 0.5) * (1 << 20)
    transfer.cancel()
    assert collect(engine, 1)[0].error == errno.ECANCELED


def test_a_connection_serves_another_transfer_after_a_carried_one(
    twin, engine, may_block, tools, tcp_pair, background, make_file, collect
):
    ours, peer = tcp_pair()
    content = random.Random(3).randbytes(20_000_000)
    source = make_file(content)
    for _ in range(3):
        got = background(tools.read_exactly, peer, len(content))
        engine.submit(twin.Transfer(ours.fileno(), send_fd=source, timeout=tools.patience, may_block=may_block))
        assert collect(engine, 1)[0].error == 0
        assert got.result(tools.patience) == content
        question = twin.Transfer(ours.fileno(), send=b"q", framing=twin.FASTDFS, timeout=tools.patience)
        engine.submit(question)
        assert tools.read_exactly(peer, 1) == b"q"
        peer.sendall(tools.reply(b"answer"))
        assert collect(engine, 1) == [question]
        assert question.body == b"answer"
