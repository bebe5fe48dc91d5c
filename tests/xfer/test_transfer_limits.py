"""What ends or slows a transfer: deadlines, idleness, cancellation, rate limits."""

from __future__ import annotations

import errno
import os
import random
import signal
import socket
import time

import pytest


def test_a_deadline_while_nothing_comes(twin, drive, pair):
    transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.RAW, timeout=0.05))
    assert (transfer.error, transfer.error_side) == (errno.ETIMEDOUT, "socket")


def test_a_deadline_while_nothing_can_be_sent(twin, drive, pair):
    transfer = drive(twin.Transfer(pair[0].fileno(), send=bytes(50_000_000), timeout=0.1))
    assert transfer.error == errno.ETIMEDOUT
    assert 0 < transfer.sent < 50_000_000


def test_a_deadline_ends_even_a_transfer_that_moves(twin, drive, pair, background):
    def drip():
        try:
            while True:
                pair[1].sendall(b"x")
                time.sleep(0.005)
        except OSError:
            pass

    background(drip)
    transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.RAW, timeout=0.2, idle_timeout=60))
    pair[0].close()
    assert transfer.error == errno.ETIMEDOUT


def test_a_deadline_of_zero_is_over_at_once(twin, drive, pair):
    assert drive(twin.Transfer(pair[0].fileno(), send=b"x", timeout=0)).error == errno.ETIMEDOUT


def test_a_peer_that_stalls_is_idle(twin, drive, pair):
    pair[1].sendall(b"something")
    transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.RAW, idle_timeout=0.05, timeout=60))
    assert (transfer.error, transfer.received) == (errno.ETIMEDOUT, 9)


def test_a_slow_peer_is_not_idle(twin, drive, pair, background):
    def drip():
        for _ in range(10):
            pair[1].sendall(b"x")
            time.sleep(0.05)
        pair[1].shutdown(socket.SHUT_WR)

    background(drip)
    transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.RAW, idle_timeout=30))
    assert (transfer.error, transfer.received) == (0, 10)


def test_waiting_for_the_rate_limit_is_not_idleness(twin, drive, pair):
    limit = twin.RateLimit(10_000, 500)
    transfer = drive(twin.Transfer(pair[0].fileno(), send=bytes(4000), limits=[limit], idle_timeout=0.12, timeout=60))
    assert transfer.error == 0


@pytest.mark.parametrize("limited", [False, True])
def test_a_peer_is_not_idle_because_we_were_away(twin, pair, limited):
    away = []

    def stay_away(number, frame):
        pair[1].sendall(b"1234567")
        pair[1].shutdown(socket.SHUT_WR)
        time.sleep(0.4)
        away.append(True)

    limits = [twin.RateLimit(50, 1)] if limited else []
    transfer = twin.Transfer(pair[0].fileno(), framing=twin.RAW, limits=limits, idle_timeout=0.2, timeout=60)
    before = signal.signal(signal.SIGALRM, stay_away)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        transfer.run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert (transfer.error, transfer.received, away) == (0, 7, [True])


def test_a_cancelled_transfer_does_not_begin(twin, drive, pair):
    transfer = twin.Transfer(pair[0].fileno(), send=b"x")
    transfer.cancel()
    drive(transfer)
    assert (transfer.error, transfer.error_side, transfer.sent) == (errno.ECANCELED, "", 0)


def test_a_finished_transfer_cannot_be_cancelled(twin, drive, pair, tools):
    transfer = drive(twin.Transfer(pair[0].fileno(), send=b"x"))
    transfer.cancel()
    assert transfer.error == 0
    pair[0].setblocking(True)
    pair[0].sendall(b"y")
    assert tools.read_exactly(pair[1], 2) == b"xy", "the connection is still good"


@pytest.mark.parametrize("waits", ["to-receive", "to-send", "for-tokens", "for-relay"])
@pytest.mark.parametrize("way", ["run", "engine"])
def test_cancel_wakes_what_sleeps(twin, pair, tcp_pair, background, tools, waits, way):
    what = {"framing": twin.RAW}
    if waits == "to-send":
        what["send"] = bytes(50_000_000)
    elif waits == "for-tokens":
        what.update(send=bytes(1000), limits=[twin.RateLimit(0.001, 1)])
    elif waits == "for-relay":
        what["relay_fd"] = tcp_pair()[0].fileno()
    transfer = twin.Transfer(pair[0].fileno(), **what)
    engine = twin.Engine(1)
    going = background(transfer.run if way == "run" else lambda: tools.finish_in_engine(engine, [transfer]))
    time.sleep(0.05)
    transfer.cancel()
    going.result(60)
    engine.close()
    assert transfer.error == errno.ECANCELED


