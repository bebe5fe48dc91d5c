"""An exchange that may sleep in its receive saves a call, and nothing else changes: time, signals, a lost peer."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import threading
import time

import pytest

native = pytest.importorskip("fastxfer._ext.xfer")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="receives do not sleep here")

SLICE = 0.25
"""No receive sleeps longer, seconds."""


@pytest.fixture
def sleepy(tcp_pair):
    ours, peer = tcp_pair()
    assert native.let_sleep(ours.fileno())
    return ours, peer


def ask(sock, timeout):
    return native.exchange(sock.fileno(), b"request", timeout, 0, 1 << 20, True)


def test_a_reply_is_slept_for(sleepy, background, tools):
    ours, peer = sleepy

    def answer():
        for size in (0, 30, 16_374, 16_375, 1_000_000):
            tools.read_exactly(peer, 7)
            time.sleep(0.02)
            peer.sendall(tools.reply(b"b" * size))

    background(answer)
    for size in (0, 30, 16_374, 16_375, 1_000_000):
        assert ask(ours, tools.patience) == (0, 0, b"b" * size)


def test_a_reply_may_take_longer_than_one_sleep(sleepy, background, tools):
    ours, peer = sleepy

    def answer():
        tools.read_exactly(peer, 7)
        for piece in (tools.reply(b"late")[:3], tools.reply(b"late")[3:12], tools.reply(b"late")[12:]):
            time.sleep(2 * SLICE)
            peer.sendall(piece)

    background(answer)
    assert ask(ours, tools.patience) == (0, 0, b"late")


@pytest.mark.parametrize("timeout", [0.05, 3 * SLICE])
def test_a_silent_peer_is_waited_for_until_the_time_is_up(sleepy, timeout):
    ours, _ = sleepy
    start = time.monotonic()
    assert ask(ours, timeout)[0] == errno.ETIMEDOUT
    assert time.monotonic() - start >= timeout


def test_bytes_that_drip_in_do_not_stretch_the_time(sleepy, background, tools):
    ours, peer = sleepy
    over = threading.Event()

    def drip():
        tools.read_exactly(peer, 7)
        for byte in tools.reply(bytes(5000)):
            peer.sendall(bytes((byte,)))
            if over.wait(0.05):
                break

    background(drip)
    try:
        assert ask(ours, 2 * SLICE)[0] == errno.ETIMEDOUT
    finally:
        over.set()


def test_a_peer_that_hangs_up_ends_the_sleep(sleepy, background, tools):
    ours, peer = sleepy

    def hang_up():
        tools.read_exactly(peer, 7)
        peer.shutdown(socket.SHUT_RDWR)

    background(hang_up)
    assert ask(ours, None) == (errno.ECONNRESET, -1, b"")


def test_a_signal_is_handled_in_the_middle_of_the_sleep(sleepy, background, tools):
    ours, peer = sleepy
    handled = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: handled.set())

    def answer():
        tools.read_exactly(peer, 7)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert handled.wait(tools.patience), "the reply comes only after the handler has run"
        peer.sendall(tools.reply(b"after"))

    try:
        background(answer)
        assert ask(ours, tools.patience) == (0, 0, b"after")
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_where_the_socket_does_not_block_it_is_waited_for(tcp_pair, background, tools):
    ours, peer = tcp_pair()

    def answer():
        tools.read_exactly(peer, 7)
        time.sleep(0.05)
        peer.sendall(tools.reply(b"body"))

    background(answer)
    assert ask(ours, tools.patience) == (0, 0, b"body")


def test_a_transfer_to_a_file_leaves_the_socket_as_it_was(sleepy, background, tools, make_file):
    ours, peer = sleepy
    background(peer.sendall, tools.reply(bytes(1_000_000)))
    transfer = native.Transfer(
        ours.fileno(), framing=native.FRAMING_FASTDFS, recv_fd=make_file(), timeout=tools.patience
    )
    transfer.run()
    assert (transfer.error, transfer.received) == (0, 1_000_000)
    assert os.get_blocking(ours.fileno())


def test_what_is_no_socket_cannot_sleep(make_file):
    assert not native.let_sleep(make_file())
