"""Sending: gathered buffers, files, both; to sockets of all speeds."""

from __future__ import annotations

import array
import errno
import os
import random
import socket
import zlib

import pytest

SIZES = [1, 65536, 65537, 3_000_000]


@pytest.fixture(params=[True, False], ids=["zero-copy", "copy"])
def zero_copy(request):
    return request.param


def test_an_empty_transfer_ends_at_once(twin, drive, pair):
    transfer = drive(twin.Transfer(pair[0].fileno()))
    assert transfer.done
    assert (transfer.error, transfer.error_side, transfer.sent, transfer.received) == (0, "", 0, 0)


def test_buffers_of_all_kinds_are_gathered_in_order(twin, drive, pair, tools):
    parts = [b"bytes", bytearray(b"array"), memoryview(b"xviewx")[1:5], b"", array.array("H", [1, 2, 3])]
    transfer = drive(twin.Transfer(pair[0].fileno(), send=parts))
    expected = b"".join(bytes(part) for part in parts)
    assert tools.read_exactly(pair[1], len(expected)) == expected
    assert (transfer.error, transfer.sent) == (0, len(expected))


def test_more_buffers_than_one_system_call_takes(twin, drive, pair, tools, background):
    parts = [random.Random(i).randbytes(i % 700) for i in range(3000)]
    expected = b"".join(parts)
    got = background(tools.read_exactly, pair[1], len(expected))
    assert drive(twin.Transfer(pair[0].fileno(), send=parts)).error == 0
    assert got.result(tools.patience) == expected


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crc", [False, True], ids=["plain", "crc"])
def test_a_file_follows_its_head(twin, drive, pair, tools, background, make_file, size, crc, zero_copy):
    content = random.Random(size).randbytes(size)
    source = make_file(content)
    got = background(tools.read_exactly, pair[1], size + 4)
    transfer = drive(
        twin.Transfer(pair[0].fileno(), send=b"head", send_fd=source, crc=crc, zero_copy=zero_copy, timeout=60)
    )
    assert (transfer.error, transfer.sent) == (0, size + 4)
    assert transfer.crc32 == (zlib.crc32(content) if crc else 0)
    assert got.result(tools.patience) == b"head" + content


@pytest.mark.parametrize("size", [0, *SIZES])
@pytest.mark.parametrize("head", [b"head", (b"he", b"ad"), ()], ids=["one", "two", "none"])
def test_a_body_from_memory_is_folded_without_its_head(twin, drive, pair, tools, background, size, head):
    content = random.Random(size).randbytes(size)
    expected = b"".join([head] if isinstance(head, bytes) else head) + content
    got = background(tools.read_exactly, pair[1], len(expected))
    transfer = drive(twin.Transfer(pair[0].fileno(), send=head, send_from=bytearray(content), crc=True, timeout=60))
    assert (transfer.error, transfer.sent) == (0, len(expected))
    assert transfer.crc32 == zlib.crc32(content)
    assert got.result(tools.patience) == expected


def test_a_body_from_memory_is_folded_only_where_that_is_asked_for(twin, drive, pair):
    assert drive(twin.Transfer(pair[0].fileno(), send=b"head", send_from=b"body")).crc32 == 0


def test_a_body_from_memory_is_folded_when_all_of_it_has_left(twin, pair, tools):
    body = b"x" * 1000 + b"y"
    transfer = twin.Transfer(pair[0].fileno(), send_from=body, framing=twin.FASTDFS, crc=True)
    assert not transfer.advance(1000)
    assert (transfer.sent, transfer.crc32) == (1000, 0)
    transfer.advance(2000)
    assert (transfer.sent, transfer.crc32) == (1001, zlib.crc32(body)), "the reply has not been waited for"
    pair[1].sendall(tools.reply(b"a file ID"))
    transfer.run()
    assert (transfer.error, transfer.body, transfer.crc32) == (0, b"a file ID", zlib.crc32(body))


def test_a_long_body_from_memory_is_folded_in_turns(twin, pair, tools, background):
    body = bytes(5_000_000)
    transfer = twin.Transfer(pair[0].fileno(), send_from=body, crc=True, timeout=60)
    got = background(tools.read_exactly, pair[1], len(body))
    while transfer.sent < len(body):
        transfer.advance()
    assert len(got.result(tools.patience)) == len(body)
    turns = 0
    while not transfer.advance(1000):
        turns += 1
    assert turns > 5
    assert transfer.crc32 == zlib.crc32(body)


def test_a_body_that_is_answered_early_is_not_folded(twin, drive, pair, tools):
    pair[1].sendall(tools.reply(status=28))
    body = bytes(30_000_000)
    transfer = drive(twin.Transfer(pair[0].fileno(), send_from=body, framing=twin.FASTDFS, crc=True, timeout=60))
    assert (transfer.error, transfer.status, transfer.early, transfer.crc32) == (0, 28, True, 0)
    assert transfer.sent < len(body)


