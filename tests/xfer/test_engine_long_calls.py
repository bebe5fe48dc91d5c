"""Big files over sockets that the engine may make block: never for long, and never longer than they are carried."""

from __future__ import annotations

import errno
import os
import random
import socket
import struct
import time

import pytest

MOUTHFUL = 65536

pytestmark = pytest.mark.parametrize("twin", ["c"], indirect=True)
"""The other implementation makes no socket block."""


@pytest.fixture
def engine(twin):
    made = twin.Engine(2)
    yield made
    made.close()


@pytest.fixture
def end_of(tools):
    """Waits until *transfer* has ended, while the peer reads or rests."""

    def end_of(engine, transfer, meanwhile=lambda: None):
        deadline = time.monotonic() + tools.patience
        done = []
        while not done:
            assert time.monotonic() < deadline, "the engine finished nothing"
            meanwhile()
            done = engine.completed()
        assert done == [transfer]
        return transfer

    return end_of


class Nibbler:
    """A peer that reads all the time, but slowly: its socket holds little, so no wait for it is long."""

    def __init__(self, tcp_pair):
        self.ours, self.peer = tcp_pair()
        self.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOUTHFUL)
        self.peer.settimeout(0.01)
        self.got = 0
        self._block = bytearray(MOUTHFUL)

    def read(self):
        """Take what is there, if anything comes soon."""
        try:
            count = self.peer.recv_into(self._block)
        except TimeoutError:
            return
        assert count, "the stream ended"
        self.got += count
        time.sleep(0.001)

    def read_until(self, condition, tools):
        end = time.monotonic() + tools.patience
        while not condition():
            assert time.monotonic() < end
            self.read()


@pytest.fixture
def nibbler(tcp_pair):
    return Nibbler(tcp_pair)


def send_wait(sock):
    """Seconds that a send may take."""
    whole, millionths = struct.unpack("@ll", sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16))
    return whole + millionths / 1e6


def test_the_socket_blocks_meanwhile(twin, engine, nibbler, endless, tools, end_of):
    transfer = twin.Transfer(nibbler.ours.fileno(), send_fd=endless, may_block=True)
    engine.submit(transfer)
    nibbler.read_until(lambda: os.get_blocking(nibbler.ours.fileno()), tools)
    assert 0 < send_wait(nibbler.ours) < 1
    transfer.cancel()
    assert end_of(engine, transfer).error == errno.ECANCELED
    assert not os.get_blocking(nibbler.ours.fileno())
    assert send_wait(nibbler.ours) == 0


def test_without_leave_it_never_does(twin, engine, nibbler, endless, end_of):
    transfer = twin.Transfer(nibbler.ours.fileno(), send_fd=endless)
    engine.submit(transfer)
    while nibbler.got < 16 << 20:
        nibbler.read()
        assert not os.get_blocking(nibbler.ours.fileno())
    transfer.cancel()
    assert end_of(engine, transfer).error == errno.ECANCELED


@pytest.mark.parametrize("blocking", [False, True], ids=["non-blocking", "blocking"])
def test_the_owner_gets_the_socket_back_as_it_was(
    twin, engine, tcp_pair, tools, background, make_file, end_of, blocking
):
    content = random.Random(5).randbytes(20_000_000)
    ours, peer = tcp_pair()
    ours.setblocking(blocking)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 7, 0))
    got = background(tools.read_exactly, peer, len(content))
    transfer = twin.Transfer(ours.fileno(), send_fd=make_file(content), may_block=True)
    engine.submit(transfer)
    assert end_of(engine, transfer, lambda: time.sleep(0.002)).error == 0
    assert got.result(tools.patience) == content
    assert os.get_blocking(ours.fileno()) is blocking
    assert send_wait(ours) == 7


def test_a_peer_that_pauses_is_waited_for_without_blocking(twin, engine, tcp_pair, make_file, tools, end_of):
    content = random.Random(6).randbytes(16_000_000)
    ours, peer = tcp_pair()
    transfer = twin.Transfer(ours.fileno(), send_fd=make_file(content), may_block=True)
    engine.submit(transfer)
    got = bytearray()
    for _ in range(4):
        # It stands still for long enough to be given up.
        time.sleep(0.1)
        end = time.monotonic() + tools.patience
        while os.get_blocking(ours.fileno()):
            assert time.monotonic() < end
            time.sleep(0.002)
        got += tools.read_exactly(peer, 4_000_000)
    assert end_of(engine, transfer, lambda: time.sleep(0.002)).error == 0
    assert got == content


