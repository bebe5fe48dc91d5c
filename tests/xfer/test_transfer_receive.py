"""Receiving without framing: into memory, into a buffer, into a file; by count or to the end of the stream."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import socket
import subprocess
import sys
import zlib

import pytest

SIZES = [0, 1, 65536, 65537, 4_500_000]


@pytest.fixture(params=[True, False], ids=["zero-copy", "copy"])
def zero_copy(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["counted", "to-the-end"])
def counted(request):
    return request.param


def send_all(peer, content, close):
    peer.sendall(content)
    if close:
        with contextlib.suppress(OSError):  # the other side may have refused it all, and gone
            peer.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sink", ["memory", "buffer", "file"])
@pytest.mark.parametrize("crc", [False, True], ids=["plain", "crc"])
def test_a_body_arrives_whole(twin, drive, pair, background, make_file, tools, size, sink, crc, counted):
    content = random.Random(size).randbytes(size)
    background(send_all, pair[1], content, not counted)
    where = {}
    if sink == "buffer":
        where["recv_into"] = bytearray(size)
    elif sink == "file":
        where.update(recv_fd=make_file(), recv_offset=0)
    transfer = drive(
        twin.Transfer(
            pair[0].fileno(), framing=twin.RAW, recv_count=size if counted else -1, crc=crc, timeout=60, **where
        )
    )
    assert (transfer.error, transfer.error_side, transfer.received) == (0, "", size)
    assert transfer.crc32 == (zlib.crc32(content) if crc else 0)
    if sink == "memory":
        assert transfer.body == content
    else:
        assert transfer.body == b""
        assert (where["recv_into"] if sink == "buffer" else tools.content_of(where["recv_fd"])) == content


@pytest.mark.parametrize("sink", ["memory", "buffer", "file", "relay"])
def test_a_step_of_exactly_what_is_left_ends_it(twin, pair, make_file, sink):
    """Nothing more comes over the socket, so whoever waits for that would wait for ever."""
    content = bytes(4096)
    pair[1].sendall(content)
    where = {}
    relay = socket.socketpair()
    relay[0].setblocking(False)
    if sink == "buffer":
        where["recv_into"] = bytearray(4096)
    elif sink == "file":
        where.update(recv_fd=make_file(), recv_offset=0)
    elif sink == "relay":
        where["relay_fd"] = relay[0].fileno()
    with relay[0], relay[1]:
        transfer = twin.Transfer(pair[0].fileno(), framing=twin.RAW, recv_count=4096, timeout=60, **where)
        assert transfer.advance(4096)
    assert (transfer.error, transfer.received) == (0, 4096)


def test_no_more_than_the_count_is_taken(twin, drive, pair):
    pair[1].sendall(b"first second")
    transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.RAW, recv_count=6))
    assert transfer.body == b"first "
    assert pair[0].recv(100) == b"second"


@pytest.mark.parametrize("size", [1000, 2_000_000])
def test_a_file_is_written_where_asked_and_nowhere_else(
    twin, drive, pair, background, make_file, tools, size, zero_copy
):
    content = random.Random(1).randbytes(size)
    target = make_file(b"." * (size + 20))
    background(send_all, pair[1], content, False)
    transfer = drive(
        twin.Transfer(
            pair[0].fileno(),
            framing=twin.RAW,
            recv_fd=target,
            recv_offset=10,
            recv_count=size,
            zero_copy=zero_copy,
            timeout=60,
        )
    )
    assert transfer.error == 0
    assert tools.content_of(target) == b"." * 10 + content + b"." * 10


@pytest.mark.parametrize("append", [False, True], ids=["position", "append"])
def test_without_an_offset_the_file_position_is_used(twin, drive, pair, background, tmp_path, tools, append, zero_copy):
    content = random.Random(2).randbytes(2_000_000)
    path = tmp_path / "target"
    path.write_bytes(b"before ")
    target = os.open(path, os.O_WRONLY | (os.O_APPEND if append else 0))
    background(send_all, pair[1], content, True)
    try:
        if not append:
            os.lseek(target, 7, os.SEEK_SET)
        transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.RAW, recv_fd=target, zero_copy=zero_copy))
    finally:
        os.close(target)
    assert transfer.error == 0
    assert path.read_bytes() == b"before " + content


def test_a_pipe_takes_the_body(twin, drive, pair, background, zero_copy):
    content = random.Random(3).randbytes(1_000_000)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    background(send_all, pair[1], content, True)
    with open(reading, "rb") as end:
        got = background(end.read)
        try:
            transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.RAW, recv_fd=writing, zero_copy=zero_copy))
        finally:
            os.close(writing)
        assert transfer.error == 0
        assert got.result(60) == content


def test_a_place_beyond_four_gibibytes(twin, drive, pair, background, make_file, zero_copy):
    target = make_file()
    offset = 6 * 2**30 + 1
    content = random.Random(4).randbytes(700_000)
    background(send_all, pair[1], content, True)
    transfer = drive(
        twin.Transfer(
            pair[0].fileno(), framing=twin.RAW, recv_fd=target, recv_offset=offset, recv_count=700_000,
            zero_copy=zero_copy,
        )
    )  # fmt: skip
    assert transfer.error == 0
    assert os.pread(target, 700_001, offset) == content
    assert os.fstat(target).st_size == offset + 700_000


@pytest.mark.parametrize("sent", [0, 10, 1_000_000])
def test_a_stream_that_ends_too_soon(twin, drive, pair, background, make_file, sent):
    target = make_file()
    background(send_all, pair[1], bytes(sent), True)
    transfer = drive(
        twin.Transfer(pair[0].fileno(), framing=twin.RAW, recv_fd=target, recv_offset=0, recv_count=1_500_000)
    )
    assert (transfer.error, transfer.error_side, transfer.received) == (errno.ECONNRESET, "socket", sent)
    assert os.fstat(target).st_size == sent, "the file is no longer than what came"


def test_a_peer_that_resets(twin, drive, pair):
    pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    pair[1].close()
    transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.RAW))
    assert (transfer.error, transfer.error_side) == (errno.ECONNRESET, "socket")


@pytest.mark.parametrize(("room", "error"), [(10, 0), (9, errno.EMSGSIZE), (11, 0)])
def test_a_buffer_takes_what_it_holds(twin, drive, pair, room, error):
    send_all(pair[1], b"0123456789", True)
    target = bytearray(room)
    transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.RAW, recv_into=target))
    assert transfer.error == error
    assert target[: min(room, 10)] == b"0123456789"[:room]


@pytest.mark.parametrize(("limit", "error"), [(100_000, 0), (99_999, errno.EMSGSIZE), (0, errno.EMSGSIZE)])
def test_memory_is_limited(twin, drive, pair, background, limit, error):
    def feed():
        with contextlib.suppress(OSError):  # it may be given up
            send_all(pair[1], b"x" * 100_000, True)

    background(feed)
    transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.RAW, recv_limit=limit))
    assert transfer.error == error
    assert len(transfer.body) == (0 if error else 100_000)
    pair[0].close()


def test_sending_then_receiving(twin, drive, pair, background, tools):
    def answer():
        assert tools.read_exactly(pair[1], 200_000) == b"q" * 200_000
        send_all(pair[1], b"a" * 200_000, True)

    background(answer)
    transfer = drive(twin.Transfer(pair[0].fileno(), send=b"q" * 200_000, framing=twin.RAW, timeout=60))
    assert (transfer.error, transfer.sent, transfer.body) == (0, 200_000, b"a" * 200_000)


def test_the_crc_is_that_of_the_file_sent_when_both_are_there(twin, drive, pair, make_file):
    send_all(pair[1], b"received", True)
    transfer = drive(
        twin.Transfer(pair[0].fileno(), send=b"head", send_fd=make_file(b"sent"), framing=twin.RAW, crc=True)
    )
    assert (transfer.crc32, transfer.body) == (zlib.crc32(b"sent"), b"received")


def test_progress_can_be_read_while_it_runs(twin, pair, background):
    transfer = twin.Transfer(pair[0].fileno(), framing=twin.RAW, timeout=60)
    running = background(transfer.run)
    pair[1].sendall(b"x" * 1000)
    while transfer.received < 1000:
        assert not transfer.done
    pair[1].close()
    running.result(60)
    assert (transfer.done, transfer.received) == (True, 1000)


@pytest.mark.parametrize("expected", [0, 1, 65_536, 65_537, 999_999, 1_000_000, 1_000_001, 5_000_000])
@pytest.mark.parametrize("limit", [1_000_000, 1_000_001, 5_000_000])
def test_more_or_less_than_was_expected_may_come(twin, drive, pair, background, expected, limit):
    body = random.Random(expected).randbytes(1_000_000)

    def serve():
        pair[1].sendall(body)
        pair[1].shutdown(socket.SHUT_WR)

    background(serve)
    transfer = drive(
        twin.Transfer(
            pair[0].fileno(), framing=twin.RAW, recv_expected=expected, recv_limit=limit, crc=True, timeout=60
        )
    )
    assert (transfer.error, transfer.received, transfer.crc32) == (0, len(body), zlib.crc32(body))
    assert transfer.body == body
    assert transfer.body is transfer.body


@pytest.mark.parametrize("expected", [400_000, 500_000, 600_000])
def test_a_limit_holds_whatever_was_expected(twin, drive, pair, background, expected):
    def serve():
        with contextlib.suppress(OSError):
            pair[1].sendall(bytes(600_000))
            pair[1].shutdown(socket.SHUT_WR)

    background(serve)
    transfer = drive(
        twin.Transfer(pair[0].fileno(), framing=twin.RAW, recv_expected=expected, recv_limit=500_000, timeout=60)
    )
    assert (transfer.error, transfer.body) == (errno.EMSGSIZE, b"")


MEMORY = """
import resource, socket, threading
from fastxfer._ext.xfer import FRAMING_RAW, Transfer
SIZE = 3_000_000
ours, peer = socket.socketpair()
ours.setblocking(False)
body = b"x" * SIZE
def serve():
    peer.sendall(body)
    peer.close()
threading.Thread(target=serve).start()
transfer = Transfer(ours.fileno(), framing=FRAMING_RAW, recv_expected=SIZE, timeout=60)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
transfer.run()
received = transfer.body
print(len(received), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.allocator
def test_what_was_expected_is_received_into_what_is_returned(twin):
    if twin.name != "c" or sys.platform != "linux":
        pytest.skip("counts the pages of the compiled module")
    run = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=120, check=True)
    size, faults = map(int, run.stdout.split())
    pages = 3_000_000 // os.sysconf("SC_PAGE_SIZE")
    assert size == 3_000_000
    assert faults < pages * 3 // 2, "memory for one copy, and not for two"
