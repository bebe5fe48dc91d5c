"""Named pipes as local files, and raw streams: nothing waits where it must not, and nothing is lost silently."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastxfer.fdfs import AsyncClient, CancelToken, InvalidArgumentError, TransferCancelledError
from fastxfer.fdfs.node import Node
from tests.fdfs.conftest import MakeClient, quick_config
from tests.fdfs.failing import content

needs_pipes = pytest.mark.skipif(sys.platform != "linux", reason="opens named pipes without waiting: Linux")
PATIENCE = 60


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe.bin"
    os.mkfifo(path)
    return path


@contextlib.contextmanager
def aside(work: Callable[[], object]) -> Iterator[list[Any]]:
    """*work* done in a thread; its result when it has ended."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    yield results
    thread.join(PATIENCE)
    assert results


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@needs_pipes
def test_the_loop_runs_on_while_nobody_has_opened_the_other_end(shared_node: Node, pipe: Path) -> None:
    """The other end is opened by a task of the same loop, which could never run otherwise."""
    data = content(300_000)

    async def main() -> None:
        async with AsyncClient(quick_config(shared_node.tracker_addrs)) as client:
            upload = asyncio.create_task(client.upload_file(pipe))
            await asyncio.sleep(0.05)
            with aside(lambda: pipe.write_bytes(data)):
                file_id = await asyncio.wait_for(upload, PATIENCE)
            download = asyncio.create_task(client.download_to_file(file_id, pipe))
            await asyncio.sleep(0.05)
            with aside(pipe.read_bytes) as arrived:
                assert await asyncio.wait_for(download, PATIENCE) == len(data)
            assert arrived == [data]
            await client.delete_file(file_id)

    asyncio.run(main())


@needs_pipes
@pytest.mark.parametrize("stalled", [False, True], ids=["unopened", "stalled"])
@pytest.mark.parametrize("way", ["upload", "download"])
def test_a_task_that_waits_for_a_pipe_can_be_cancelled(shared_node: Node, pipe: Path, way: str, stalled: bool) -> None:
    async def main() -> None:
        async with AsyncClient(quick_config(shared_node.tracker_addrs)) as client:
            file_id = await client.upload_buffer(content(2_000_000), "bin")
            # Whatever is opened once, is.
            await client.download_to_file(file_id, pipe.with_name("copy"))
            before = open_descriptors()
            other = os.open(pipe, os.O_RDWR) if stalled else -1
            if stalled and way == "upload":
                os.write(other, b"and no more")
            work: Any = client.upload_file(pipe) if way == "upload" else client.download_to_file(file_id, pipe)
            task = asyncio.create_task(work)
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.wait([task], timeout=PATIENCE)
            assert task.cancelled()
            if stalled:
                os.close(other)
            # The node, in this process too, closes its end a little later.
            for _ in range(20 * PATIENCE):
                if open_descriptors() <= before:
                    break
                await asyncio.sleep(0.05)
            assert open_descriptors() <= before
            await client.delete_file(file_id)

    asyncio.run(main())


@needs_pipes
def test_a_pipe_that_nobody_reads_is_waited_for_as_long_as_the_caller_says(
    make_client: MakeClient, shared_node: Node, pipe: Path
) -> None:
    client = make_client(shared_node.tracker_addrs)
    file_id = client.upload_buffer(b"x", "txt")
    with pytest.raises(TimeoutError, match="nobody reads") as caught:
        client.download_to_file(file_id, pipe, timeout=0.1)
    assert caught.value.filename == str(pipe)
    token = CancelToken()
    timer = threading.Timer(0.05, token.cancel)
    timer.start()
    with pytest.raises(TransferCancelledError):
        client.download_to_file(file_id, pipe, cancel=token)
    timer.join()
    client.delete_file(file_id)


@needs_pipes
def test_an_empty_file_ends_whoever_reads_from_the_pipe(client: Any, pipe: Path) -> None:
    file_id = client.upload_buffer(b"", "txt")
    with aside(pipe.read_bytes) as arrived:
        assert client.download_to_file(file_id, pipe) == 0
    assert arrived == [b""]
    client.delete_file(file_id)


@needs_pipes
def test_segments_of_a_pipe_are_refused_without_waiting_for_it(client: Any, pipe: Path) -> None:
    file_id = client.upload_buffer(content(3 << 20), "bin")
    with pytest.raises(InvalidArgumentError, match="no regular file"):
        client.download_segmented(file_id, pipe)
    with pytest.raises(InvalidArgumentError, match="no regular file"):
        client.upload_segmented(pipe)
    client.delete_file(file_id)


# --- streams


class Sparing(io.RawIOBase):
    """A raw stream that takes at most so many bytes at a time; after *last* none."""

    def __init__(self, most: int, last: int | None = None) -> None:
        self.taken = bytearray()
        self._most = most
        self._last = last

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int | None:
        if self._last is not None and len(self.taken) >= self._last:
            return None
        part = bytes(data[: self._most])
        self.taken += part
        return len(part)


class Halting(io.RawIOBase):
    """A raw stream that does not block, and has nothing just now after its first bytes."""

    def __init__(self) -> None:
        self._answers = [b"first", None, b"second", b""]

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes | None:
        return self._answers.pop(0)


def test_a_raw_stream_gets_again_what_it_did_not_take(client: Any) -> None:
    data = content(1_500_000)
    file_id = client.upload_buffer(data, "bin")
    stream = Sparing(400_000)
    assert client.download_to_stream(file_id, stream) == len(data)
    assert stream.taken == data
    client.delete_file(file_id)


def test_a_raw_stream_that_takes_nothing_is_an_error(client: Any) -> None:
    data = content(100_000)
    file_id = client.upload_buffer(data, "bin")
    stream = Sparing(30_000, last=60_000)
    with pytest.raises(BlockingIOError):
        client.download_to_stream(file_id, stream)
    assert stream.taken == data[:60_000]
    client.delete_file(file_id)


@pytest.mark.parametrize("stream", [Halting(), io.StringIO(""), io.StringIO("text")], ids=["halting", "empty", "text"])
def test_what_is_no_bytes_does_not_pass_for_the_end_of_a_stream(client: Any, stream: Any) -> None:
    before = sum(server.reused + server.opened for server in client.stats().connections.values())
    if isinstance(stream, Halting):
        stream = Halting()
    with pytest.raises(InvalidArgumentError, match="the stream"):
        client.upload_stream(stream, "txt")
    assert sum(server.reused + server.opened for server in client.stats().connections.values()) == before


def test_a_stream_writer_is_waited_for(shared_node: Node) -> None:
    class Writer:
        waiting = most = drained = 0

        def write(self, data: bytes) -> None:
            self.waiting += len(data)
            self.most = max(self.most, self.waiting)

        async def drain(self) -> None:
            await asyncio.sleep(0)
            self.drained += self.waiting
            self.waiting = 0

    async def main() -> None:
        async with AsyncClient(quick_config(shared_node.tracker_addrs)) as client:
            file_id = await client.upload_buffer(content(5 << 20), "bin")
            writer = Writer()
            assert await client.download_to_stream(file_id, writer) == writer.drained == 5 << 20
            assert writer.most == 1 << 20
            await client.delete_file(file_id)

    asyncio.run(main())
