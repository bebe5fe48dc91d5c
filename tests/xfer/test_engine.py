"""The engine: thousands of transfers at once, slow peers and slow disks, start and stop."""

from __future__ import annotations

import errno
import gc
import os
import random
import resource
import select
import socket
import subprocess
import sys
import threading
import time
import weakref
import zlib
from pathlib import Path

import pytest

import fastxfer


@pytest.fixture(params=[0, 1, 2], ids=lambda count: f"{count}-threads")
def engine(request, twin):
    made = twin.Engine(request.param)
    yield made
    made.close()


@pytest.fixture
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 10_000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"the system allows {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def socket_pairs(count):
    pairs = [socket.socketpair() for _ in range(count)]
    for ours, peer in pairs:
        ours.setblocking(False)
        peer.setblocking(False)
    return pairs


def close_all(pairs):
    for pair in pairs:
        for end in pair:
            end.close()


@pytest.fixture
def collect(tools):
    """Collects the next *count* finished transfers."""

    def collect(engine, count):
        done = []
        while len(done) < count:
            assert tools.wait_for(engine), f"{len(done)} of {count} finished"
            done += [transfer for transfer in engine.completed() if transfer.done]
        return done

    return collect


def test_a_fresh_engine_has_nothing_to_do(engine):
    assert (engine.active, engine.closed) == (0, False)
    assert select.select([engine], [], [], 0)[0] == []
    assert engine.completed() == []


@pytest.mark.parametrize("threads", [-1, 9])
def test_the_number_of_threads_is_bounded(twin, threads):
    with pytest.raises(ValueError, match="threads"):
        twin.Engine(threads)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory cannot be limited so")
@pytest.mark.allocator
def test_an_engine_that_cannot_work_for_want_of_memory_is_not_made(twin):
    if twin.name != "c":
        pytest.skip("threads of Python's may end before anything is told of them")
    script = Path(__file__).with_name("isolated") / "engine_memory.py"
    root = Path(fastxfer.__file__).parents[1]
    run = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def test_a_transfer_without_memory_ends_and_others_go_on(twin, collect):
    if twin.name != "py":
        pytest.skip("the compiled steps raise nothing")

    class Starved(twin.Transfer):
        def _step(self, budget):
            raise MemoryError

    engine = twin.Engine(1)
    (ours, _), (others, its_peer) = pairs = socket_pairs(2)
    starved = Starved(ours.fileno(), framing=twin.RAW)
    other = twin.Transfer(others.fileno(), framing=twin.RAW)
    engine.submit(starved)
    engine.submit(other)
    its_peer.close()
    assert set(collect(engine, 2)) == {starved, other}
    assert (starved.error, other.error) == (errno.ENOMEM, 0)
    engine.close()
    close_all(pairs)


def test_only_transfers_are_taken(engine):
    with pytest.raises((TypeError, AttributeError)):
        engine.submit("transfer")
    assert engine.active == 0


def test_two_thousand_exchanges_at_once(twin, engine, tools, many_descriptors, collect):
    count = 2000 if twin.name == "c" else 300
    pairs = socket_pairs(count)
    transfers = []
    for number, (ours, _) in enumerate(pairs):
        transfer = twin.Transfer(ours.fileno(), send=b"request", framing=twin.FASTDFS, timeout=100, tag=number)
        assert not transfer.advance()
        engine.submit(transfer)
        transfers.append(transfer)
    assert engine.active == count
    order = list(range(count))
    random.Random(0).shuffle(order)
    done = []
    for number in order:
        peer = pairs[number][1]
        peer.setblocking(True)
        assert tools.read_exactly(peer, 7) == b"request"
        peer.sendall(tools.reply(b"answer %d" % number))
        done.extend(engine.completed())
    done.extend(collect(engine, count - len(done)))
    assert {transfer.tag for transfer in done} == set(range(count))
    assert all(transfer.error == 0 and transfer.body == b"answer %d" % transfer.tag for transfer in transfers)
    assert engine.active == 0
    close_all(pairs)


