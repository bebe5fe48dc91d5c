"""Transfers awaited from asyncio and uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib
import os
import random
import socket
import threading
import zlib

import pytest

from fastxfer.core.engine import Engine
from fastxfer.core.xfer import FRAMING_FASTDFS, FRAMING_NONE, FRAMING_RAW, Transfer
from fastxfer.net.aio import TransferRunner

LOOPS = ["asyncio", "uvloop"]


@pytest.fixture(params=LOOPS)
def run(request):
    """Runs a coroutine function to its end in a fresh loop."""
    factory = asyncio.new_event_loop
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop

    def run(main):
        loop = factory()
        try:
            return loop.run_until_complete(asyncio.wait_for(main(), 100))
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    return run


def socket_pair():
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    peer.setblocking(False)
    return ours, peer


async def answer(peer, request, message):
    loop = asyncio.get_running_loop()
    got = b""
    while len(got) < request:
        got += await loop.sock_recv(peer, request - len(got))
    await loop.sock_sendall(peer, message)


def test_small_exchanges(run, tools):
    async def main():
        async with TransferRunner() as runner:

            async def exchange(number):
                ours, peer = socket_pair()
                with ours, peer:
                    transfer = Transfer(ours.fileno(), send=b"request", framing=FRAMING_FASTDFS, timeout=60)
                    serving = asyncio.ensure_future(answer(peer, 7, tools.reply(b"%d" % number)))
                    await runner.run(transfer)
                    await serving
                    assert (transfer.error, transfer.body) == (0, b"%d" % number)

            await asyncio.gather(*(exchange(number) for number in range(300)))
            assert runner.active == 0

    run(main)


@pytest.mark.parametrize("small_files", [True, False])
@pytest.mark.parametrize("size", [0, 10, 60_000, 65_537, 5_000_000])
def test_files_of_all_sizes(run, tools, make_file, size, small_files):
    content = random.Random(size).randbytes(size)
    source, target = make_file(content), make_file()

    async def main():
        async with TransferRunner(small_files=small_files) as runner:
            ours, peer = socket_pair()
            with ours, peer:
                sending = Transfer(
                    ours.fileno(), send=tools.reply(length=size), send_fd=source, framing=FRAMING_NONE, timeout=60
                )
                receiving = Transfer(
                    peer.fileno(), framing=FRAMING_FASTDFS, recv_fd=target, recv_offset=0, crc=True, timeout=60
                )
                await asyncio.gather(runner.run(receiving), runner.run(sending))
                assert (sending.error, receiving.error) == (0, 0)
                assert receiving.crc32 == zlib.crc32(content)

    run(main)
    assert tools.content_of(target) == content


@pytest.mark.parametrize("size", [10, 100_000, 3_000_000])
def test_memory_of_all_sizes(run, tools, size):
    content = random.Random(size).randbytes(size)

    async def main():
        async with TransferRunner() as runner:
            ours, peer = socket_pair()
            with ours, peer:
                sending = Transfer(peer.fileno(), send=[tools.reply(length=size), content], timeout=60)
                receiving = Transfer(ours.fileno(), framing=FRAMING_FASTDFS, timeout=60)
                await asyncio.gather(runner.run(receiving), runner.run(sending))
                assert (sending.error, receiving.error) == (0, 0)
                assert receiving.body == content

    run(main)


def test_what_is_done_at_once_needs_no_wait(run):
    async def main():
        async with TransferRunner() as runner:
            ours, peer = socket_pair()
            with ours, peer:
                coroutine = runner.run(Transfer(ours.fileno(), send=b"x"))
                with pytest.raises(StopIteration):
                    coroutine.send(None)

    run(main)


def test_transfers_that_end_at_once_leave_other_tasks_their_turn(run):
    async def main():
        turns = 0

        async def other():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with TransferRunner() as runner:
            ours, peer = socket_pair()
            task = asyncio.create_task(other())
            with ours, peer:
                for _ in range(100):
                    await runner.run(Transfer(ours.fileno(), send=b"x"))
            task.cancel()
        assert turns >= 10

    run(main)


def test_a_timeout_is_the_transfers_own(run):
    async def main():
        async with TransferRunner() as runner:
            ours, peer = socket_pair()
            with ours, peer:
                transfer = Transfer(ours.fileno(), framing=FRAMING_RAW, timeout=0.05)
                await runner.run(transfer)
                assert transfer.error == errno.ETIMEDOUT

    run(main)


@pytest.mark.parametrize("kind", ["small", "big"])
def test_cancelling_the_task_cancels_the_transfer(run, make_file, kind):
    async def main():
        async with TransferRunner(small_files=False) as runner:
            ours, peer = socket_pair()
            with ours, peer:
                where = {"recv_fd": make_file()} if kind == "big" else {}
                transfer = Transfer(ours.fileno(), framing=FRAMING_RAW, **where)
                task = asyncio.ensure_future(runner.run(transfer))
                await asyncio.sleep(0.01)
                task.cancel()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert (transfer.done, transfer.error) == (True, errno.ECANCELED)
                assert runner.active == 0

    run(main)


def test_a_thousand_cancellations_leave_nothing_behind(run, tools, make_file):
    chance = random.Random(3)
    target = make_file()

    async def main():
        async with TransferRunner() as runner:

            async def one(number):
                ours, peer = socket_pair()
                with ours, peer:
                    where = {"recv_fd": target, "recv_offset": 0} if number % 2 else {}
                    transfer = Transfer(ours.fileno(), send=b"request", framing=FRAMING_FASTDFS, **where)
                    serving = asyncio.ensure_future(answer(peer, 7, tools.reply(bytes(200_000))))
                    carrying = asyncio.ensure_future(runner.run(transfer))
                    await asyncio.sleep(chance.random() * 0.01)
                    carrying.cancel()
                    serving.cancel()
                    await asyncio.gather(carrying, serving, return_exceptions=True)
                    assert transfer.done or not transfer.sent
                    return transfer.error if transfer.done else errno.ECANCELED

            outcomes = set()
            for _ in range(10):
                outcomes.update(await asyncio.gather(*(one(number) for number in range(100))))
            assert runner.active == 0
            assert outcomes <= {0, errno.ECANCELED}
            assert errno.ECANCELED in outcomes

    async def nothing():
        pass

    run(nothing)  # a first loop may open what the process keeps
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    run(main)
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before


def test_closing_cancels_and_waits(run):
    async def main():
        runner = TransferRunner()
        ours, peer = socket_pair()
        with ours, peer:
            transfer = Transfer(ours.fileno(), framing=FRAMING_RAW)
            task = asyncio.ensure_future(runner.run(transfer))
            await asyncio.sleep(0.01)
            await runner.aclose()
            await task
            assert transfer.error == errno.ECANCELED
            assert runner.closed
            await runner.aclose()
            with pytest.raises(RuntimeError, match="closed"):
                await runner.run(Transfer(ours.fileno()))

    run(main)


def test_closing_at_once_tells_those_who_wait(run, make_file):
    async def main():
        runner = TransferRunner(small_files=False)
        pairs = [socket_pair() for _ in range(2)]
        transfers = [
            Transfer(pairs[0][0].fileno(), framing=FRAMING_RAW),
            Transfer(pairs[1][0].fileno(), framing=FRAMING_RAW, recv_fd=make_file()),
        ]
        tasks = [asyncio.ensure_future(runner.run(transfer)) for transfer in transfers]
        await asyncio.sleep(0.01)
        runner.close()
        await asyncio.gather(*tasks)
        assert [transfer.error for transfer in transfers] == [errno.ECANCELED] * 2
        for pair in pairs:
            for end in pair:
                end.close()

    run(main)


@pytest.mark.parametrize("big", [False, True])
def test_a_coroutine_that_is_thrown_away_cancels_its_transfer(run, make_file, big):
    async def main():
        async with TransferRunner() as runner:
            ours, peer = socket_pair()
            target = {"recv_fd": make_file()} if big else {}
            transfer = Transfer(ours.fileno(), framing=FRAMING_RAW, **target)
            if big:
                peer.send(bytes(100_000))
            carrying = runner.run(transfer)
            carrying.send(None)
            assert runner.active == 1
            carrying.close()
            for _ in range(60_000):
                if not runner.active:
                    break
                await asyncio.sleep(0.001)
            assert transfer.error == errno.ECANCELED
            peer.close(), ours.close()

    run(main)


def test_a_transfer_that_is_already_carried(run):
    async def main():
        async with TransferRunner() as runner:
            ours, peer = socket_pair()
            with ours, peer:
                transfer = Transfer(ours.fileno(), framing=FRAMING_RAW)
                task = asyncio.ensure_future(runner.run(transfer))
                await asyncio.sleep(0)
                with pytest.raises(RuntimeError, match="already"):
                    await runner.run(transfer)
                peer.sendall(b"data")
                peer.close()
                await task
                assert transfer.body == b"data"

    run(main)


def test_many_loops_in_one_process(tools):
    failures = []

    def one_loop(factory):
        async def main():
            async with TransferRunner() as runner:
                for number in range(50):
                    ours, peer = socket_pair()
                    with ours, peer:
                        transfer = Transfer(ours.fileno(), send=b"request", framing=FRAMING_FASTDFS, timeout=60)
                        serving = asyncio.ensure_future(answer(peer, 7, tools.reply(b"%d" % number)))
                        await runner.run(transfer)
                        await serving
                        if transfer.body != b"%d" % number:
                            failures.append((number, transfer.error))

        loop = factory()
        loop.run_until_complete(main())
        loop.close()

    factories = [asyncio.new_event_loop]
    with contextlib.suppress(ImportError):
        factories.append(importlib.import_module("uvloop").new_event_loop)
    threads = [threading.Thread(target=one_loop, args=(factory,)) for factory in factories * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert failures == []


def test_a_runner_needs_a_running_loop_and_a_thread():
    with pytest.raises(RuntimeError, match="loop"):
        TransferRunner()

    async def main():
        with pytest.raises(ValueError, match="threads"):
            TransferRunner(threads=0)

    asyncio.run(main())


@pytest.mark.parametrize("when", ["at once", "later"])
def test_without_an_engine_to_be_had_a_transfer_ends_with_an_error(run, monkeypatch, when):
    if when == "later" and Engine.__module__.startswith("fastxfer._pure"):
        pytest.skip("the twin carries every transfer to its end itself")

    async def main():
        ours, peer = socket_pair()
        async with TransferRunner() as runner:
            if when == "later":
                # What its light engine finds to be big goes to the other, and there is none.
                await runner.run(Transfer(ours.fileno(), framing=FRAMING_NONE, send=b"x"))
                waiting = asyncio.ensure_future(runner.run(transfer := Transfer(ours.fileno(), framing=FRAMING_RAW)))
                await asyncio.sleep(0)
            monkeypatch.setattr(runner, "_start", no_descriptors)
            if when == "at once":
                transfer = Transfer(ours.fileno(), framing=FRAMING_RAW, recv_count=1)
                waiting = asyncio.ensure_future(runner.run(transfer))
            else:
                loop = asyncio.get_running_loop()
                sending = asyncio.ensure_future(loop.sock_sendall(peer, bytes(5_000_000)))
                sending.add_done_callback(lambda done: done.cancelled() or done.exception())
            await waiting
            assert transfer.error == errno.EMFILE
            if when == "later":
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await sending
            assert runner.active == 0
        ours.close()
        peer.close()

    def no_descriptors(threads):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    run(main)
