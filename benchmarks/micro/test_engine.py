"""Many exchanges at once: the engine and its runner against plain event-loop protocols.

pytest benchmarks/micro/test_engine.py --benchmark-enable --benchmark-group-by=group
"""

from __future__ import annotations

import asyncio
import importlib
import os
import select
import time

import pytest

from fastxfer._ext.engine import Engine
from fastxfer._ext.xfer import FRAMING_FASTDFS, Transfer
from fastxfer.net.aio import TransferRunner

REQUEST = bytes(8) + b"d\0"
REPLY = 4096
EACH = 100

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="measured on Linux")


@pytest.fixture(scope="module")
def answerer(peer):
    return peer("answer", REPLY)


@pytest.fixture(params=[1, 64], ids=lambda count: f"{count}-in-flight")
def sockets(request, answerer):
    made = [answerer() for _ in range(request.param)]
    yield made
    for sock in made:
        sock.close()


@pytest.mark.parametrize("threads", [0, 2])
def test_submit_and_collect(benchmark, sockets, threads):
    """Without an event loop: what the engine itself costs for an exchange."""
    benchmark.group = f"engine, {len(sockets)} in flight"
    engine = Engine(threads)

    def once():
        left = len(sockets) * EACH
        for sock in sockets:
            submit(sock.fileno())
        while left:
            select.select([engine], [], [])
            for transfer in engine.completed():
                left -= 1
                if left >= len(sockets):
                    submit(transfer.fd)

    def submit(descriptor):
        transfer = Transfer(descriptor, send=REQUEST, framing=FRAMING_FASTDFS, timeout=60.0)
        transfer.advance()
        engine.submit(transfer)

    report(benchmark, once, len(sockets) * EACH)
    engine.close()


async def by_runner(sockets):
    async with TransferRunner() as runner:

        async def work(descriptor):
            for _ in range(EACH):
                transfer = Transfer(descriptor, send=REQUEST, framing=FRAMING_FASTDFS, timeout=60.0)
                await runner.run(transfer)
                assert len(transfer.body) == REPLY

        await asyncio.gather(*(work(sock.fileno()) for sock in sockets))


class Exchanges(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.got = b""

    def data_received(self, data):
        self.got += data
        if len(self.got) == REPLY + 10:
            self.reply.set_result(self.got)
            self.got = b""


async def by_protocol(sockets):
    loop = asyncio.get_running_loop()

    async def work(sock):
        transport, protocol = await loop.create_connection(Exchanges, sock=sock.dup())
        for _ in range(EACH):
            protocol.reply = loop.create_future()
            transport.write(REQUEST)
            assert len(await protocol.reply) == REPLY + 10
        transport.close()

    await asyncio.gather(*map(work, sockets))


async def by_streams(sockets):
    async def work(sock):
        reader, writer = await asyncio.open_connection(sock=sock.dup())
        for _ in range(EACH):
            writer.write(REQUEST)
            assert len(await reader.readexactly(REPLY + 10)) == REPLY + 10
        writer.close()

    await asyncio.gather(*map(work, sockets))


@pytest.mark.parametrize("way", [by_runner, by_protocol, by_streams], ids=["runner", "protocol", "streams"])
@pytest.mark.parametrize("loop_kind", ["asyncio", "uvloop"])
def test_exchanges_in_a_loop(benchmark, sockets, way, loop_kind):
    benchmark.group = f"{loop_kind}, {len(sockets)} in flight"
    factory = importlib.import_module(loop_kind).new_event_loop
    loop = factory()
    report(benchmark, lambda: loop.run_until_complete(way(sockets)), len(sockets) * EACH)
    loop.close()


def report(benchmark, once, count):
    spent = []

    def timed():
        start = time.process_time()
        once()
        spent.append(time.process_time() - start)

    benchmark.pedantic(timed, rounds=5, warmup_rounds=1)
    if benchmark.enabled:
        benchmark.extra_info["per_s"] = round(count / benchmark.stats.stats.min)
    benchmark.extra_info["CPU_us_each"] = round(min(spent) / count * 1e6, 1)
