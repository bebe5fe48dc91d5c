"""Batches that do not simply come to their end: functions that raise, forks, cut journals, full disks, closing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastxfer.fdfs import AsyncClient, BatchProgress, Client, UploadItem
from fastxfer.fdfs.node import Fault, Node
from tests.fdfs.conftest import quick_config

DOWNLOAD = 14
PATIENCE = 60.0


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def dropped(client: Client) -> int:
    return sum(each.dropped for each in client.stats().connections.values())


def test_a_progress_function_that_raises_loses_no_result(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def broken(state: BatchProgress) -> None:
        calls.append(state.done)
        raise LookupError("broken")

    items = [UploadItem(b"%d" % number, "txt") for number in range(50)]
    results = list(client.upload_many(items, concurrency=4, progress=broken))
    assert sorted(result.index for result in results) == list(range(50))
    assert all(result.ok for result in results)
    assert len(calls) == 1
    assert "broken" in caplog.text


def test_a_batch_that_nobody_looks_at_opens_no_journal(client: Any, tmp_path: Path) -> None:
    results = client.upload_many([UploadItem(b"x", "txt", key="x")], journal=tmp_path / "journal")
    assert not (tmp_path / "journal").exists()
    results.close()


class Malicious(os.PathLike[str]):
    def __fspath__(self) -> str:
        raise SystemExit("not even an error")


def test_what_is_no_error_ends_a_batch_of_threads_after_what_was_done(shared_node: Node) -> None:
    with Client(quick_config(shared_node.tracker_addrs)) as client:
        results = client.upload_many([UploadItem(b"1", "txt"), Malicious()], concurrency=1)
        assert next(results).ok
        with pytest.raises(SystemExit):
            next(results)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_the_transfers_of_its_parents_batch_alone(node: Node) -> None:
    with Client(quick_config(node.tracker_addrs)) as client:
        ids = [client.upload_buffer(bytes([number]) * 300_000, "bin") for number in range(5)]
        node.wait_replicated()
        before = dropped(client)
        late = node.inject(Fault("group1", DOWNLOAD, delay=1.0, times=4))
        batch = client.download_many(ids, concurrency=5)
        first = next(batch)
        assert late.hits == 4
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if not child:
            try:
                batch.close()  # type: ignore[attr-defined]  # it is a generator
                os._exit(0)
            finally:
                os._exit(1)
        status: list[int] = []

        def reap() -> bool:
            gone, how = os.waitpid(child, os.WNOHANG)
            status.extend([how] if gone else [])
            return bool(gone)

        eventually(reap)
        assert status == [0]
        results = [first, *batch]
        assert sorted(result.index for result in results) == list(range(5))
        for result in results:
            assert result.unwrap() == bytes([result.index]) * 300_000
        assert dropped(client) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_batch_does_not_go_on_in_a_forked_child(node: Node) -> None:
    with Client(quick_config(node.tracker_addrs)) as client:
        batch = client.upload_many([UploadItem(b"%d" % number, "txt") for number in range(20)])
        next(batch)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if not child:
            try:
                next(batch)
            except RuntimeError:
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert len(list(batch)) == 19


@pytest.mark.parametrize("journal", [False, True], ids=["", "journal"])
def test_a_batch_can_be_closed_while_it_waits_for_its_items(node: Node, tmp_path: Path, journal: bool) -> None:
    closed: list[str] = []

    async def items() -> AsyncIterator[UploadItem]:
        try:
            for number in range(3):
                yield UploadItem(b"%d" % number, "txt", key=str(number))
            await asyncio.Event().wait()
        finally:
            closed.append("items")

    async def main() -> None:
        async with AsyncClient(quick_config(node.tracker_addrs)) as client:
            results = client.upload_many(items(), journal=tmp_path / "journal" if journal else None, concurrency=4)
            assert len([(await anext(results)).unwrap() for _ in range(3)]) == 3
            await asyncio.wait_for(results.aclose(), PATIENCE)
            assert closed == ["items"]
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


async def cancel_at_every_turn(task: asyncio.Future[Any]) -> None:
    """Cancel *task* again and again until it is over; nothing that it began may be left then."""
    task.cancel()
    while not task.done():
        await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_batch_that_is_cancelled_twice_leaves_nothing_behind(node: Node, tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncClient(quick_config(node.tracker_addrs)) as client:
            ids = [await client.upload_buffer(bytes(2_000_000), "bin") for _ in range(4)]
            stall = node.inject(Fault("group1", DOWNLOAD, stall=True, times=None))

            async def take_all() -> None:
                pairs = [(file_id, tmp_path / str(number)) for number, file_id in enumerate(ids)]
                async for _ in client.download_many(pairs, journal=tmp_path / "journal"):
                    pass

            task = asyncio.ensure_future(take_all())
            await asyncio.to_thread(eventually, lambda: stall.hits == 4)
            await cancel_at_every_turn(task)
            assert all(each.busy == 0 for each in client.stats().connections.values())
            assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    asyncio.run(main())


def test_segments_that_are_cancelled_twice_have_all_ended(node: Node, tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncClient(quick_config(node.tracker_addrs)) as client:
            file_id = await client.upload_buffer(bytes(4 << 20), "bin")
            stall = node.inject(Fault("group1", DOWNLOAD, stall=True, times=None))
            task = asyncio.ensure_future(client.download_segmented(file_id, tmp_path / "copy", segments=4))
            await asyncio.to_thread(eventually, lambda: stall.hits == 4)
            await cancel_at_every_turn(task)
            assert [path for path in tmp_path.iterdir() if path.name.endswith(".part")] == []

    asyncio.run(main())


CHILD = """
import itertools, os, sys
from fastxfer.fdfs import Client, ClientConfig, UploadItem
tracker, journal, count, most = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if most:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
client = Client(ClientConfig([tracker]))
items = [UploadItem(b"%d" % number, "txt", key=str(number) * 50) for number in range(200)]
results = client.upload_many(items, journal=journal, concurrency=4)
for result in itertools.islice(results, count):
    print(result.index, result.value, type(result.error).__name__, result.skipped, flush=True)