def test_a_body_comes_from_one_place(twin, pair, make_file):
    with pytest.raises(ValueError, match="only one of send_from and send_fd"):
        twin.Transfer(pair[0].fileno(), send_from=b"memory", send_fd=make_file(b"file"))


def test_a_body_that_is_no_buffer_is_refused(twin, pair):
    with pytest.raises(TypeError):
        twin.Transfer(pair[0].fileno(), send=b"head", send_from=3)


def test_part_of_a_file(twin, drive, pair, tools, make_file):
    source = make_file(b"0123456789")
    transfer = drive(twin.Transfer(pair[0].fileno(), send_fd=source, send_offset=3, send_count=4, crc=True))
    assert (transfer.error, transfer.sent, transfer.crc32) == (0, 4, zlib.crc32(b"3456"))
    assert tools.read_exactly(pair[1], 4) == b"3456"
    assert os.lseek(source, 0, os.SEEK_CUR) == 0, "the file position is not touched"


def test_a_range_beyond_four_gibibytes(twin, drive, pair, tools, make_file, zero_copy):
    source = make_file()
    offset = 5 * 2**30 + 123
    os.pwrite(source, b"far away", offset)
    transfer = drive(twin.Transfer(pair[0].fileno(), send_fd=source, send_offset=offset, zero_copy=zero_copy))
    assert (transfer.error, transfer.sent) == (0, 8)
    assert tools.read_exactly(pair[1], 8) == b"far away"


def test_an_empty_file_and_an_offset_at_its_end(twin, drive, pair, make_file):
    assert drive(twin.Transfer(pair[0].fileno(), send_fd=make_file())).sent == 0
    transfer = drive(twin.Transfer(pair[0].fileno(), send_fd=make_file(b"abc"), send_offset=3))
    assert (transfer.error, transfer.sent) == (0, 0)


@pytest.mark.parametrize("content", [b"short", b""])
def test_a_file_shorter_than_promised_is_an_error_of_the_file(twin, drive, pair, make_file, content):
    transfer = drive(twin.Transfer(pair[0].fileno(), send=b"head", send_fd=make_file(content), send_count=6))
    assert (transfer.error, transfer.error_side, transfer.sent) == (errno.EIO, "file", 0)


@pytest.mark.parametrize("crc", [False, True], ids=["plain", "crc"])
def test_a_file_that_shrinks_while_it_is_sent(twin, pair, tools, make_file, crc, zero_copy):
    source = make_file(bytes(20_000_000))
    transfer = twin.Transfer(pair[0].fileno(), send_fd=source, crc=crc, zero_copy=zero_copy, timeout=60)
    assert not transfer.advance(100_000)
    os.ftruncate(source, 10)
    while not transfer.advance():
        pair[1].recv(1 << 20)
    assert (transfer.error, transfer.error_side) == (errno.EIO, "file")
    assert transfer.sent < 20_000_000


def test_a_directory_cannot_be_sent(twin, drive, pair, tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        transfer = drive(twin.Transfer(pair[0].fileno(), send_fd=descriptor))
    finally:
        os.close(descriptor)
    assert (transfer.error, transfer.error_side) == (errno.EISDIR, "file")


def test_a_pipe_is_sent_to_its_end(twin, drive, pair, tools):
    reading, writing = os.pipe()
    os.write(writing, b"from a pipe")
    os.close(writing)
    try:
        transfer = drive(twin.Transfer(pair[0].fileno(), send=b"head ", send_fd=reading))
    finally:
        os.close(reading)
    assert (transfer.error, transfer.sent) == (0, 16)
    assert tools.read_exactly(pair[1], 16) == b"head from a pipe"


def test_a_peer_that_has_gone(twin, drive, pair):
    pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    pair[1].close()
    transfer = drive(twin.Transfer(pair[0].fileno(), send=[b"x" * 10_000_000], timeout=60))
    assert transfer.error in (errno.ECONNRESET, errno.EPIPE)
    assert transfer.error_side == "socket"


def test_a_descriptor_that_is_closed(twin, drive, pair):
    number = pair[0].fileno()
    pair[0].close()
    transfer = drive(twin.Transfer(number, send=b"x"))
    assert (transfer.error, transfer.error_side) == (errno.EBADF, "socket")


def test_advance_keeps_to_its_budget(twin, pair):
    transfer = twin.Transfer(pair[0].fileno(), send=b"x" * 100_000)
    assert not transfer.advance(1000)
    assert transfer.sent == 1000
    transfer.advance(1)
    assert transfer.sent == 1001
