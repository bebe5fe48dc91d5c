"""A long body is slept for in pieces, by the socket's low-water mark: never for more than comes, never for ever."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

native = pytest.importorskip("fastxfer._ext.xfer")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sets no mark here")

FASTDFS, RAW = native.FRAMING_FASTDFS, native.FRAMING_RAW
ENDLESS = 1 << 40
CHUNK = bytes(300_000)


@pytest.fixture
def nowhere() -> Iterator[int]:
    descriptor = os.open(os.devnull, os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


def mark(sock: socket.socket) -> int:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)


def eventually(condition: Callable[[], bool], tools: Any) -> None:
    deadline = time.monotonic() + tools.patience
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def flood(peer: socket.socket, begin: bytes) -> None:
    """Send for ever."""
    with contextlib.suppress(OSError):
        peer.sendall(begin)
        while True:
            peer.sendall(CHUNK)


def asleep(thread: threading.Thread) -> bool:
    stat = Path(f"/proc/self/task/{thread.native_id}/stat").read_text()
    return stat.rpartition(") ")[2][0] == "S"


@contextlib.contextmanager
def running(transfer: Any, tools: Any) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=transfer.run)
    thread.start()
    try:
        yield thread
    finally:
        transfer.cancel()
        thread.join(tools.patience)
    assert not thread.is_alive()


def test_the_next_reply_may_be_small(pair, background, tools, nowhere):
    ours, peer = pair
    for size in (100_000, 262_144, 3_000_000):
        background(peer.sendall, tools.reply(bytes(size)))
        transfer = native.Transfer(ours.fileno(), framing=FASTDFS, recv_fd=nowhere, timeout=tools.patience)
        transfer.run()
        assert (transfer.error, transfer.received) == (0, size)
        assert mark(ours) == 1
        peer.sendall(tools.reply(b"small"))
        assert native.exchange(ours.fileno(), b"", tools.patience) == (0, 0, b"small")


@pytest.mark.parametrize("way", ["cancelled", "closed", "reset", "timeout"])
def test_however_it_ends_the_mark_is_taken_back(pair, background, tools, nowhere, way):
    ours, peer = pair
    background(flood, peer, tools.reply(length=ENDLESS))
    transfer = native.Transfer(ours.fileno(), framing=FASTDFS, recv_fd=nowhere, timeout=1 if way == "timeout" else None)
    with running(transfer, tools):
        if way != "timeout":
            eventually(lambda: mark(ours) > 1, tools)
        if way == "cancelled":
            transfer.cancel()
        elif way == "closed":
            peer.shutdown(socket.SHUT_RDWR)
        elif way == "reset":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(peer.detach())
        eventually(lambda: transfer.done, tools)
    wanted = {"cancelled": errno.ECANCELED, "timeout": errno.ETIMEDOUT}.get(way, errno.ECONNRESET)
    assert transfer.error == wanted
    assert mark(ours) == 1
    ours.close()


def test_an_interrupted_transfer_takes_it_back(pair, background, tools, nowhere):
    class Enough(Exception):
        pass

    def interrupt(number, frame):
        if transfer.received:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise Enough

    ours, peer = pair
    background(flood, peer, tools.reply(length=ENDLESS))
    transfer = native.Transfer(ours.fileno(), framing=FASTDFS, recv_fd=nowhere)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        with pytest.raises(Enough):
            transfer.run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert mark(ours) == 1
    ours.close()


@pytest.mark.parametrize("left", [20_000, 100_000, 200_000])
def test_nobody_sleeps_for_more_than_is_still_to_come(pair, background, tools, nowhere, left):
    ours, peer = pair
    sent = 1_000_000
    transfer = native.Transfer(ours.fileno(), framing=FASTDFS, recv_fd=nowhere)
    with running(transfer, tools) as thread:
        background(peer.sendall, tools.reply(bytes(sent), length=sent + left))
        eventually(lambda: transfer.received == sent and asleep(thread), tools)
        assert mark(ours) <= left
        peer.sendall(bytes(left))
        eventually(lambda: transfer.done, tools)
    assert (transfer.error, transfer.received) == (0, sent + left)


@pytest.mark.parametrize("length", [ENDLESS, None], ids=["known", "unknown"])
def test_bytes_of_a_slow_peer_are_taken_before_the_piece_is_full(pair, background, tools, nowhere, length):
    ours, peer = pair
    begin, framing = (b"", RAW) if length is None else (tools.reply(length=length), FASTDFS)
    transfer = native.Transfer(ours.fileno(), framing=framing, recv_fd=nowhere)
    first, drops = 700_000, [999 * number for number in range(1, 21)]
    with running(transfer, tools):
        background(peer.sendall, begin + bytes(first))
        for drop in drops:
            eventually(lambda so_far=first + drop - 999: transfer.received == so_far, tools)
            peer.sendall(b"x" * 999)
        eventually(lambda: transfer.received == first + drops[-1], tools)
        peer.shutdown(socket.SHUT_WR)
        eventually(lambda: transfer.done, tools)
    assert transfer.error == (0 if length is None else errno.ECONNRESET)
    assert transfer.received == first + drops[-1]


def test_a_body_of_unknown_length_sleeps_in_pieces_too(pair, background, tools, nowhere):
    ours, peer = pair
    background(flood, peer, b"")
    transfer = native.Transfer(ours.fileno(), framing=RAW, recv_fd=nowhere)
    with running(transfer, tools):
        eventually(lambda: mark(ours) > 1, tools)
        peer.shutdown(socket.SHUT_RDWR)
        eventually(lambda: transfer.done, tools)
    assert transfer.error == 0
    assert mark(ours) == 1


def test_a_small_body_sets_no_mark(pair, background, tools):
    ours, peer = pair
    transfer = native.Transfer(ours.fileno(), framing=FASTDFS)
    with running(transfer, tools) as thread:
        peer.sendall(tools.reply(length=16_000))
        eventually(lambda: transfer.length == 16_000 and asleep(thread), tools)
        assert mark(ours) == 1
        peer.sendall(bytes(16_000))
        eventually(lambda: transfer.done, tools)
    assert transfer.body == bytes(16_000)
