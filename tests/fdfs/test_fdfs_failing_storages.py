"""Storage servers that are down, killed, moved or behind: others serve, and what is there is not said to be missing."""

from __future__ import annotations

import threading
import zlib
from pathlib import Path

import pytest

from fastxfer.fdfs import (
    FileNotFoundError,
    NetworkError,
    NoStorageServerError,
    Progress,
    StorageServerOfflineError,
    parse_file_id,
)
from fastxfer.fdfs.node import Fault, Node, NodeConfig
from fastxfer.net import pool
from tests.fdfs.conftest import MakeClient
from tests.fdfs.failing import (
    DOWNLOAD,
    content,
    stored,
)


def test_uploads_go_to_the_storage_that_is_left(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs)
    client.upload_buffer(b"warm", "txt")
    gone, left = node.storages
    gone.kill(noticed=False)
    for number in range(6):
        file_id = client.upload_buffer(b"%d" % number, "txt")
        assert parse_file_id(file_id).source_ip == left.host
    assert len(stored(node)) == 7


def test_uploads_go_on_where_a_storage_died_before_anybody_could_look(
    node: Node, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_SURELY_ALIVE", 60.0)
    client = make_client(node.tracker_addrs)
    gone, left = node.storages
    warm = set()
    while warm != {gone.host, left.host}:
        warm.add(parse_file_id(client.upload_buffer(b"warm", "txt")).source_ip)
    before = len(stored(node))
    gone.kill(noticed=False)
    for number in range(6):
        file_id = client.upload_buffer(b"%d" % number, "txt")
        assert parse_file_id(file_id).source_ip == left.host
    assert len(stored(node)) == before + 6


@pytest.mark.parametrize("noticed", [True, False])
def test_downloads_come_from_the_replica(node: Node, make_client: MakeClient, tmp_path: Path, noticed: bool) -> None:
    client = make_client(node.tracker_addrs)
    file_id = client.upload_buffer(content(400_000), "bin", {"a": "b"})
    source = parse_file_id(file_id).source_ip
    storage = next(storage for storage in node.storages if storage.host == source)
    node.wait_replicated()
    client.download_file(file_id)
    storage.kill(noticed=noticed)
    assert client.download_file(file_id) == content(400_000)
    client.download_to_file(file_id, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == content(400_000)
    assert client.get_metadata(file_id) == {"a": "b"}
    assert client.file_exists(file_id)
    storage.start()
    assert client.download_file(file_id) == content(400_000)


def test_a_storage_killed_in_mid_download(node: Node, make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(node.tracker_addrs)
    data = content(3_000_000)
    file_id = client.upload_buffer(data, "bin")
    node.wait_replicated()
    for target in ("file", "memory", "buffer"):
        node.inject(Fault("group1", DOWNLOAD, cut=1_000_000))
        progress = Progress()
        if target == "file":
            client.download_to_file(file_id, tmp_path / "f", progress=progress)
            assert (tmp_path / "f").read_bytes() == data
        elif target == "memory":
            assert client.download_file(file_id, progress=progress) == data
        else:
            buffer = bytearray(len(data))
            client.download_to_buffer(file_id, buffer, progress=progress)
            assert buffer == data
        assert progress.transferred == len(data)


def test_a_storage_killed_in_mid_upload_stores_the_file_once(
    node: Node, make_client: MakeClient, tmp_path: Path
) -> None:
    client = make_client(node.tracker_addrs)
    client.upload_buffer(b"warm", "txt")
    path = tmp_path / "big.bin"
    path.write_bytes(content(20_000_000))
    started = threading.Event()

    def watch(state: Progress) -> None:
        started.set()

    def kill() -> None:
        started.wait(30)
        node.storages[0].kill(noticed=False)

    killer = threading.Thread(target=kill)
    killer.start()
    for _ in range(3):
        file_id = client.upload_file(path, progress=watch)
        assert parse_file_id(file_id).crc32 == zlib.crc32(content(20_000_000))
    killer.join()
    assert len(stored(node)) == 4


def test_a_file_that_is_not_replicated_yet_is_not_said_to_be_missing(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs, retry_count=1)
    node.pause_replication()
    file_id = client.upload_buffer(b"only here", "txt")
    source = parse_file_id(file_id).source_ip
    storage = next(storage for storage in node.storages if storage.host == source)
    other = make_client(node.tracker_addrs, reads="tracker")
    for _ in range(4):
        assert other.download_file(file_id) == b"only here"
        assert other.file_exists(file_id)
    storage.kill()
    for operation in (client.download_file, client.file_exists, client.get_metadata, client.delete_file):
        with pytest.raises(StorageServerOfflineError) as caught:
            operation(file_id)
        assert caught.value.file_id == file_id
    storage.start()
    assert client.download_file(file_id) == b"only here"


def test_a_file_that_is_gone_is_missing_whatever_is_up(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs)
    file_id = client.upload_buffer(b"x", "txt")
    slave = client.upload_slave_buffer(file_id, "_s", b"y", "txt")
    client.delete_file(file_id)
    client.delete_file(slave)
    node.wait_replicated()
    for missing in (file_id, slave):
        assert not client.file_exists(missing)
        for operation in (client.download_file, client.get_metadata, client.get_file_info, client.delete_file):
            with pytest.raises(FileNotFoundError) as caught:
                operation(missing)
            assert caught.value.file_id == missing
            assert caught.value.status == 2


def test_a_slave_may_be_elsewhere_than_its_name_says_and_other_files_may_not(
    node: Node, make_client: MakeClient
) -> None:
    client = make_client(node.tracker_addrs, topology_age=3600)
    master = client.upload_buffer(b"master", "txt")
    slave = client.upload_slave_buffer(master, "_s", b"slave", "txt")
    client.download_file(slave)
    node.wait_replicated()
    source = next(s for s in node.storages if s.host == parse_file_id(master).source_ip)
    for path in (node.directory / source.name).rglob("data/*/*/*"):
        if path.is_file():
            path.unlink()
    assert client.download_file(slave) == b"slave"
    assert client.file_exists(slave)
    assert not client.file_exists(master)


def test_a_storage_that_moved_is_found_again(tmp_path: Path, make_client: MakeClient) -> None:
    with Node(tmp_path, groups={"group1": 1}, config=NodeConfig(use_storage_id=True)) as node:
        client = make_client(node.tracker_addrs, topology_age=3600)
        file_id = client.upload_buffer(b"x", "txt")
        assert client.download_file(file_id) == b"x"
        (storage,) = node.storages
        storage.stop()
        storage._state.port = 0
        storage.start()
        assert client.download_file(file_id) == b"x"
        assert client.download_file(client.upload_buffer(b"y", "txt")) == b"y"


def test_reads_are_spread_over_the_replicas_when_asked(node: Node, make_client: MakeClient) -> None:
    writer = make_client(node.tracker_addrs)
    file_id = writer.upload_buffer(b"x", "txt")
    node.wait_replicated()
    client = make_client(node.tracker_addrs, reads="tracker")
    for _ in range(10):
        assert client.download_file(file_id) == b"x"
    asked = {address for address, stats in client.stats().connections.items() if stats.reused + stats.opened > 2}
    assert {storage.address for storage in node.storages} <= asked


def test_all_storages_down(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs, retry_count=2)
    file_id = client.upload_buffer(b"x", "txt")
    for storage in node.storages:
        storage.kill()
    with pytest.raises((NoStorageServerError, NetworkError)):
        client.upload_buffer(b"y", "txt")
    with pytest.raises((NoStorageServerError, NetworkError)):
        client.download_file(file_id)
    with pytest.raises((NoStorageServerError, NetworkError)):
        client.file_exists(file_id)
