"""FastDFS framing: a request, then a reply of a header and a body."""

from __future__ import annotations

import errno
import os
import random
import socket
import struct
import zlib

import pytest

SIZES = [0, 1, 16_374, 16_375, 65_537, 4_500_000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sink", ["memory", "buffer", "file"])
@pytest.mark.parametrize("crc", [False, True], ids=["plain", "crc"])
def test_a_request_and_its_reply(twin, drive, pair, background, make_file, tools, size, sink, crc):
    content = random.Random(size).randbytes(size)

    def answer():
        assert tools.read_exactly(pair[1], 7) == b"request"
        pair[1].sendall(tools.reply(content))

    background(answer)
    where = {}
    if sink == "buffer":
        where["recv_into"] = bytearray(size)
    elif sink == "file":
        where.update(recv_fd=make_file(), recv_offset=0)
    transfer = drive(
        twin.Transfer(pair[0].fileno(), send=b"request", framing=twin.FASTDFS, crc=crc, timeout=60, **where)
    )
    assert (transfer.error, transfer.status, transfer.length, transfer.received) == (0, 0, size, size)
    assert not transfer.early
    assert transfer.crc32 == (zlib.crc32(content) if crc else 0)
    if sink == "memory":
        assert transfer.body == content
    else:
        assert (where["recv_into"] if sink == "buffer" else tools.content_of(where["recv_fd"])) == content


@pytest.mark.parametrize("size", [65_536, 65_537, 1_000_000, 4_500_000])
def test_a_body_of_known_length(twin, drive, pair, background, tools, size):
    content = random.Random(size).randbytes(size)

    def answer():
        tools.read_exactly(pair[1], 7)
        pair[1].sendall(tools.reply(content))

    background(answer)
    known = {"recv_count": size, "recv_limit": size}
    transfer = drive(twin.Transfer(pair[0].fileno(), send=b"request", framing=twin.FASTDFS, timeout=60, **known))
    assert (transfer.error, transfer.status, transfer.received) == (0, 0, size)
    assert transfer.body == content


@pytest.mark.parametrize("body", [b"", b"why"])
def test_an_error_in_place_of_a_body_of_known_length_leaves_no_body(twin, drive, pair, tools, body):
    pair[1].sendall(tools.reply(body, status=2))
    transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.FASTDFS, recv_count=1_000_000, timeout=60))
    assert (transfer.error, transfer.status, transfer.received, transfer.body) == (0, 2, 0, b"")


def test_another_length_than_is_known_is_an_error(twin, drive, pair, tools):
    pair[1].sendall(tools.reply(b"short"))
    transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.FASTDFS, recv_count=1_000_000, timeout=60))
    assert (transfer.error, transfer.body) == (errno.EPROTO, b"")


def test_exchange_is_a_request_and_its_reply_in_one_call(twin, pair, background, tools):
    def answer():
        for size in (0, 30, 100_000):
            tools.read_exactly(pair[1], 7)
            pair[1].sendall(tools.reply(b"b" * size))
        tools.read_exactly(pair[1], 7)
        pair[1].sendall(tools.reply(status=2))

    background(answer)
    descriptor = pair[0].fileno()
    assert twin.exchange(descriptor, b"request", 60) == (0, 0, b"")
    assert twin.exchange(descriptor, [b"req", bytearray(b"uest")], None, 50) == (0, 0, b"b" * 30)
    assert twin.exchange(descriptor, bytearray(b"request"), 60.0, 0, 200_000) == (0, 0, b"b" * 100_000)
    assert twin.exchange(descriptor, b"request", 60) == (0, 2, b"")


def test_exchange_tells_how_it_failed(twin, tcp_pair, tools):
    ours, peer = tcp_pair()
    assert twin.exchange(ours.fileno(), b"request", 0.05)[0] == errno.ETIMEDOUT
    peer.sendall(tools.reply(bytes(11)))
    assert twin.exchange(ours.fileno(), b"request", 60, 0, 10)[0] == errno.EMSGSIZE
    ours, peer = tcp_pair()
    peer.shutdown(socket.SHUT_WR)
    assert twin.exchange(ours.fileno(), b"request", 60) == (errno.ECONNRESET, -1, b"")


def test_exchange_tells_a_reset_before_from_one_behind_the_request(twin, tcp_pair, background, tools):
    def reset(peer):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()

    ours, peer = tcp_pair()
    reset(peer)
    assert twin.exchange(ours.fileno(), b"request", 60) == (errno.EPIPE, -1, b"")
    ours, peer = tcp_pair()
    background(lambda: reset(peer) if tools.read_exactly(peer, 7) else None)
    assert twin.exchange(ours.fileno(), b"request", 60) == (errno.ECONNRESET, -1, b"")


@pytest.mark.parametrize("status", [2, 22, 255])
def test_an_error_reply_has_its_body_drained(twin, drive, pair, make_file, tools, status):
    target = make_file(b"untouched")
    pair[1].sendall(tools.reply(b"explanation", status) + b"next")
    transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.FASTDFS, recv_fd=target, recv_count=5))
    assert (transfer.error, transfer.status, transfer.length, transfer.received) == (0, status, 11, 0)
    assert transfer.body == b""
    assert tools.content_of(target) == b"untouched"


