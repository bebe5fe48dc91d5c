"""A storage server is killed again and again while batches upload and download: what was reported done is done.

Against a real cluster: ``FASTXFER_TEST_TRACKERS``, ``FASTXFER_TEST_KILL`` (a shell command that kills a storage server
and starts it again) and ``FASTXFER_TEST_KILLS`` (how often).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import queue
import random
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastxfer.fdfs import AsyncClient, BatchResult, Client, ClientConfig, UploadItem
from fastxfer.fdfs.node import Node
from tests.fdfs.conftest import quick_config

KILLS = int(os.environ.get("FASTXFER_TEST_KILLS", "10"))
PAUSE = 0.005
"""Seconds between two uploads, so that there are not too many files in the end."""

CONCURRENCY = 8


def content(index: int) -> bytes:
    return random.Random(index).randbytes(500_000 if index % 10 == 0 else index % 40 * 1000)


class Record:
    """What the batches have reported."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.uploaded: dict[str, int] = {}
        self.upload_errors: list[Exception] = []
        self.seen: set[int] = set()
        self.downloaded: set[int] = set()
        self.download_errors: list[Exception] = []

    def upload(self, result: BatchResult[str]) -> str | None:
        assert result.index not in self.seen
        self.seen.add(result.index)
        if result.error is not None:
            self.upload_errors.append(result.error)
            return None
        file_id = result.unwrap()
        assert file_id not in self.uploaded
        self.uploaded[file_id] = result.index
        return file_id

    def wanted(self, number: int, file_id: str) -> str | tuple[str, Path]:
        """Every other file goes to the disk, the rest into memory."""
        return (file_id, self.directory / f"{number}") if number % 2 else file_id

    def download(self, result: BatchResult[Any]) -> None:
        assert result.index not in self.downloaded
        self.downloaded.add(result.index)
        file_id, path = (result.item, None) if isinstance(result.item, str) else result.item
        if result.error is not None:
            self.download_errors.append(result.error)
            assert path is None or not path.exists()
        else:
            got = result.value if path is None else path.read_bytes()
            assert got == content(self.uploaded[file_id])
            if path is not None:
                path.unlink()


def with_threads(config: ClientConfig, record: Record, stop: threading.Event) -> None:
    ids: queue.Queue[str | None] = queue.Queue()

    def items() -> Iterator[UploadItem]:
        for index in itertools.count():
            if stop.wait(PAUSE):
                return
            yield UploadItem(content(index), "bin")

    def upload(client: Client) -> None:
        try:
            for result in client.upload_many(items(), concurrency=CONCURRENCY):
                ids.put(record.upload(result) or "")
        finally:
            ids.put(None)

    def wanted() -> Iterator[str | tuple[str, Path]]:
        for number, file_id in enumerate(iter(ids.get, None)):
            if file_id:
                yield record.wanted(number, file_id)

    with Client(config) as client:
        failures: list[BaseException] = []

        def guarded() -> None:
            try:
                upload(client)
            except BaseException as error:
                failures.append(error)

        uploader = threading.Thread(target=guarded)
        uploader.start()
        for result in client.download_many(wanted(), concurrency=CONCURRENCY):
            record.download(result)
        uploader.join()
        assert failures == []


def with_tasks(config: ClientConfig, record: Record, stop: threading.Event) -> None:
    async def main() -> None:
        ids: asyncio.Queue[str | None] = asyncio.Queue()

        async def items() -> AsyncIterator[UploadItem]:
            for index in itertools.count():
                await asyncio.sleep(PAUSE)
                if stop.is_set():
                    return
                yield UploadItem(content(index), "bin")

        async def upload(client: AsyncClient) -> None:
            try:
                async for result in client.upload_many(items(), concurrency=CONCURRENCY):
                    ids.put_nowait(record.upload(result) or "")
            finally:
                ids.put_nowait(None)

        async def wanted() -> AsyncIterator[str | tuple[str, Path]]:
            number = 0
            while (file_id := await ids.get()) is not None:
                if file_id:
                    number += 1
                    yield record.wanted(number, file_id)

        async def download(client: AsyncClient) -> None:
            async for result in client.download_many(wanted(), concurrency=CONCURRENCY):
                record.download(result)

        async with AsyncClient(config) as client:
            await asyncio.gather(upload(client), download(client))

    asyncio.run(main())


@pytest.fixture
def killed(request: pytest.FixtureRequest) -> tuple[list[str], Callable[[], object]]:
    """The trackers of a cluster, and what kills one of its storage servers and starts it again."""
    command = os.environ.get("FASTXFER_TEST_KILL")
    if command:
        return os.environ["FASTXFER_TEST_TRACKERS"].split(","), lambda: subprocess.run(
            command, shell=True, check=True, stdout=subprocess.DEVNULL
        )
    node: Node = request.getfixturevalue("node")

    def kill() -> None:
        storage = node.storages[0]
        storage.kill(noticed=False)
        time.sleep(0.1)
        storage.start()
        time.sleep(0.1)

    return node.tracker_addrs, kill


@pytest.mark.timeout(900)
@pytest.mark.parametrize("run", [with_threads, with_tasks])
def test_what_was_reported_done_is_done(
    killed: tuple[list[str], Callable[[], object]], tmp_path: Path, run: Callable[..., None]
) -> None:
    trackers, kill = killed
    stop = threading.Event()
    kills = 0

    def trouble() -> None:
        nonlocal kills
        try:
            for _ in range(KILLS):
                kill()
                kills += 1
        finally:
            stop.set()

    (tmp_path / "out").mkdir()
    record = Record(tmp_path / "out")
    troublemaker = threading.Thread(target=trouble)
    troublemaker.start()
    try:
        run(quick_config(trackers), record, stop)
    finally:
        stop.set()
        troublemaker.join()
    assert kills == KILLS
    assert record.seen == set(range(len(record.seen)))
    assert record.downloaded == set(range(len(record.uploaded)))
    assert list(record.directory.iterdir()) == []
    with Client(quick_config(trackers)) as client:
        for result in client.download_many(record.uploaded):
            assert result.unwrap() == content(record.uploaded[result.item])
        for gone in client.delete_many(record.uploaded):
            gone.unwrap()
    print(
        f"{kills} kills: {len(record.uploaded)} uploads reported done, {len(record.upload_errors)} failed; "
        f"{len(record.downloaded) - len(record.download_errors)} downloads done, {len(record.download_errors)} failed"
    )
    assert len(record.uploaded) > len(record.upload_errors)
    assert len(record.downloaded) > 2 * len(record.download_errors)
