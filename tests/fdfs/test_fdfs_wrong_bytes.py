"""Bytes that are not what they should be: taken from a replica, or an error that leaves no file."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastxfer.fdfs import (
    FastDFSError,
    IntegrityError,
    InvalidResponseError,
    Progress,
)
from fastxfer.fdfs.node import Fault, Node
from tests.fdfs.conftest import MakeClient
from tests.fdfs.failing import (
    DOWNLOAD,
    INFO,
    UPLOAD,
    content,
)


def test_a_corrupted_download_is_taken_from_the_replica(node: Node, make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(node.tracker_addrs)
    for size in (1000, 400_000):
        file_id = client.upload_buffer(content(size), "bin")
        node.wait_replicated()
        node.inject(Fault("group1", DOWNLOAD, corrupt=500))
        assert client.download_file(file_id) == content(size)
        node.inject(Fault("group1", DOWNLOAD, corrupt=500))
        client.download_to_file(file_id, tmp_path / "f")
        assert (tmp_path / "f").read_bytes() == content(size)


def test_corruption_everywhere_is_an_error_and_leaves_no_file(
    node: Node, make_client: MakeClient, tmp_path: Path
) -> None:
    client = make_client(node.tracker_addrs)
    file_id = client.upload_buffer(content(400_000), "bin")
    small_id = client.upload_buffer(content(400), "bin")
    node.wait_replicated()
    node.inject(Fault("group1", DOWNLOAD, corrupt=100, times=None))
    (tmp_path / "old").write_bytes(b"old")
    for name in ("new", "old"):
        with pytest.raises(IntegrityError) as caught:
            client.download_to_file(file_id, tmp_path / name)
        assert caught.value.file_id == file_id
    assert [path.name for path in tmp_path.iterdir() if path.name != "node"] == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"
    for operation in (
        lambda: client.download_file(file_id),
        lambda: client.download_file(small_id),
        lambda: client.download_to_buffer(file_id, bytearray(400_000)),
        lambda: list(client.download_iter(file_id, 50_000)),
    ):
        with pytest.raises(IntegrityError):
            operation()


def _upload_path(client: Any, data: bytes, path: Path) -> object:
    path.write_bytes(data)
    return client.upload_file(path)


WAYS_UP: dict[str, Callable[[Any, bytes, Path], object]] = {
    "bytes": lambda client, data, path: client.upload_buffer(data, "bin"),
    "bytearray": lambda client, data, path: client.upload_buffer(bytearray(data), "bin"),
    "watched": lambda client, data, path: client.upload_buffer(data, "bin", progress=Progress()),
    "stream": lambda client, data, path: client.upload_stream(io.BytesIO(data), "bin"),
    "file": _upload_path,
}


@pytest.mark.parametrize("way", WAYS_UP)
@pytest.mark.parametrize("size", [5000, 100_000, 3_000_000])
def test_an_upload_that_was_stored_otherwise_is_an_error_and_is_not_kept(
    node: Node, make_client: MakeClient, tmp_path: Path, size: int, way: str
) -> None:
    client = make_client(node.tracker_addrs)
    upload, right = WAYS_UP[way], content(size)
    good = upload(client, right, tmp_path / "f.bin")
    wrong = client.upload_buffer(content(size, 2), "bin")
    named = b"group1".ljust(16, b"\0") + wrong.partition("/")[2].encode()
    node.inject(Fault("group1", UPLOAD, answer=len(named).to_bytes(8, "big") + b"d\0" + named))
    sent, stored = (f"{zlib.crc32(data):08x}" for data in (right, content(size, 2)))
    with pytest.raises(IntegrityError, match=f"{size} bytes with CRC-32 {sent} were sent, {size} with {stored}"):
        upload(client, right, tmp_path / "f.bin")
    assert not client.file_exists(wrong)
    assert client.download_file(good) == right


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 200 OK\r\n\r\n", (1 << 50).to_bytes(8, "big") + b"d\0", (5).to_bytes(8, "big") + b"d\0hello"]
)
def test_rubbish_from_a_storage(node: Node, make_client: MakeClient, tmp_path: Path, reply: bytes) -> None:
    client = make_client(node.tracker_addrs)
    ids = [client.upload_buffer(content(size), "bin") for size in (1000, 400_000)]
    node.inject(Fault("group1", DOWNLOAD, reply=reply, times=None))
    node.inject(Fault("group1", UPLOAD, reply=reply, times=None))
    node.inject(Fault("group1", INFO, reply=reply, times=2))
    for file_id in ids:
        with pytest.raises((InvalidResponseError, IntegrityError)):
            client.download_file(file_id)
        with pytest.raises((InvalidResponseError, IntegrityError)):
            client.download_to_file(file_id, tmp_path / "f")
        assert not (tmp_path / "f").exists()
    with pytest.raises(FastDFSError):
        client.upload_buffer(b"x", "txt")
    node.faults.clear()
    for file_id, size in zip(ids, (1000, 400_000), strict=True):
        assert client.download_file(file_id) == content(size)