@pytest.mark.parametrize("pieces", [1, 3, 10])
def test_a_header_that_comes_in_pieces(twin, drive, pair, background, tools, pieces):
    message = tools.reply(b"body")

    def answer():
        pair[1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(message), pieces):
            pair[1].sendall(message[start : start + pieces])

    background(answer)
    assert drive(twin.Transfer(pair[0].fileno(), framing=twin.FASTDFS, timeout=60)).body == b"body"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        pytest.param({"length": -1}, errno.EPROTO, id="negative"),
        pytest.param({"length": -(2**63)}, errno.EPROTO, id="most-negative"),
        pytest.param({"length": 2**63 - 1}, errno.EMSGSIZE, id="absurd"),
        pytest.param({"length": 1 << 30}, errno.EMSGSIZE, id="over-the-limit"),
        pytest.param({"length": 1 << 30, "status": 5}, errno.EMSGSIZE, id="error-over-the-limit"),
        pytest.param({"command": 101}, errno.EPROTO, id="not-a-reply"),
        pytest.param({"body": b"abc", "length": 2}, errno.EPROTO, id="longer-than-it-says"),
        pytest.param({"body": b"abc", "length": 4}, errno.ECONNRESET, id="cut"),
    ],
)
def test_replies_that_are_none(twin, drive, pair, tools, message, error):
    pair[1].sendall(tools.reply(**message))
    pair[1].shutdown(socket.SHUT_WR)
    transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.FASTDFS, recv_limit=1 << 20, timeout=60))
    assert (transfer.error, transfer.error_side, transfer.body) == (error, "socket", b"")


@pytest.mark.parametrize("cut", [0, 1, 9])
def test_a_header_cut_short(twin, drive, pair, tools, cut):
    pair[1].sendall(tools.reply()[:cut])
    pair[1].shutdown(socket.SHUT_WR)
    transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.FASTDFS))
    assert (transfer.error, transfer.status, transfer.length) == (errno.ECONNRESET, -1, -1)


@pytest.mark.parametrize(("wanted", "error"), [(10, 0), (9, errno.EPROTO), (11, errno.EPROTO)])
def test_the_length_must_be_the_one_wanted(twin, drive, pair, tools, wanted, error):
    pair[1].sendall(tools.reply(b"0123456789"))
    transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.FASTDFS, recv_count=wanted))
    assert transfer.error == error


def test_a_body_longer_than_the_buffer(twin, drive, pair, tools):
    pair[1].sendall(tools.reply(b"0123456789"))
    target = bytearray(9)
    transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.FASTDFS, recv_into=target))
    assert transfer.error == errno.EMSGSIZE
    assert target == bytes(9)


def test_a_file_may_be_longer_than_the_memory_limit(twin, drive, pair, background, make_file, tools):
    target = make_file()
    background(pair[1].sendall, tools.reply(bytes(500_000)))
    transfer = drive(
        twin.Transfer(pair[0].fileno(), framing=twin.FASTDFS, recv_fd=target, recv_offset=0, recv_limit=10)
    )
    assert (transfer.error, os.fstat(target).st_size) == (0, 500_000)


@pytest.mark.parametrize("body", ["buffer", "file"])
@pytest.mark.parametrize("then", ["stays", "closes", "resets"])
def test_an_early_error_stops_the_sending(twin, drive, pair, background, make_file, tools, body, then):
    size = 50_000_000
    pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)

    def refuse():
        tools.read_exactly(pair[1], 1000)
        pair[1].sendall(tools.reply(status=2))
        if then == "closes":
            pair[1].shutdown(socket.SHUT_WR)
        elif then == "resets":
            pair[1].close()  # with bytes unread: that is a reset

    background(refuse)
    source = make_file()
    os.ftruncate(source, size)
    what = {"send": bytes(size)} if body == "buffer" else {"send": b"head", "send_fd": source}
    transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.FASTDFS, timeout=60, **what))
    if then == "resets" and transfer.error:
        # The reset may overtake the reply.
        assert transfer.error in (errno.ECONNRESET, errno.EPIPE)
    else:
        assert (transfer.error, transfer.status, transfer.early) == (0, 2, True)
    assert transfer.sent < size


def test_an_early_success_is_not_believed(twin, drive, pair, background, tools):
    background(lambda: (tools.read_exactly(pair[1], 1000), pair[1].sendall(tools.reply())))
    transfer = drive(twin.Transfer(pair[0].fileno(), send=bytes(50_000_000), framing=twin.FASTDFS, timeout=60))
    assert (transfer.error, transfer.early) == (errno.EPROTO, True)


def test_more_replies_than_asked_for_mark_the_connection(twin, drive, pair, tools):
    pair[1].sendall(tools.reply(status=2) + tools.reply(status=22))
    transfer = drive(twin.Transfer(pair[0].fileno(), send=b"request", framing=twin.FASTDFS))
    assert (transfer.error, transfer.status, transfer.early) == (0, 2, True)


def test_a_peer_that_closes_while_the_body_is_sent(twin, drive, pair, background, tools):
    background(lambda: (tools.read_exactly(pair[1], 1000), pair[1].close()))
    transfer = drive(twin.Transfer(pair[0].fileno(), send=bytes(50_000_000), framing=twin.FASTDFS, timeout=60))
    assert transfer.error in (errno.ECONNRESET, errno.EPIPE)
    assert transfer.status == -1
