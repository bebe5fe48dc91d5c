"""Disks that are full, arguments that make no sense, signals, forks."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import textwrap

import pytest


@pytest.fixture(params=[True, False], ids=["zero-copy", "copy"])
def zero_copy(request):
    return request.param


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_device(twin, drive, pair, background, zero_copy):
    background(pair[1].sendall, bytes(100_000))
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        transfer = drive(
            twin.Transfer(
                pair[0].fileno(), framing=twin.RAW, recv_fd=descriptor, recv_count=100_000, zero_copy=zero_copy
            )
        )
    finally:
        os.close(descriptor)
    assert (transfer.error, transfer.error_side) == (errno.ENOSPC, "file")


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
@pytest.mark.parametrize("size", [50_000, 3_000_000])
def test_a_file_that_may_not_grow(twin, drive, pair, background, make_file, size, zero_copy):
    import resource

    def feed():
        with contextlib.suppress(OSError):  # it is given up
            pair[1].sendall(bytes(size))

    target = make_file()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        background(feed)
        transfer = drive(
            twin.Transfer(
                pair[0].fileno(), framing=twin.RAW, recv_fd=target, recv_offset=0, recv_count=size, zero_copy=zero_copy
            )
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    pair[0].close()
    assert (transfer.error, transfer.error_side) == (errno.EFBIG, "file")
    assert os.fstat(target).st_size <= 20_000


def test_a_file_open_for_reading_only(twin, drive, pair, tmp_path):
    path = tmp_path / "target"
    path.write_bytes(b"")
    descriptor = os.open(path, os.O_RDONLY)
    pair[1].sendall(b"data")
    try:
        transfer = drive(twin.Transfer(pair[0].fileno(), framing=twin.RAW, recv_fd=descriptor, recv_count=4))
    finally:
        os.close(descriptor)
    assert (transfer.error, transfer.error_side) == (errno.EBADF, "file")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"send": 5}, TypeError, None),
        ({"send": ["text"]}, TypeError, None),
        ({"framing": 7}, ValueError, "framing"),
        ({"send_offset": -1}, ValueError, "negative"),
        ({"send_count": -2}, ValueError, "negative"),
        ({"recv_offset": -2}, ValueError, "negative"),
        ({"recv_limit": -1}, ValueError, "negative"),
        ({"spin": -1}, ValueError, "negative"),
        ({"timeout": -1}, ValueError, "timeout"),
        ({"idle_timeout": float("nan")}, ValueError, "idle_timeout"),
        ({"timeout": "soon"}, TypeError, None),
        ({"recv_into": b"read-only", "framing": 1}, BufferError, None),
        ({"recv_into": bytearray(3), "recv_count": 4, "framing": 1}, ValueError, "holds 3"),
        ({"recv_into": bytearray(3), "recv_fd": 1, "framing": 1}, ValueError, "only one"),
        ({"recv_fd": 1, "relay_fd": 1, "framing": 1}, ValueError, "only one"),
        ({"relay_fd": 1, "framing": 2}, ValueError, "FRAMING_RAW"),
        ({"limits": [5]}, TypeError, "RateLimit"),
    ],
)
def test_arguments_that_make_no_sense(twin, arguments, error, message):
    with pytest.raises(error, match=message):
        twin.Transfer(0, **arguments)


@pytest.mark.parametrize("arguments", ["'5'", "5, send_fd='7'", "", "5, nonsense=1"])
def test_arguments_of_the_wrong_type_close_no_descriptor_of_others(twin, arguments):
    script = f"""
        import importlib, os, sys
        xfer = importlib.import_module(sys.argv[1])
        try:
            xfer.Transfer({arguments})
        except TypeError:
            os.fstat(0)
            print("refused")
    """
    done = in_child(script, twin.Transfer.__module__)
    assert done.stdout == "refused\n", done.stderr


def test_a_negative_descriptor(twin):
    with pytest.raises(ValueError, match="descriptor"):
        twin.Transfer(-1)
    with pytest.raises(ValueError, match="descriptor"):
        twin.exchange(-1, b"", None)


def test_a_buffer_with_gaps(twin):
    with pytest.raises(BufferError):
        twin.Transfer(0, send=memoryview(b"abcdef")[::2])


def test_a_budget_must_be_positive(twin, pair):
    with pytest.raises(ValueError, match="max_bytes"):
        twin.Transfer(pair[0].fileno()).advance(0)


def test_buffers_are_held_until_the_end_and_no_longer(twin, drive, pair):
    content = bytearray(b"content")
    transfer = twin.Transfer(pair[0].fileno(), send=[content])
    with pytest.raises(BufferError):
        content.extend(b"more")
    drive(transfer)
    content.extend(b"more")


def test_a_transfer_is_driven_by_one_at_a_time(twin, pair, background, tools):
    transfer = twin.Transfer(pair[0].fileno(), framing=twin.RAW, timeout=60)
    engine = twin.Engine(1)
    engine.submit(transfer)
    for drive in (transfer.run, transfer.advance, lambda: engine.submit(transfer)):
        with pytest.raises(RuntimeError, match="already"):
            drive()
    pair[1].close()
    while not engine.completed():
        pass
    assert transfer.advance(), "it is free again, and done"
    engine.close()


def test_an_abandoned_transfer_leaves_the_socket_alone(twin, pair, tools):
    transfer = twin.Transfer(pair[0].fileno(), framing=twin.RAW)
    assert not transfer.advance()
    del transfer
    pair[0].setblocking(True)
    pair[0].sendall(b"still open")
    assert tools.read_exactly(pair[1], 10) == b"still open"


def in_child(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("call", ["run", "exchange"])
def test_ctrl_c_ends_a_run(twin, call):
    script = """
        import importlib, os, signal, socket, sys, threading, time
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has it ignored in the background
        xfer = importlib.import_module(sys.argv[1])
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        def interrupt():
            peer.recv(1)  # it runs
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        transfer = xfer.Transfer(ours.fileno(), send=b"x", framing=xfer.FRAMING_RAW)
        try:
            transfer.run() if sys.argv[2] == "run" else xfer.exchange(ours.fileno(), b"request", None)
        except KeyboardInterrupt:
            print("interrupted", transfer.error)
        ours.close(), peer.close()
    """
    done = in_child(script, twin.Transfer.__module__, call)
    assert done.stdout == f"interrupted {errno.ECANCELED if call == 'run' else 0}\n", done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_handler_that_returns_lets_it_go_on(twin):
    script = """
        import importlib, os, signal, socket, sys, threading, time
        xfer = importlib.import_module(sys.argv[1])
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        handled = threading.Event()
        signal.signal(signal.SIGUSR1, lambda *_: (print("handled", flush=True), handled.set()))
        def interrupt():
            peer.recv(1)  # it runs
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGUSR1)
            handled.wait()
            peer.sendall(b"data")
        threading.Thread(target=interrupt).start()
        transfer = xfer.Transfer(ours.fileno(), send=b"x", framing=xfer.FRAMING_RAW, recv_count=4)
        transfer.run()
        print(transfer.error, transfer.body)
        ours.close(), peer.close()
    """
    done = in_child(script, twin.Transfer.__module__)
    assert done.stdout == "handled\n0 b'data'\n", done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="needs MSG_NOSIGNAL")
@pytest.mark.parametrize("way", ["file", "relay"])
def test_a_peer_that_hangs_up_kills_no_process_that_leaves_sigpipe_alone(twin, way):
    script = """
        import importlib, signal, socket, sys, tempfile
        xfer = importlib.import_module(sys.argv[1])
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        ours, peer = socket.socketpair()
        gone, other = socket.socketpair()
        other.close()
        peer.sendall(bytes(100_000))
        peer.close()
        with tempfile.TemporaryFile() as file:
            file.write(bytes(1_000_000))
            file.flush()
            if sys.argv[2] == "file":
                transfer = xfer.Transfer(gone.fileno(), send_fd=file.fileno())
            else:
                transfer = xfer.Transfer(ours.fileno(), framing=xfer.FRAMING_RAW, relay_fd=gone.fileno())
            transfer.run()
        print(transfer.error, transfer.error_side)
        ours.close(), gone.close()
    """
    done = in_child(script, twin.Transfer.__module__, way)
    assert done.stdout == f"{errno.EPIPE} {'socket' if way == 'file' else 'relay'}\n", (done.returncode, done.stderr)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("threads", ["0", "2"])
def test_a_forked_child_finds_the_engine_closed_and_makes_a_new_one(twin, threads):
    script = """
        import importlib, os, select, socket, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        xfer = importlib.import_module(sys.argv[1] + ".xfer")
        engine = importlib.import_module(sys.argv[1] + ".engine").Engine(int(sys.argv[2]))

        def carry(engine):
            ours, peer = socket.socketpair()
            ours.setblocking(False)
            transfer = xfer.Transfer(ours.fileno(), framing=xfer.FRAMING_RAW)
            engine.submit(transfer)
            peer.sendall(b"data")
            peer.close()
            while not engine.completed():
                select.select([engine], [], [], 10)
            ours.close()
            return transfer.body

        assert carry(engine) == b"data"
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        under_way = xfer.Transfer(ours.fileno(), framing=xfer.FRAMING_RAW)
        engine.submit(under_way)
        child = os.fork()
        if not child:
            try:
                assert engine.closed
                try:
                    engine.submit(xfer.Transfer(ours.fileno()))
                except RuntimeError:
                    assert engine.completed() == []
                    engine.close()
                    fresh = type(engine)(int(sys.argv[2]))
                    assert carry(fresh) == b"data"
                    fresh.close()
                    os._exit(7)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert not engine.closed
        peer.sendall(b"late")
        peer.close()
        while not engine.completed():
            select.select([engine], [], [], 10)
        print(under_way.body, carry(engine))
        engine.close()
        ours.close()
    """
    done = in_child(script, twin.Transfer.__module__.rpartition(".")[0], threads)
    assert done.stdout == "b'late' b'data'\n", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("way", ["run", "engine"])
def test_a_forked_child_cannot_cancel_what_its_parent_carries(twin, way):
    script = """
        import importlib, os, socket, sys, threading, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        xfer = importlib.import_module(sys.argv[1] + ".xfer")
        engine = importlib.import_module(sys.argv[1] + ".engine").Engine(1)
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        transfer = xfer.Transfer(ours.fileno(), framing=xfer.FRAMING_RAW)
        if sys.argv[2] == "run":
            thread = threading.Thread(target=transfer.run)
            thread.start()
        else:
            engine.submit(transfer)
        peer.sendall(b"early ")
        while not transfer.received:
            time.sleep(0.001)
        child = os.fork()
        if not child:
            try:
                transfer.cancel()
                os._exit(7)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        peer.sendall(b"late")
        peer.close()
        while not transfer.done:
            time.sleep(0.001)
        print(transfer.error, transfer.body)
        if sys.argv[2] == "run":
            thread.join()
        engine.close()
        ours.close()
    """
    done = in_child(script, twin.Transfer.__module__.rpartition(".")[0], way)
    assert done.stdout == "0 b'early late'\n", done.stderr
