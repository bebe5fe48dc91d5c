"""What only the asyncio client does: many at once, tasks that are cancelled, streams that are awaited, other loops."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import os
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastxfer.fdfs import AsyncClient, BatchResult, InvalidArgumentError, Progress, UploadItem
from fastxfer.fdfs.node import Fault, Node
from tests.fdfs.conftest import quick_config

DOWNLOAD, UPLOAD = 14, 11
CANCELS = int(os.environ.get("FASTXFER_TEST_CANCELS", "400"))


def content(size: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def run_asyncio(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


def run_uvloop(main: Coroutine[Any, Any, None]) -> None:
    import uvloop

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(main)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


LOOPS = [
    run_asyncio,
    pytest.param(
        run_uvloop, marks=pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not here")
    ),
]


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


@pytest.mark.parametrize("run", LOOPS)
def test_thousands_of_downloads_at_once(shared_node: Node, run: Callable[..., None]) -> None:
    async def main() -> None:
        async with AsyncClient(quick_config(shared_node.tracker_addrs, max_conns=16)) as client:
            contents = [content(size, size) for size in (0, 10, 4096, 70_000)]
            ids = [await client.upload_buffer(data, "bin") for data in contents]
            downloads = (client.download_file(ids[number % 4]) for number in range(2000))
            for number, data in enumerate(await asyncio.gather(*downloads)):
                assert data == contents[number % 4]
            stats = client.stats().connections
            assert [(name, each) for name, each in stats.items() if each.opened > 16 or each.busy] == []
            # What is not known yet is asked for once, not by each of them.
            assert stats[shared_node.tracker_addrs[0]].reused < 10
            assert threading.active_count() < 40

    run(main())


@pytest.mark.parametrize("run", LOOPS)
def test_large_files_at_once(shared_node: Node, tmp_path: Path, run: Callable[..., None]) -> None:
    async def main() -> None:
        async with AsyncClient(quick_config(shared_node.tracker_addrs)) as client:
            source = tmp_path / "source"
            source.write_bytes(content(3_000_000))
            ids = await asyncio.gather(*(client.upload_file(source) for _ in range(12)))
            await asyncio.gather(*(client.download_to_file(one, tmp_path / f"{n}") for n, one in enumerate(ids)))
            for number in range(12):
                assert (tmp_path / f"{number}").read_bytes() == source.read_bytes()

    run(main())


async def cancel_at_some_time(what: Awaitable[object], seconds: float) -> bool:
    """Whether *what* was cancelled before it was done."""
    task = asyncio.ensure_future(what)
    await asyncio.sleep(seconds)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


@pytest.fixture
def slow_trackers(request: pytest.FixtureRequest) -> list[str]:
    """Of the cluster that ``FASTXFER_TEST_TRACKERS`` names, else of a node whose downloads take a moment."""
    named = os.environ.get("FASTXFER_TEST_TRACKERS")
    if named:
        return named.split(",")
    node: Node = request.getfixturevalue("node")
    node.inject(Fault("group1", DOWNLOAD, delay=0.002, times=None))
    return node.tracker_addrs


@pytest.mark.parametrize("run", LOOPS)
def test_cancelled_tasks_leak_nothing(slow_trackers: list[str], tmp_path: Path, run: Callable[..., None]) -> None:
    async def main() -> None:
        dice = random.Random(7)
        async with AsyncClient(quick_config(slow_trackers, max_conns=8)) as client:
            source = tmp_path / "source"
            source.write_bytes(content(1_500_000))
            small, large = await client.upload_buffer(b"x" * 5000, "bin"), await client.upload_file(source)
            await client.download_file(small)
            before = open_descriptors()
            (tmp_path / "out").mkdir()
            operations: list[Callable[[int], Awaitable[object]]] = [
                lambda number: client.download_file(small),
                lambda number: client.download_file(large),
                lambda number: client.download_to_file(large, tmp_path / "out" / f"{number}"),
                lambda number: client.upload_file(source),
                lambda number: client.upload_buffer(b"y" * 1000, "txt"),
                lambda number: client.get_file_info(small),
            ]
            cancelled = await asyncio.gather(
                *(
                    cancel_at_some_time(dice.choice(operations)(number), dice.random() * 0.3)
                    for number in range(CANCELS)
                )
            )
            print(f"{sum(cancelled)} of {CANCELS} cancelled")
            assert sum(cancelled) > 20
            assert all(each.busy == 0 and each.waiting == 0 for each in client.stats().connections.values())
            for path in (tmp_path / "out").iterdir():
                assert path.read_bytes() == source.read_bytes()
            for _ in range(20):
                assert await client.download_file(small) == b"x" * 5000
            connections = sum(each.idle for each in client.stats().connections.values())
            gc.collect()
            # Each connection has two ends here; the engine has a few descriptors of its own.
            assert open_descriptors() <= before + 2 * connections + 8

    run(main())
    assert threading.active_count() < 40


def test_streams_that_are_awaited(shared_node: Node) -> None:
    data = content(2_000_000)

    class Stream:
        def __init__(self) -> None:
            self.position = 0

        async def read(self, size: int) -> bytes:
            await asyncio.sleep(0)
            piece = data[self.position : self.position + min(size, 300_000)]
            self.position += len(piece)
            return piece

    class Sink:
        def __init__(self) -> None:
            self.got = b""

        async def write(self, piece: bytes) -> None:
            await asyncio.sleep(0)
            self.got += piece

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 700_000):
            yield data[start : start + 700_000]

    async def wrong() -> AsyncIterator[Any]:
        yield "text"

    async def main() -> None:
        async with AsyncClient(quick_config(shared_node.tracker_addrs)) as client:
            for stream in (Stream(), pieces()):
                file_id = await client.upload_stream(stream, "bin")
                sink = Sink()
                assert await client.download_to_stream(file_id, sink) == len(data)
                assert sink.got == data
            with pytest.raises(InvalidArgumentError, match="gives text"):
                await client.upload_stream(wrong(), "bin")

    asyncio.run(main())


def test_progress_functions_are_called_in_the_loop(node: Node, tmp_path: Path) -> None:
    async def main() -> None:
        home = threading.get_ident()
        calls: list[tuple[int, int]] = []
        async with AsyncClient(quick_config(node.tracker_addrs)) as client:
            file_id = await client.upload_buffer(content(2_000_000), "bin")
            node.inject(Fault("group1", DOWNLOAD, delay=0.5))

            def note(state: Progress) -> None:
                calls.append((threading.get_ident(), state.transferred))

            await client.download_file(file_id, progress=note)
        assert {thread for thread, _ in calls} == {home}
        assert calls[-1][1] == 2_000_000
        assert len(calls) > 1

    asyncio.run(main())


def test_a_batch_of_an_async_iterable(shared_node: Node) -> None:
    async def items() -> AsyncIterator[UploadItem]:
        for number in range(100):
            await asyncio.sleep(0)
            yield UploadItem(b"%d" % number, "txt")

    async def main() -> None:
        async with AsyncClient(quick_config(shared_node.tracker_addrs)) as client:
            results: list[BatchResult[str]] = []
            async with contextlib.aclosing(client.upload_many(items(), ordered=True)) as batch:
                async for result in batch:
                    results.append(result)
            ids = [result.unwrap() for result in results]
            downloads = client.download_many(ids, ordered=True, concurrency=50)
            assert [result.value async for result in downloads] == [b"%d" % number for number in range(100)]

    asyncio.run(main())


def test_a_cancelled_batch_ends_all_it_began(node: Node) -> None:
    async def main() -> None:
        async with AsyncClient(quick_config(node.tracker_addrs)) as client:
            file_id = await client.upload_buffer(b"x", "txt")
            node.inject(Fault("group1", DOWNLOAD, stall=True, times=None))

            async def take_all() -> None:
                async for _ in client.download_many([file_id] * 100):
                    pass

            assert await cancel_at_some_time(take_all(), 0.2)
            assert all(each.busy == 0 for each in client.stats().connections.values())
            node.faults.clear()
            assert await client.download_file(file_id) == b"x"

    asyncio.run(main())


def test_closing_ends_what_is_under_way(node: Node) -> None:
    async def main() -> None:
        client = AsyncClient(quick_config(node.tracker_addrs))
        file_id = await client.upload_buffer(b"x", "txt")
        node.inject(Fault("group1", DOWNLOAD, stall=True, times=None))
        stuck = asyncio.ensure_future(client.download_file(file_id))
        await asyncio.sleep(0.1)
        await client.aclose()
        with pytest.raises(Exception, match=r"closed|cancelled"):
            await stuck

    asyncio.run(main())


def test_a_client_belongs_to_one_loop(shared_node: Node) -> None:
    async def use(client: AsyncClient) -> None:
        await client.list_groups()

    client = AsyncClient(quick_config(shared_node.tracker_addrs))
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(use(client))
        with pytest.raises(RuntimeError, match="another event loop"):
            asyncio.run(use(client))
        loop.run_until_complete(client.aclose())
    finally:
        loop.close()
