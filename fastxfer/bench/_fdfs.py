"""FastDFS work for any client: ours, and through a small adapter each peer's."""

from __future__ import annotations

import functools
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fastxfer.bench._loops import in_tasks, in_threads, run_in_loop
from fastxfer.bench._measure import Measurement, Meter, Recorder
from fastxfer.bench._work import Work

if TYPE_CHECKING:
    from fastxfer.fdfs import AsyncClient, Client, ClientConfig


class SyncStore(Protocol):
    """What a blocking client must do; it is used from many threads at once."""

    def upload(self, data: bytes) -> str: ...
    def download(self, file_id: str) -> bytes: ...
    def info(self, file_id: str) -> object: ...
    def delete(self, file_id: str) -> object: ...
    def upload_file(self, path: str) -> str: ...
    def download_file(self, file_id: str, path: str) -> object: ...


class AsyncStore(Protocol):
    """What an asyncio client must do."""

    async def upload(self, data: bytes) -> str: ...
    async def download(self, file_id: str) -> bytes: ...
    async def info(self, file_id: str) -> object: ...
    async def delete(self, file_id: str) -> object: ...
    async def upload_file(self, path: str) -> str: ...
    async def download_file(self, file_id: str, path: str) -> object: ...


def payload(size: int) -> bytes:
    """Bytes that do not compress; touched, so that first-touch cost is not measured."""
    block = os.urandom(min(size, 1 << 20))
    return (block * (size // len(block) + 1))[:size] if size else b""


def source_file(work: Work) -> str:
    """A local file of the work's size, written once and read once so that it is in the page cache."""
    path = Path(work.folder) / f"source-{work.size}"
    if not path.exists() or path.stat().st_size != work.size:
        block = payload(min(work.size, 1 << 20))
        with path.open("wb") as file:
            left = work.size
            while left > 0:
                left -= file.write(block[:left])
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass
    return str(path)


class _Files:
    """The file IDs that one run works on: every operation but the first uses what an upload left."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.data = payload(work.size) if {"upload", "download", "info", "delete"} & set(work.ops) else b""
        self.path = source_file(work) if {"upload_file", "download_file"} & set(work.ops) else ""
        self.ids: list[str] = [""] * work.count
        self.stored = False

    def prepare(self, op: str) -> bool:
        """Whether *op* needs an untimed upload first."""
        return not op.startswith("upload") and not self.stored

    @property
    def first(self) -> str:
        """The operation that stores files for the others."""
        return "upload_file" if self.path and not self.data else "upload"

    def left(self) -> list[str]:
        """What is still stored, to be deleted whatever happened."""
        return [file_id for file_id in self.ids if file_id]

    def target(self, index: int) -> str:
        return str(Path(self.work.folder) / f"received-{index % max(1, self.work.concurrency)}")


def run_sync(work: Work, store: SyncStore, meter: Meter) -> None:
    """Do *work* with a blocking client in ``work.concurrency`` threads."""
    files = _Files(work)
    ids, data, size = files.ids, files.data, work.size
    store_one, fetch, remove = store.upload, store.download, store.delete

    def upload(index: int, _: str) -> None:
        ids[index] = store_one(data)

    def upload_file(index: int, _: str) -> None:
        ids[index] = store.upload_file(files.path)

    def delete(index: int, file_id: str) -> None:
        remove(file_id)
        ids[index] = ""

    def download(_: int, file_id: str) -> None:
        if len(fetch(file_id)) != size:
            raise ValueError("short download")

    actions: dict[str, Callable[[int, str], object]] = {
        "upload": upload,
        "upload_file": upload_file,
        "download": download,
        "download_file": lambda index, file_id: store.download_file(file_id, files.target(index)),
        "info": lambda _, file_id: store.info(file_id),
        "delete": delete,
    }
    untimed = Recorder()
    try:
        for op in work.ops:
            if files.prepare(op):
                in_threads(files.ids, work.concurrency, untimed, 0, actions[files.first])
                files.stored = True
            if op in getattr(store, "unsupported", ()):
                meter.report(not_offered(op, work))
                continue
            with meter.operation(op, work) as recorder:
                in_threads(files.ids, work.concurrency, recorder, moved(op, work), actions[op])
            if not recorder.done:
                raise RuntimeError(f"every {op} failed: {recorder.error}")
            files.stored = op != "delete" and (files.stored or op.startswith("upload"))
    finally:
        in_threads(files.left(), work.concurrency, untimed, 0, lambda _, file_id: store.delete(file_id))


async def run_async(work: Work, store: AsyncStore, meter: Meter) -> None:
    """Do *work* with an asyncio client, ``work.concurrency`` operations in flight."""
    files = _Files(work)

    async def upload(index: int, _: str) -> None:
        files.ids[index] = await store.upload(files.data)

    async def upload_file(index: int, _: str) -> None:
        files.ids[index] = await store.upload_file(files.path)

    async def delete(index: int, file_id: str) -> None:
        await store.delete(file_id)
        files.ids[index] = ""

    async def download(_: int, file_id: str) -> None:
        if len(await store.download(file_id)) != work.size:
            raise ValueError("short download")

    actions: dict[str, Callable[[int, str], Awaitable[object]]] = {
        "upload": upload,
        "upload_file": upload_file,
        "download": download,
        "download_file": lambda index, file_id: store.download_file(file_id, files.target(index)),
        "info": lambda _, file_id: store.info(file_id),
        "delete": delete,
    }
    untimed = Recorder()
    try:
        for op in work.ops:
            if files.prepare(op):
                await in_tasks(files.ids, work.concurrency, untimed, 0, actions[files.first])
                files.stored = True
            if op in getattr(store, "unsupported", ()):
                meter.report(not_offered(op, work))
                continue
            with meter.operation(op, work) as recorder:
                await in_tasks(files.ids, work.concurrency, recorder, moved(op, work), actions[op])
            if not recorder.done:
                raise RuntimeError(f"every {op} failed: {recorder.error}")
            files.stored = op != "delete" and (files.stored or op.startswith("upload"))
    finally:
        await in_tasks(files.left(), work.concurrency, untimed, 0, lambda _, file_id: store.delete(file_id))


def not_offered(op: str, work: Work) -> Measurement:
    """Stands for an operation that a client does not have."""
    return Measurement(op, work.size, work.concurrency, 0, 0.0, error="not offered by this client")


def moved(op: str, work: Work) -> int:
    """Payload bytes that one *op* moves."""
    return work.size if op.startswith(("upload", "download")) else 0


class _OwnStore:
    def __init__(self, client: Client) -> None:
        self.upload = functools.partial(client.upload_buffer, file_ext_name="bin")
        self.download = client.download_file
        self.info = client.get_file_info
        self.delete = client.delete_file
        self.upload_file = client.upload_file
        self.download_file = client.download_to_file


class _OwnAsyncStore:
    def __init__(self, client: AsyncClient) -> None:
        self.upload = functools.partial(client.upload_buffer, file_ext_name="bin")
        self.download = client.download_file
        self.info = client.get_file_info
        self.delete = client.delete_file
        self.upload_file = client.upload_file
        self.download_file = client.download_to_file


def fdfs_sync(work: Work, meter: Meter) -> None:
    """Do *work* with :class:`fastxfer.fdfs.Client`."""
    from fastxfer.fdfs import Client

    with Client(_config(work)) as client:
        run_sync(work, _OwnStore(client), meter)


def fdfs_async(work: Work, meter: Meter) -> None:
    """Do *work* with :class:`fastxfer.fdfs.AsyncClient`, on uvloop where it is installed."""
    from fastxfer.fdfs import AsyncClient

    async def main() -> None:
        async with AsyncClient(_config(work)) as client:
            await run_async(work, _OwnAsyncStore(client), meter)

    run_in_loop(main())


def _config(work: Work) -> ClientConfig:
    from fastxfer.fdfs import ClientConfig

    trackers = [part.strip() for part in str(work.server["tracker"]).split(",")]
    return ClientConfig(tracker_addrs=trackers, max_conns=max(10, min(work.concurrency, 64)))