def test_progress_is_seen_while_one_call_would_last_for_seconds(twin, engine, nibbler, endless, tools, end_of):
    transfer = twin.Transfer(nibbler.ours.fileno(), send_fd=endless, may_block=True)
    engine.submit(transfer)
    seen = set()

    def look():
        seen.add(transfer.sent)
        return len(seen) > 10

    nibbler.read_until(look, tools)
    # A call of all that a step may send would have shown nothing before its end.
    assert max(seen) < 64 << 20
    transfer.cancel()
    assert end_of(engine, transfer).error == errno.ECANCELED


def test_it_is_cancelled_though_its_peer_reads_on(twin, engine, nibbler, endless, tools, end_of):
    transfer = twin.Transfer(nibbler.ours.fileno(), send_fd=endless, may_block=True)
    engine.submit(transfer)
    nibbler.read_until(lambda: nibbler.got > 8 << 20, tools)
    transfer.cancel()
    at = nibbler.got
    assert end_of(engine, transfer, nibbler.read).error == errno.ECANCELED
    assert nibbler.got - at < 48 << 20


def test_a_deadline_is_kept_though_its_peer_reads_on(twin, engine, nibbler, endless, end_of):
    transfer = twin.Transfer(nibbler.ours.fileno(), send_fd=endless, timeout=1, may_block=True)
    engine.submit(transfer)
    assert end_of(engine, transfer, nibbler.read).error == errno.ETIMEDOUT


def test_a_peer_that_reads_on_is_not_idle(twin, engine, nibbler, endless, tools, end_of):
    transfer = twin.Transfer(nibbler.ours.fileno(), send_fd=endless, idle_timeout=30, may_block=True)
    engine.submit(transfer)
    nibbler.read_until(lambda: nibbler.got > 40_000_000, tools)
    assert not transfer.done
    transfer.cancel()
    assert end_of(engine, transfer, nibbler.read).error == errno.ECANCELED


def test_a_peer_that_stops_is_idle(twin, engine, nibbler, endless, tools, end_of):
    transfer = twin.Transfer(nibbler.ours.fileno(), send_fd=endless, idle_timeout=2, may_block=True)
    engine.submit(transfer)
    nibbler.read_until(lambda: os.get_blocking(nibbler.ours.fileno()), tools)
    assert end_of(engine, transfer, lambda: time.sleep(0.002)).error == errno.ETIMEDOUT
    assert not os.get_blocking(nibbler.ours.fileno())


def test_the_engine_closes_though_a_peer_reads_on(twin, engine, nibbler, endless, tools, background):
    transfer = twin.Transfer(nibbler.ours.fileno(), send_fd=endless, may_block=True)
    engine.submit(transfer)
    nibbler.read_until(lambda: nibbler.got > 8 << 20, tools)
    closing = background(engine.close)
    nibbler.read_until(closing.done, tools)
    assert (transfer.done, transfer.error) == (True, errno.ECANCELED)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_its_peer_dies(twin, engine, nibbler, endless, tools, end_of, reset):
    transfer = twin.Transfer(nibbler.ours.fileno(), send_fd=endless, may_block=True)
    engine.submit(transfer)
    nibbler.read_until(lambda: os.get_blocking(nibbler.ours.fileno()), tools)
    if reset:
        nibbler.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    nibbler.peer.close()
    assert end_of(engine, transfer, lambda: time.sleep(0.002)).error in (errno.EPIPE, errno.ECONNRESET)
    assert transfer.error_side == "socket"


def test_its_file_is_cut_short(twin, engine, nibbler, endless, tools, end_of):
    transfer = twin.Transfer(nibbler.ours.fileno(), send_fd=endless, may_block=True)
    engine.submit(transfer)
    nibbler.read_until(lambda: os.get_blocking(nibbler.ours.fileno()), tools)
    os.ftruncate(endless, 1000)
    assert end_of(engine, transfer, nibbler.read).error == errno.EIO
    assert transfer.error_side == "file"


def test_others_are_served_while_all_threads_block(twin, engine, endless, tools, tcp_pair, end_of):
    """More slow but steady peers than there may be threads; a request after them is answered."""
    peers = [Nibbler(tcp_pair) for _ in range(9)]
    big = [twin.Transfer(each.ours.fileno(), send_fd=endless, may_block=True) for each in peers]
    for transfer in big:
        engine.submit(transfer)

    def read_all():
        for each in peers:
            each.read()

    for _ in range(40):
        read_all()
    ours, peer = tcp_pair()
    small = twin.Transfer(ours.fileno(), send=b"request", framing=twin.FASTDFS, timeout=tools.patience)
    engine.submit(small)
    assert tools.read_exactly(peer, 7) == b"request"
    peer.sendall(tools.reply(b"answer"))
    assert end_of(engine, small, read_all).body == b"answer"
    engine.close()
    assert {transfer.error for transfer in big} == {errno.ECANCELED}
