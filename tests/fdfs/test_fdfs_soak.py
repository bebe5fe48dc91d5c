"""Many threads do random operations on files of their own, and check every byte.

``FASTXFER_TEST_TRACKERS`` runs it against a real cluster, ``FASTXFER_TEST_SECONDS`` for longer.

A real cluster with trunk files loses some: where slots of trunk files are freed and given out again within a second,
the source of a new file may clear its slot (seen in 6.16.1: the replica still has the file, and no binlog a deletion).
Such files are counted, and must be very few.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fastxfer.fdfs import Client, ClientConfig, FileNotFoundError, MetadataFlag, parse_file_id

REAL_CLUSTER = "FASTXFER_TEST_TRACKERS" in os.environ
SECONDS = float(os.environ.get("FASTXFER_TEST_SECONDS", "3"))
THREADS = 16
MOST_FILES = 12
MOST_LOST = 1 / 5000
"""Trunk files that a real cluster may lose, per operation."""


@dataclass
class Stored:
    """What a file must be."""

    data: bytes
    appender: bool = False
    metadata: dict[str, str] = field(default_factory=dict)


class Worker:
    """One thread's files, and a random walk over the operations on them."""

    def __init__(self, client: Client, directory: Path, seed: int) -> None:
        self.client = client
        self.directory = directory
        self.random = random.Random(seed)
        self.files: dict[str, Stored] = {}
        self.operations = 0
        self.lost = 0

    def run(self, until: float) -> int:
        steps = [self.upload, self.upload_appender, self.download, self.download_range, self.download_to_file]
        steps += [self.set_metadata, self.get_metadata, self.info, self.append, self.modify, self.truncate]
        steps += [self.delete, self.upload_slave]
        try:
            while time.monotonic() < until:
                step = self.random.choice(steps)
                if self.files or step in (self.upload, self.upload_appender):
                    with self.forgiving():
                        step()
                    self.operations += 1
        finally:
            for file_id in list(self.files):
                with self.forgiving():
                    self.client.delete_file(file_id)
        return self.operations

    @contextlib.contextmanager
    def forgiving(self) -> Iterator[None]:
        """Where a real cluster has lost a trunk file, count and forget it."""
        try:
            yield
        except FileNotFoundError as error:
            if not REAL_CLUSTER or error.file_id is None or not parse_file_id(error.file_id).trunk:
                raise
            del self.files[error.file_id]
            self.lost += 1

    def content(self) -> bytes:
        return self.random.randbytes(int(2 ** self.random.uniform(0, 20)) - 1)

    def pick(self, *, appender: bool | None = None) -> str | None:
        fitting = [file_id for file_id, file in self.files.items() if appender is None or file.appender == appender]
        return self.random.choice(fitting) if fitting else None

    def upload(self) -> None:
        data = self.content()
        if self.random.random() < 0.5:
            file_id = self.client.upload_buffer(data, "bin")
        else:
            path = self.directory / "source.dat"
            path.write_bytes(data)
            file_id = self.client.upload_file(path)
        assert file_id not in self.files
        self.files[file_id] = Stored(data)
        if len(self.files) > MOST_FILES:
            self.delete()

    def upload_appender(self) -> None:
        data = self.content()
        self.files[self.client.upload_appender_buffer(data, "log")] = Stored(data, appender=True)

    def upload_slave(self) -> None:
        master = self.pick(appender=False)
        if master is None or len(master.split("/", 1)[1]) != 44:
            return
        data = self.content()
        slave = self.client.upload_slave_buffer(master, f"_{self.operations}", data, "jpg")
        self.files[slave] = Stored(data)

    def download(self) -> None:
        file_id = self.pick()
        assert file_id is not None
        assert self.client.download_file(file_id) == self.files[file_id].data

    def download_range(self) -> None:
        file_id = self.pick()
        assert file_id is not None
        data = self.files[file_id].data
        if data:
            offset = self.random.randrange(len(data))
            length = self.random.randint(1, len(data) - offset)
            assert self.client.download_file_range(file_id, offset, length) == data[offset : offset + length]

    def download_to_file(self) -> None:
        file_id = self.pick()
        assert file_id is not None
        target = self.directory / "target.dat"
        self.client.download_to_file(file_id, target)
        assert target.read_bytes() == self.files[file_id].data

    def set_metadata(self) -> None:
        file_id = self.pick()
        assert file_id is not None
        new = {f"key{self.random.randrange(5)}": self.random.randbytes(8).hex() for _ in range(3)}
        file = self.files[file_id]
        merge = self.random.random() < 0.5
        self.client.set_metadata(file_id, new, MetadataFlag.MERGE if merge else MetadataFlag.OVERWRITE)
        file.metadata = {**file.metadata, **new} if merge else new

    def get_metadata(self) -> None:
        file_id = self.pick()
        assert file_id is not None
        assert self.client.get_metadata(file_id) == self.files[file_id].metadata

    def info(self) -> None:
        file_id = self.pick()
        assert file_id is not None
        info = self.client.get_file_info(file_id)
        data = self.files[file_id].data
        assert (info.file_size, info.crc32) == (len(data), zlib.crc32(data))

    def append(self) -> None:
        if file_id := self.pick(appender=True):
            data = self.content()
            self.client.append_buffer(file_id, data)
            self.files[file_id].data += data

    def modify(self) -> None:
        if file_id := self.pick(appender=True):
            old = self.files[file_id].data
            data = self.content()
            offset = self.random.randint(0, len(old))
            self.client.modify_buffer(file_id, offset, data)
            self.files[file_id].data = old[:offset] + data + old[offset + len(data) :]

    def truncate(self) -> None:
        if file_id := self.pick(appender=True):
            old = self.files[file_id].data
            size = self.random.randint(0, len(old))
            self.client.truncate_file(file_id, size)
            self.files[file_id].data = old[:size]

    def delete(self) -> None:
        file_id = self.pick()
        assert file_id is not None
        self.client.delete_file(file_id)
        del self.files[file_id]
        # A slave may be stored elsewhere than its ID says, so what replicas have counts, and they lag.
        deadline = time.monotonic() + (60 if parse_file_id(file_id).slave else 0)
        while self.client.file_exists(file_id):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_random_operations_of_many_threads(trackers: list[str], tmp_path: Path) -> None:
    with Client(ClientConfig(trackers, max_conns=THREADS)) as client, ThreadPoolExecutor(THREADS) as threads:
        workers = []
        for number in range(THREADS):
            directory = tmp_path / str(number)
            directory.mkdir()
            workers.append(Worker(client, directory, number))
        until = time.monotonic() + SECONDS
        counts = [future.result() for future in [threads.submit(worker.run, until) for worker in workers]]
        lost = sum(worker.lost for worker in workers)
        print(f"{sum(counts)} operations in {SECONDS:.0f} s, {lost} trunk files lost by the servers")
    assert all(counts)
    assert lost <= 1 + sum(counts) * MOST_LOST