os._exit(0)
"""


def upload_in_a_child(node: Node, journal: Path, count: int, most: int = 0) -> dict[int, list[str]]:
    """What a process that dies after *count* results reported of 200; its files may have *most* bytes."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, node.tracker_addrs[0], str(journal), str(count), str(most)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    lines = [line.split() for line in child.stdout.splitlines()]
    return {int(line[0]): line[1:] for line in lines}


@pytest.mark.parametrize("lost", [1, 1000, 10_000])
def test_a_journal_that_was_cut_short_forgets_only_its_end(node: Node, tmp_path: Path, lost: int) -> None:
    journal = tmp_path / "journal"
    before = upload_in_a_child(node, journal, 100)
    log = Path(f"{journal}-wal")
    os.truncate(log, log.stat().st_size - lost)
    after = upload_in_a_child(node, journal, 200)
    assert sorted(after) == list(range(200))
    known = [index for index, line in after.items() if line[2] == "True"]
    # More than was reported: what waits to be taken is in the journal too.
    assert 0 < len(known) < 200
    for index in known:
        assert index not in before or before[index][0] == after[index][0]
    with Client(quick_config(node.tracker_addrs)) as client:
        for index, line in after.items():
            assert line[1] == "NoneType"
            assert client.download_file(line[0]) == b"%d" % index


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_what_a_full_journal_does_not_take_is_told_with_its_file_id(node: Node, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    reported = upload_in_a_child(node, journal, 200, most=100_000)
    assert sorted(reported) == list(range(200))
    unknown = [index for index, line in reported.items() if line[1] != "NoneType"]
    assert 0 < len(unknown) < 200
    with Client(quick_config(node.tracker_addrs)) as client:
        for index, line in reported.items():
            assert client.download_file(line[0]) == b"%d" % index
    again = upload_in_a_child(node, journal, 200)
    assert {index for index, line in again.items() if line[2] != "True"} <= set(unknown)
    for index in set(range(200)) - set(unknown):
        assert again[index][0] == reported[index][0]


def test_an_iterable_that_is_slow_holds_up_no_result(shared_node: Node) -> None:
    released = threading.Event()

    def items() -> Iterator[UploadItem]:
        yield UploadItem(b"first", "txt")
        assert released.wait(PATIENCE)
        yield UploadItem(b"second", "txt")

    with Client(quick_config(shared_node.tracker_addrs)) as client:
        results = client.upload_many(items(), concurrency=3)
        assert next(results).ok
        released.set()
        assert [result.ok for result in results] == [True]
