"""What servers refuse, by status: each has its exception, and what follows a refusal is never taken for requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastxfer.fdfs import (
    FastDFSError,
    FileAlreadyExistsError,
    InsufficientSpaceError,
    InvalidArgumentError,
    MetadataNotSetError,
    ProtocolError,
    ServerBusyError,
)
from fastxfer.fdfs.node import Fault, Node, NodeConfig
from tests.fdfs.conftest import MakeClient
from tests.fdfs.failing import (
    APPEND,
    DELETE,
    INFO,
    SET_METADATA,
    UPLOAD,
    content,
    stored,
)


def test_statuses_have_their_exceptions(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs, retry_count=1)
    file_id = client.upload_buffer(b"x", "txt")
    for status, kind in [
        (28, InsufficientSpaceError),
        (16, ServerBusyError),
        (5, ProtocolError),
        (22, InvalidArgumentError),
    ]:
        node.inject(Fault("group1", INFO, status=status))
        with pytest.raises(kind) as caught:
            client.get_file_info(file_id)
        assert (caught.value.status, caught.value.command, caught.value.file_id) == (status, "QUERY_FILE_INFO", file_id)
        assert caught.value.server in [storage.address for storage in node.storages]
    assert client.get_file_info(file_id).file_size == 1


def test_a_full_storage_is_left_for_another(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs)
    client.upload_buffer(b"warm", "txt")
    full = node.inject(Fault("group1/storage1", UPLOAD, status=28, times=None))
    for _ in range(4):
        client.upload_buffer(b"x", "txt")
    assert full.hits >= 1
    node.inject(Fault("group1/storage2", UPLOAD, status=28, times=None))
    with pytest.raises(InsufficientSpaceError):
        client.upload_buffer(b"x", "txt")
    node.faults.clear()
    client.upload_buffer(b"x", "txt")


@pytest.mark.parametrize("size", [10, 400_000])
def test_a_slot_of_a_trunk_file_that_is_still_occupied_is_left_for_another(
    node: Node, make_client: MakeClient, size: int
) -> None:
    client = make_client(node.tracker_addrs, retry_count=1)
    refused = node.inject(Fault("group1", UPLOAD, status=17, times=10))
    assert client.download_file(client.upload_buffer(content(size), "bin")) == content(size)
    assert refused.hits == 10
    refused = node.inject(Fault("group1", UPLOAD, status=17, times=None))
    with pytest.raises(FileAlreadyExistsError):
        client.upload_buffer(content(size), "bin")
    assert 10 < refused.hits < 30
    assert len(stored(node)) == 1


@pytest.mark.parametrize(
    ("size", "kept"), [(100, True), (8000, True), (9000, False), (60_000, False), (400_000, False)]
)
def test_a_connection_is_kept_after_a_refusal_where_no_rest_of_a_body_can_be_taken_for_requests(
    node: Node, make_client: MakeClient, size: int, kept: bool
) -> None:
    client = make_client(node.tracker_addrs, retry_count=1)
    client.upload_buffer(b"warm", "txt")
    refused = node.inject(Fault("group1", UPLOAD, status=5, times=None))
    with pytest.raises(ProtocolError):
        client.upload_buffer(content(size), "bin")
    connections = client.stats().connections
    dropped = sum(connections[s.address].dropped for s in node.storages if s.address in connections)
    assert refused.hits
    assert dropped == (0 if kept else refused.hits)


def test_metadata_that_cannot_be_set_is_an_error_that_tells_the_file_id(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs)
    node.inject(Fault("group1", SET_METADATA, status=5))
    with pytest.raises(MetadataNotSetError) as caught:
        client.upload_buffer(b"x", "txt", {"a": "b"})
    assert caught.value.file_id is not None
    assert client.download_file(caught.value.file_id) == b"x"
    assert isinstance(caught.value.__cause__, ProtocolError)


def test_the_body_of_a_refused_append_is_never_taken_for_requests(tmp_path: Path, make_client: MakeClient) -> None:
    """With a real storage's trap switched on: what is sent on after an early refusal is carried out as requests."""
    with Node(tmp_path, groups={"group1": 1}, config=NodeConfig(buffer_size=65536, quirks=True)) as node:
        client = make_client(node.tracker_addrs)
        victim = client.upload_buffer(b"precious", "txt")
        request = (16 + len(victim) - 7).to_bytes(8, "big") + bytes([DELETE, 0])
        request += b"group1".ljust(16, b"\0") + victim.partition("/")[2].encode()
        body = request * (3_000_000 // len(request))
        appender = client.upload_appender_buffer(b"x", "log")
        client.delete_file(appender)
        for operation in (
            lambda: client.append_buffer(appender, body),
            lambda: client.modify_buffer(appender, 0, body),
            lambda: client.upload_slave_buffer(victim.replace("M00/00/00", "M00/00/01"), "_s", body, "txt"),
        ):
            with pytest.raises(FastDFSError):
                operation()
        # Found to be there, refused all the same: an early reply while the body is on its way.
        appender = client.upload_appender_buffer(b"x", "log")
        for status in (28, 2):
            node.inject(Fault("group1", APPEND, status=status))
            with pytest.raises(FastDFSError) as caught:
                client.append_buffer(appender, bytes(100_000_000))
            assert caught.value.status == status
        assert client.download_file(victim) == b"precious"
        assert client.download_file(appender) == b"x"