def test_many_files_at_once(twin, tools, make_file, many_descriptors):
    """Each pair of transfers carries a file from one to another through the engine."""
    engine = twin.Engine(2)
    count = 200 if twin.name == "c" else 40
    content = random.Random(5).randbytes(1_500_000)
    source = make_file(content)
    targets = [make_file() for _ in range(count)]
    pairs = socket_pairs(count)
    transfers = []
    for (ours, peer), target in zip(pairs, targets, strict=True):
        transfers.append(twin.Transfer(ours.fileno(), send_fd=source, timeout=100))
        transfers.append(
            twin.Transfer(
                peer.fileno(), framing=twin.RAW, recv_fd=target, recv_offset=0, recv_count=len(content), timeout=100
            )
        )
    tools.finish_in_engine(engine, transfers)
    engine.close()
    assert [transfer.error for transfer in transfers] == [0] * len(transfers)
    checksum = zlib.crc32(content)
    assert all(zlib.crc32(tools.content_of(target)) == checksum for target in targets)
    close_all(pairs)


def test_large_bodies_to_memory(twin, engine, tools, background):
    pairs = socket_pairs(5)
    content = random.Random(6).randbytes(3_000_000)
    for _, peer in pairs:
        peer.setblocking(True)
        background(peer.sendall, tools.reply(content))
    transfers = [twin.Transfer(ours.fileno(), framing=twin.FASTDFS, crc=True, timeout=60) for ours, _ in pairs]
    tools.finish_in_engine(engine, transfers)
    assert all(transfer.error == 0 and transfer.body == content for transfer in transfers)
    assert {transfer.crc32 for transfer in transfers} == {zlib.crc32(content)}
    close_all(pairs)


def test_one_connection_serves_one_transfer_after_another(twin, engine, tools, pair, collect):
    pair[1].setblocking(True)
    for number in range(200):
        transfer = twin.Transfer(pair[0].fileno(), send=b"request", framing=twin.FASTDFS, timeout=60)
        assert not transfer.advance()
        engine.submit(transfer)
        assert tools.read_exactly(pair[1], 7) == b"request"
        pair[1].sendall(tools.reply(b"%d" % number))
        assert collect(engine, 1) == [transfer]
        assert transfer.body == b"%d" % number


def test_a_descriptor_number_that_comes_back(twin, engine, tools, collect):
    """A closed connection's number is given to the next one: nothing of the first may linger."""
    for _ in range(50):
        (ours, peer) = socket_pairs(1)[0]
        waiting = twin.Transfer(ours.fileno(), framing=twin.RAW)
        engine.submit(waiting)
        waiting.cancel()
        assert collect(engine, 1)[0].error == errno.ECANCELED
        ours.close()
        peer.close()
        (ours, peer) = socket_pairs(1)[0]
        transfer = twin.Transfer(ours.fileno(), framing=twin.RAW, timeout=60)
        engine.submit(transfer)
        peer.sendall(b"data")
        peer.close()
        assert collect(engine, 1)[0].body == b"data"
        ours.close()


def test_peers_that_stall_hold_up_no_other(twin, engine, tools, many_descriptors, collect):
    stalled = socket_pairs(100)
    for ours, _ in stalled:
        transfer = twin.Transfer(ours.fileno(), send=bytes(5_000_000), framing=twin.FASTDFS, idle_timeout=100)
        assert not transfer.advance()
        engine.submit(transfer)
    quick = socket_pairs(20)
    transfers = [
        twin.Transfer(ours.fileno(), send=b"request", framing=twin.FASTDFS, timeout=60, tag="quick")
        for ours, _ in quick
    ]
    for transfer in transfers:
        assert not transfer.advance()
        engine.submit(transfer)
    for _, peer in quick:
        peer.setblocking(True)
        tools.read_exactly(peer, 7)
        peer.sendall(tools.reply(b"answer"))
    assert {transfer.tag for transfer in collect(engine, 20)} == {"quick"}
    engine.close()
    close_all(stalled + quick)


