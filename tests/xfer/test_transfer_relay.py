"""From one socket to another."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import zlib

import pytest


@pytest.fixture(params=["splice", "copy", "crc"])
def how(request):
    return {"splice": {}, "copy": {"zero_copy": False}, "crc": {"crc": True}}[request.param]


@pytest.fixture
def ends(tcp_pair):
    """The source's peer and socket, the target's socket and peer."""
    source, source_peer = tcp_pair()
    target, target_peer = tcp_pair()
    return source_peer, source, target, target_peer


@pytest.mark.parametrize("size", [0, 1, 65_537, 5_000_000])
@pytest.mark.parametrize("counted", [True, False], ids=["counted", "to-the-end"])
def test_what_comes_in_goes_out(twin, drive, ends, background, tools, how, size, counted):
    source_peer, source, target, target_peer = ends
    content = random.Random(size).randbytes(size)

    def feed():
        source_peer.sendall(content)
        if not counted:
            source_peer.shutdown(socket.SHUT_WR)

    background(feed)
    got = background(tools.read_exactly, target_peer, size)
    transfer = drive(
        twin.Transfer(
            source.fileno(), framing=twin.RAW, relay_fd=target.fileno(), recv_count=size if counted else -1,
            timeout=60, **how,
        )
    )  # fmt: skip
    assert (transfer.error, transfer.received) == (0, size)
    assert transfer.crc32 == (zlib.crc32(content) if "crc" in how else 0)
    assert got.result(60) == content


def test_a_source_that_ends_too_soon(twin, drive, ends, how):
    source_peer, source, target, _ = ends
    source_peer.sendall(b"half")
    source_peer.close()
    transfer = drive(twin.Transfer(source.fileno(), framing=twin.RAW, relay_fd=target.fileno(), recv_count=8, **how))
    assert (transfer.error, transfer.error_side, transfer.received) == (errno.ECONNRESET, "socket", 4)


def test_a_target_that_has_gone(twin, drive, ends, background, how):
    source_peer, source, target, target_peer = ends
    target_peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    target_peer.close()

    def feed():
        with contextlib.suppress(OSError):  # the relay gives up
            source_peer.sendall(bytes(50_000_000))

    background(feed)
    transfer = drive(twin.Transfer(source.fileno(), framing=twin.RAW, relay_fd=target.fileno(), timeout=60, **how))
    source.close()
    assert transfer.error in (errno.EPIPE, errno.ECONNRESET)
    assert transfer.error_side == "relay"


def test_a_target_that_stalls(twin, drive, ends, background, how):
    source_peer, source, target, _ = ends

    def feed():
        with contextlib.suppress(OSError):
            source_peer.sendall(bytes(50_000_000))

    background(feed)
    transfer = drive(
        twin.Transfer(source.fileno(), framing=twin.RAW, relay_fd=target.fileno(), idle_timeout=0.2, **how)
    )
    source.close()
    assert transfer.error == errno.ETIMEDOUT
    assert transfer.received < 50_000_000