@pytest.mark.parametrize("way", ["run", "engine"])
def test_cancelling_at_random_points_leaks_nothing(twin, tcp_pair, background, make_file, tools, way):
    """Uploads and downloads are cancelled from another thread at any moment; what they touched stays usable."""
    chance = random.Random(1)
    source = make_file(bytes(3_000_000))
    target = make_file()
    engine = twin.Engine(2)
    count = 500 if twin.name == "c" else 100
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    outcomes = set()
    for number in range(count):
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        peer.settimeout(tools.patience)
        if number % 2:
            what = {"send": b"head", "send_fd": source, "framing": twin.FASTDFS}
        else:
            what = {"send": b"head", "framing": twin.FASTDFS, "recv_fd": target, "recv_offset": 0}
        transfer = twin.Transfer(ours.fileno(), timeout=60, **what)

        def serve(peer=peer, number=number):
            try:
                if number % 2:
                    tools.read_exactly(peer, 3_000_004)
                    peer.sendall(tools.reply())
                else:
                    tools.read_exactly(peer, 4)
                    peer.sendall(tools.reply(bytes(3_000_000)))
            except OSError:
                pass  # cancelled

        serving = background(serve)
        going = background(transfer.run if way == "run" else lambda t=transfer: tools.finish_in_engine(engine, [t]))
        time.sleep(chance.random() * 0.003)
        transfer.cancel()
        going.result(tools.patience)
        outcomes.add(transfer.error)
        ours.close()
        serving.result(tools.patience)
        peer.close()
    assert outcomes <= {0, errno.ECANCELED}
    assert errno.ECANCELED in outcomes
    assert engine.active == 0
    if before:
        engine_pipes = 2 * engine.threads
        assert len(os.listdir("/proc/self/fd")) <= before + engine_pipes
    engine.close()


def test_a_rate_limit_bounds_what_passes(twin, pair, background):
    limit = twin.RateLimit(100_000, 2_000)
    start = time.monotonic()
    transfer = twin.Transfer(pair[0].fileno(), send=bytes(12_000), limits=[limit], timeout=60)
    while not transfer.advance():
        # No more than the burst and what has flowed in since.
        assert transfer.sent <= 2_000 + 100_000 * (time.monotonic() - start)
        time.sleep(0.001)
    assert (transfer.error, transfer.sent) == (0, 12_000)
    assert time.monotonic() - start >= 0.1, "10,000 bytes beyond the burst take a tenth of a second"


@pytest.mark.parametrize("way", ["send", "receive", "file", "relay"])
def test_every_way_of_moving_bytes_is_limited(twin, drive, pair, tcp_pair, background, make_file, way):
    limit = twin.RateLimit(2_000_000, 20_000)
    size = 400_000
    content = bytes(size)
    what = {"framing": twin.RAW, "recv_count": size}
    if way == "send":
        what = {"send_fd": make_file(content)}
    elif way == "file":
        what.update(recv_fd=make_file(), recv_offset=0)
    elif way == "relay":
        what["relay_fd"] = tcp_pair()[0].fileno()
    if way != "send":
        background(pair[1].sendall, content)
    start = time.monotonic()
    transfer = drive(twin.Transfer(pair[0].fileno(), limits=[limit], timeout=60, **what))
    assert (transfer.error, transfer.sent + transfer.received) == (0, size)
    assert time.monotonic() - start >= (size - 20_000) / 2_000_000 * 0.99


def test_a_limit_is_shared(twin, tcp_pair, tools):
    limit = twin.RateLimit(1_000_000, 10_000)
    engine = twin.Engine(2)
    pairs = [tcp_pair() for _ in range(10)]
    start = time.monotonic()
    transfers = [twin.Transfer(ours.fileno(), send=bytes(20_000), limits=[limit], timeout=60) for ours, _ in pairs]
    tools.finish_in_engine(engine, transfers)
    engine.close()
    assert [transfer.error for transfer in transfers] == [0] * 10
    assert time.monotonic() - start >= 0.19 * 0.99


def test_the_strictest_of_several_limits_rules(twin, drive, pair):
    wide, narrow = twin.RateLimit(1e9), twin.RateLimit(100_000, 1_000)
    start = time.monotonic()
    transfer = drive(twin.Transfer(pair[0].fileno(), send=bytes(11_000), limits=[wide, narrow, wide], timeout=60))
    assert transfer.error == 0
    assert time.monotonic() - start >= 0.099


def test_a_limit_can_be_changed_while_it_is_used(twin, pair, background):
    limit = twin.RateLimit(10_000, 1_000)
    assert (limit.bytes_per_second, limit.burst) == (10_000, 1_000)
    transfer = twin.Transfer(pair[0].fileno(), send=bytes(1_000_000), limits=[limit], timeout=60)
    going = background(transfer.run)
    while not transfer.sent:
        time.sleep(0.001)
    limit.bytes_per_second = 1e9
    going.result(60)
    assert transfer.error == 0


def test_a_stalled_peer_holds_no_tokens(twin, tcp_pair):
    """What is reserved for a socket that takes nothing goes back to the bucket."""
    limit = twin.RateLimit(1e6, 50_000)
    stalled = twin.Transfer(tcp_pair()[0].fileno(), framing=twin.RAW, limits=[limit])
    for _ in range(1000):
        assert not stalled.advance()
    ours, _ = tcp_pair()
    other = twin.Transfer(ours.fileno(), send=bytes(50_000), limits=[limit])
    assert other.advance()


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_must_be_positive(twin, rate):
    with pytest.raises(ValueError, match="positive"):
        twin.RateLimit(rate)
    with pytest.raises(ValueError, match="positive"):
        twin.RateLimit(1).bytes_per_second = rate


def test_a_burst_must_not_be_negative(twin):
    with pytest.raises(ValueError, match="burst"):
        twin.RateLimit(1, -1)


def test_bytes_moved_by_other_means_can_be_reserved(twin):
    limit = twin.RateLimit(1000, 100)
    assert limit.reserve(100) == 0
    assert 0.4 < limit.reserve(500) <= 0.5
    assert 0.9 < limit.reserve(500) <= 1.0
    with pytest.raises(ValueError, match="negative"):
        limit.reserve(-1)
