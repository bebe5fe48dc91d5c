"""Files that are not what their IDs say, and sinks that cannot take back what they were given."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fastxfer.fdfs import IntegrityError, NetworkError
from fastxfer.fdfs.node import Fault, Node
from tests.fdfs.conftest import MakeClient

DOWNLOAD = 14
WAYS: dict[str, Callable[[Any, str, Path], object]] = {
    "memory": lambda client, file_id, path: client.download_file(file_id),
    "range": lambda client, file_id, path: client.download_file_range(file_id, 10, 0),
    "file": lambda client, file_id, path: client.download_to_file(file_id, path),
    "buffer": lambda client, file_id, path: client.download_to_buffer(file_id, bytearray(10_000_000)),
    "chunks": lambda client, file_id, path: list(client.download_iter(file_id, 100_000)),
    "range of chunks": lambda client, file_id, path: list(client.download_iter(file_id, 1000, offset=10, length=4000)),
    "segments": lambda client, file_id, path: client.download_segmented(file_id, path),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("left", [0, 100])
@pytest.mark.parametrize("size", [5000, 3_000_000])
def test_a_file_that_has_become_shorter_on_disk_is_never_taken_for_whole(
    node: Node, make_client: MakeClient, tmp_path: Path, size: int, left: int, way: str
) -> None:
    client = make_client(node.tracker_addrs)
    file_id = client.upload_buffer(os.urandom(size), "bin")
    for storage in node.storages:
        os.truncate(storage.path_of(file_id), left)
    with pytest.raises(IntegrityError, match=f"has {left} bytes of .* where its ID says {size}"):
        WAYS[way](client, file_id, tmp_path / "sub" / "here")
    assert not any(path.is_file() for path in (tmp_path / "sub").glob("*")), "nothing half is left"


@pytest.mark.parametrize("size", [5000, 3_000_000])
def test_the_other_storage_may_have_it_whole(node: Node, make_client: MakeClient, size: int) -> None:
    client = make_client(node.tracker_addrs)
    data = os.urandom(size)
    file_id = client.upload_buffer(data, "bin")
    source = next(each for each in node.storages if each.host == client.get_file_info(file_id).source_ip_addr)
    os.truncate(source.path_of(file_id), 100)
    assert client.download_file(file_id) == data


# --- pipes


@pytest.fixture
def read_pipe(tmp_path: Path) -> Iterator[tuple[Path, Future[bytes]]]:
    """A named pipe and what is read from it to its end."""
    if sys.platform == "win32":
        pytest.skip("needs named pipes")
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with ThreadPoolExecutor(1) as pool:
        yield path, pool.submit(path.read_bytes)


def test_into_a_pipe_each_byte_is_written_once_though_a_connection_fails(
    node: Node, make_client: MakeClient, read_pipe: tuple[Path, Future[bytes]]
) -> None:
    client = make_client(node.tracker_addrs)
    data = os.urandom(1_000_000)
    file_id = client.upload_buffer(data, "bin")
    fault = node.inject(Fault("group1", DOWNLOAD, cut=300_000))
    assert client.download_to_file(file_id, read_pipe[0]) == len(data)
    assert fault.hits == 1
    assert read_pipe[1].result(60) == data


@pytest.mark.parametrize("fault", [Fault("group1", DOWNLOAD, cut=300_000), Fault("group1", DOWNLOAD, corrupt=5)])
def test_what_cannot_be_gone_on_with_in_a_pipe_is_an_error(
    node: Node, make_client: MakeClient, read_pipe: tuple[Path, Future[bytes]], fault: Fault
) -> None:
    client = make_client(node.tracker_addrs)
    data = os.urandom(400_000)
    # Of an appender file nobody knows beforehand how long it is: its download cannot be gone on with.
    file_id = (client.upload_appender_buffer if fault.cut else client.upload_buffer)(data, "bin")
    node.inject(fault)
    with pytest.raises((NetworkError, IntegrityError)):
        client.download_to_file(file_id, read_pipe[0])
    assert fault.hits == 1
    assert len(read_pipe[1].result(60)) <= len(data)
    fault.hits = 0


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="needs /dev/stdout")
def test_standard_output_may_be_a_pipe(node: Node, make_client: MakeClient, capfdbinary: Any) -> None:
    client = make_client(node.tracker_addrs)
    data = os.urandom(1000)
    file_id = client.upload_buffer(data, "bin")
    reader, writer = os.pipe()
    before = os.dup(1)
    os.dup2(writer, 1)
    try:
        client.download_to_file(file_id, "/dev/stdout")
    finally:
        os.dup2(before, 1)
        os.close(before)
        os.close(writer)
    with open(reader, "rb") as stream:
        assert stream.read() == data
