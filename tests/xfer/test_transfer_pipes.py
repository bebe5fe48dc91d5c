"""Bodies that go into a pipe: its reader may be slow, or gone, or never come."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import zlib

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs pipes that do not block")


@pytest.fixture
def full_pipe():
    """The ends of a pipe that does not block and has no room left."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    filled = 0
    try:
        while True:
            filled += os.write(writer, bytes(65536))
    except BlockingIOError:
        yield reader, writer, filled
    os.close(writer)
    os.close(reader)


def read_exactly(reader: int, count: int) -> bytes:
    got = bytearray()
    while len(got) < count:
        got += os.read(reader, min(4096, count - len(got)))
    return bytes(got)


@pytest.mark.parametrize("size", [10, 3_000_000])
@pytest.mark.parametrize("framing", ["raw", "fastdfs"])
def test_a_slow_reader_gets_all(twin, drive, pair, background, tools, full_pipe, framing, size):
    reader, writer, filled = full_pipe
    content = os.urandom(size)
    background(pair[1].sendall, content if framing == "raw" else tools.reply(content))
    read = background(lambda: read_exactly(reader, filled + size)[filled:])
    transfer = drive(
        twin.Transfer(
            pair[0].fileno(),
            framing=twin.RAW if framing == "raw" else twin.FASTDFS,
            recv_fd=writer,
            recv_count=size,
            crc=True,
            idle_timeout=tools.patience,
        )
    )
    assert (transfer.error, transfer.received, transfer.crc32) == (0, size, zlib.crc32(content))
    assert read.result(tools.patience) == content


@pytest.mark.parametrize("limit", ["timeout", "idle_timeout"])
def test_a_reader_that_never_comes_costs_no_more_than_the_timeout(twin, drive, pair, full_pipe, limit):
    pair[1].sendall(b"body")
    transfer = drive(
        twin.Transfer(pair[0].fileno(), framing=twin.RAW, recv_fd=full_pipe[1], recv_count=4, **{limit: 0.2})
    )
    assert (transfer.error, transfer.received) == (errno.ETIMEDOUT, 0)


def test_waiting_for_a_reader_can_be_cancelled(twin, pair, background, full_pipe, tools):
    pair[1].sendall(b"body")
    transfer = twin.Transfer(pair[0].fileno(), framing=twin.RAW, recv_fd=full_pipe[1], recv_count=4)
    running = background(transfer.run)
    transfer.cancel()
    running.result(tools.patience)
    assert transfer.error == errno.ECANCELED


@pytest.mark.parametrize("blocking", [True, False])
def test_ctrl_c_while_a_reader_is_waited_for(twin, blocking):
    script = """
        import importlib, os, select, signal, socket, sys, threading, time
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has it ignored in the background
        xfer = importlib.import_module(sys.argv[1])
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        reader, writer = os.pipe()
        os.set_blocking(writer, sys.argv[2] == "True")
        def interrupt():
            select.select([reader], [], [])  # it runs
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=peer.sendall, args=(bytes(100_000),)).start()
        threading.Thread(target=interrupt).start()
        transfer = xfer.Transfer(ours.fileno(), framing=xfer.FRAMING_RAW, recv_fd=writer, recv_count=100_000)
        try:
            transfer.run()
        except KeyboardInterrupt:
            print("interrupted", transfer.error)
        ours.close(), peer.close()
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script), twin.Transfer.__module__, str(blocking)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == f"interrupted {errno.ECANCELED}\n", done.stderr