@pytest.mark.skipif(sys.platform != "linux", reason="holds threads up with a FIFO")
def test_disks_that_stall_hold_up_no_other(twin, tools, pair, tmp_path, make_file, background, collect):
    """As many transfers as there are threads wait for a source that does not deliver; another one goes through."""
    if twin.name != "c":
        pytest.skip("the twin has no sentinel")
    engine = twin.Engine(2)
    stuck = socket_pairs(4)
    pipes = [os.pipe() for _ in stuck]
    for (ours, _), (reading, _) in zip(stuck, pipes, strict=True):
        engine.submit(twin.Transfer(ours.fileno(), send_fd=reading, tag="stuck"))
    time.sleep(0.05)
    transfer = twin.Transfer(pair[0].fileno(), send_fd=make_file(b"content"), timeout=60, tag="free")
    engine.submit(transfer)
    assert collect(engine, 1) == [transfer]
    assert transfer.error == 0
    for _, writing in pipes:
        os.close(writing)
    assert [stalled.error for stalled in collect(engine, 4)] == [0] * 4
    engine.close()
    for reading, _ in pipes:
        os.close(reading)
    close_all(stuck)


def test_deadlines_and_idleness(twin, engine, tools):
    pairs = socket_pairs(30)
    transfers = []
    for number, (ours, _) in enumerate(pairs):
        limits = {"timeout": 0.02 * (number + 1)} if number % 2 else {"idle_timeout": 0.02 * (number + 1)}
        transfers.append(twin.Transfer(ours.fileno(), framing=twin.RAW, tag=number, **limits))
    tools.finish_in_engine(engine, random.Random(0).sample(transfers, len(transfers)))
    assert {transfer.error for transfer in transfers} == {errno.ETIMEDOUT}
    close_all(pairs)


def test_a_short_deadline_after_a_long_one(twin, engine, collect):
    pairs = socket_pairs(2)
    long = twin.Transfer(pairs[0][0].fileno(), framing=twin.RAW, timeout=1000)
    assert not long.advance()
    engine.submit(long)
    time.sleep(0.02)
    short = twin.Transfer(pairs[1][0].fileno(), framing=twin.RAW, timeout=0.05)
    assert not short.advance()
    engine.submit(short)
    assert collect(engine, 1) == [short]
    long.cancel()
    assert collect(engine, 1) == [long]
    close_all(pairs)


def test_cancel_from_many_threads(twin, engine, background, tools, collect):
    pairs = socket_pairs(200)
    transfers = [twin.Transfer(ours.fileno(), framing=twin.RAW) for ours, _ in pairs]
    for transfer in transfers:
        engine.submit(transfer)
    for part in range(4):
        background(lambda part=part: [transfer.cancel() for transfer in transfers[part::4]])
    assert {transfer.error for transfer in collect(engine, 200)} == {errno.ECANCELED}
    close_all(pairs)


def test_submitting_and_collecting_from_many_threads(twin, tools, background):
    engine = twin.Engine(2)
    each = 100
    pairs = socket_pairs(4 * each)
    collected = []
    lock = threading.Lock()

    def submit(part):
        for ours, peer in pairs[part * each : (part + 1) * each]:
            peer.sendall(tools.reply(b"answer"))
            engine.submit(twin.Transfer(ours.fileno(), send=b"q", framing=twin.FASTDFS, timeout=60))

    def gather():
        while True:
            with lock:
                if len(collected) == 4 * each:
                    return
                collected.extend(engine.completed())
            time.sleep(0.0005)

    jobs = [background(submit, part) for part in range(4)] + [background(gather) for _ in range(2)]
    for job in jobs:
        job.result(60)
    assert [transfer.body for transfer in collected] == [b"answer"] * (4 * each)
    engine.close()
    close_all(pairs)


def test_a_finished_transfer_can_be_submitted(twin, engine, pair, collect):
    transfer = twin.Transfer(pair[0].fileno())
    transfer.run()
    engine.submit(transfer)
    assert collect(engine, 1) == [transfer]
    assert transfer.error == 0


def test_a_descriptor_that_cannot_be_polled(twin, engine, make_file, collect):
    transfer = twin.Transfer(make_file(b"x"), framing=twin.RAW)
    engine.submit(transfer)
    assert collect(engine, 1)[0].error != 0


