"""Connections that die: what may be sent again is, silently, and nothing is done twice."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from fastxfer.fdfs import (
    FileNotFoundError,
    NetworkError,
    parse_file_id,
)
from fastxfer.fdfs.node import Fault, Node
from fastxfer.fdfs.outcome import call_error
from fastxfer.net.address import Address
from tests.fdfs.conftest import MakeClient
from tests.fdfs.failing import (
    APPEND,
    DELETE,
    DOWNLOAD,
    GET_METADATA,
    INFO,
    SET_METADATA,
    SLAVE,
    UPDATE,
    UPLOAD,
    content,
    stored,
)


@pytest.mark.parametrize("kill", [False, True], ids=["closed", "reset"])
def test_a_connection_that_died_idle_is_replaced_silently(node: Node, make_client: MakeClient, kill: bool) -> None:
    client = make_client(node.tracker_addrs, retry_count=1)
    file_id = client.upload_buffer(b"x" * 100, "txt", group="group1")
    for _ in range(3):
        for storage in node.storages:
            if kill:
                storage.kill()
                storage.start()
            else:
                storage.restart()
        assert client.download_file(file_id) == b"x" * 100
        assert client.download_file(client.upload_buffer(b"y", "txt")) == b"y"
        client.set_metadata(file_id, {"a": "b"})
    assert len(stored(node) - {f"{file_id.rpartition('/')[2]}-m"}) == 4


@pytest.mark.parametrize("command", [DOWNLOAD, INFO, SET_METADATA, GET_METADATA])
@pytest.mark.parametrize("cut", [0, 5, 12])
def test_repeatable_requests_are_repeated(node: Node, make_client: MakeClient, command: int, cut: int) -> None:
    client = make_client(node.tracker_addrs)
    file_id = client.upload_buffer(b"0123456789", "txt", {"a": "b"})
    fault = node.inject(Fault("group1", command, cut=cut))
    assert client.download_file(file_id) == b"0123456789"
    assert client.get_file_info(file_id).file_size == 10
    client.set_metadata(file_id, {"a": "c"})
    assert client.get_metadata(file_id) == {"a": "c"}
    assert fault.hits == 1


def test_a_delete_whose_reply_is_lost_has_happened(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs)
    file_id = client.upload_buffer(b"x", "txt")
    node.inject(Fault("group1", DELETE, cut=0))
    client.delete_file(file_id)
    assert not client.file_exists(file_id)
    with pytest.raises(FileNotFoundError) as caught:
        client.delete_file(file_id)
    assert caught.value.file_id == file_id
    assert caught.value.command == "DELETE_FILE"


@pytest.mark.parametrize("size", [100, 500_000])
def test_an_upload_whose_reply_is_lost_is_not_repeated(
    node: Node, make_client: MakeClient, tmp_path: Path, size: int
) -> None:
    client = make_client(node.tracker_addrs)
    client.upload_buffer(b"warm", "txt")
    node.inject(Fault("group1", UPLOAD, cut=0))
    path = tmp_path / "file"
    path.write_bytes(content(size))
    with pytest.raises(NetworkError) as caught:
        client.upload_file(path)
    assert caught.value.maybe_done
    assert len(stored(node)) == 2


def test_unless_that_is_asked_for(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs, at_least_once=True)
    node.inject(Fault("group1", UPLOAD, cut=0))
    assert client.download_file(client.upload_buffer(b"x", "txt")) == b"x"
    assert len(stored(node)) == 2


def test_an_append_whose_reply_is_lost_is_not_repeated(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs)
    file_id = client.upload_appender_buffer(b"1", "log")
    node.inject(Fault("group1", APPEND, cut=0))
    with pytest.raises(NetworkError) as caught:
        client.append_buffer(file_id, b"2")
    assert caught.value.maybe_done
    assert client.download_file(file_id) == b"12"


def test_nor_by_another_server_that_takes_changes(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs)
    file_id = client.upload_appender_buffer(b"1", "log")
    client.append_buffer(file_id, b"2")
    node.wait_replicated()
    source = parse_file_id(file_id).source_ip
    other = next(storage for storage in node.storages if storage.host != source)
    named = b"group1".ljust(16, b"\0") + other.host.encode().ljust(15, b"\0") + other.port.to_bytes(8, "big")
    node.inject(Fault("tracker", UPDATE, times=None, reply=len(named).to_bytes(8, "big") + b"d\0" + named))
    appended = node.inject(Fault("group1", APPEND, times=None, cut=0))
    with pytest.raises(NetworkError) as caught:
        client.append_buffer(file_id, b"3")
    assert caught.value.maybe_done
    assert appended.hits == 1


def test_an_append_that_broke_off_is_not_repeated(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs)
    appender = client.upload_appender_buffer(b"1", "log")
    master = client.upload_buffer(b"1", "txt")
    tried = [node.inject(Fault("group1", command, close=True, times=None)) for command in (APPEND, SLAVE)]
    for operation in (
        lambda: client.append_buffer(appender, bytes(50_000_000)),
        lambda: client.upload_slave_buffer(master, "_s", bytes(50_000_000), "txt"),
    ):
        with pytest.raises(NetworkError) as caught:
            operation()
        assert caught.value.maybe_done
        assert 0 < caught.value.bytes_done < 50_000_000
    assert [fault.hits for fault in tried] == [1, 1]


@pytest.mark.parametrize(("code", "maybe_done"), [(errno.EPIPE, False), (errno.ECONNRESET, True)])
def test_a_request_that_could_not_be_sent_has_done_nothing(code: int, maybe_done: bool) -> None:
    error = call_error(code, Address("127.0.0.1", 23000), bytes(8) + bytes([DELETE, 0]), True)
    assert isinstance(error, NetworkError)
    assert (error.maybe_done, error.reused, error.command) == (maybe_done, True, "DELETE_FILE")