def test_close_ends_what_is_under_way(twin, engine):
    pairs = socket_pairs(50)
    transfers = [twin.Transfer(ours.fileno(), framing=twin.RAW) for ours, _ in pairs]
    for transfer in transfers:
        engine.submit(transfer)
    engine.close()
    assert {(transfer.done, transfer.error) for transfer in transfers} == {(True, errno.ECANCELED)}
    assert (engine.closed, engine.active, engine.completed()) == (True, 0, [])
    for refused in (engine.fileno, lambda: engine.submit(transfers[0])):
        with pytest.raises((ValueError, RuntimeError), match="closed"):
            refused()
    engine.close()
    close_all(pairs)


def test_an_engine_and_its_transfers_are_freed(twin):
    engine = twin.Engine(2)
    pairs = socket_pairs(1)

    class Mark:
        pass

    mark = Mark()
    gone = weakref.ref(mark)
    transfer = twin.Transfer(pairs[0][0].fileno(), framing=twin.RAW, tag=mark)
    engine.submit(transfer)
    del mark, transfer
    assert gone() is not None, "the engine holds what it drives"
    engine.close()
    del engine
    gc.collect()
    assert gone() is None
    close_all(pairs)


def test_engines_leave_no_descriptors_and_no_threads(twin, tools):
    if not os.path.isdir("/proc/self"):
        pytest.skip("needs /proc")
    descriptors = len(os.listdir("/proc/self/fd"))
    threads = len(os.listdir("/proc/self/task"))
    for _ in range(20):
        engine = twin.Engine(3)
        pairs = socket_pairs(3)
        transfers = [twin.Transfer(ours.fileno(), send=b"x" * 10) for ours, _ in pairs]
        tools.finish_in_engine(engine, transfers)
        close_all(pairs)
        engine.close()
    del engine
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert len(os.listdir("/proc/self/task")) <= threads


def test_never_more_than_eight_threads(twin, tools, many_descriptors, collect):
    if twin.name != "c" or not os.path.isdir("/proc/self"):
        pytest.skip("counts native threads")
    before = len(os.listdir("/proc/self/task"))
    engine = twin.Engine(2)
    stuck = socket_pairs(20)
    pipes = [os.pipe() for _ in stuck]
    for (ours, _), (reading, _) in zip(stuck, pipes, strict=True):
        engine.submit(twin.Transfer(ours.fileno(), send_fd=reading))
    most = 0
    for _ in range(20):
        most = max(most, len(os.listdir("/proc/self/task")) - before)
        time.sleep(0.025)
    assert 2 < most <= 8
    for _, writing in pipes:
        os.close(writing)
    collect(engine, 20)
    engine.close()
    for reading, _ in pipes:
        os.close(reading)
    close_all(stuck)


def test_whoever_finishes_tells(twin, tools, make_file, collect):
    """A thread that ends a transfer while another one polls must tell of it before it sleeps."""
    engine = twin.Engine(2)
    content = bytes(100_000)
    target = make_file()
    pairs = socket_pairs(4)
    for _ in range(40):
        for ours, peer in pairs:
            engine.submit(
                twin.Transfer(
                    ours.fileno(), framing=twin.RAW, recv_fd=target, recv_offset=0, recv_count=len(content), timeout=100
                )
            )
            engine.submit(twin.Transfer(peer.fileno(), send=content, timeout=100))
        assert {transfer.error for transfer in collect(engine, 8)} == {0}
    engine.close()
    close_all(pairs)


def test_closing_an_engine_without_threads_while_another_thread_collects(twin):
    for _ in range(50):
        engine = twin.Engine(0)
        pairs = socket_pairs(40)
        for ours, _ in pairs:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
            engine.submit(twin.Transfer(ours.fileno(), send=bytes(400_000), framing=twin.RAW))
        collector = threading.Thread(target=lambda engine=engine: [engine.completed() for _ in range(3)])
        collector.start()
        engine.close()
        collector.join()
        assert engine.completed() == []
        close_all(pairs)
