"""Every operation of the client, blocking and on asyncio, against the embedded node in each of its configurations."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastxfer.fdfs import (
    FileAlreadyExistsError,
    FileNotFoundError,
    IntegrityError,
    MetadataFlag,
    NoStorageServerError,
    Progress,
    StorageStatus,
    parse_file_id,
)
from fastxfer.fdfs.node import Node, NodeConfig
from tests.fdfs.conftest import MakeClient
from tests.fdfs.faces import FACES

SIZES = [0, 1, 4096, 65536, 65537, 262144, 262145, 3_000_000]
VARIANTS = {
    "default": NodeConfig(),
    "storage IDs": NodeConfig(use_storage_id=True),
    "wide addresses": NodeConfig(wide_addresses=True),
    "trunk files": NodeConfig(use_trunk_file=True),
    "slave links": NodeConfig(store_slave_file_use_link=True),
}


def content(size: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(size)


@contextlib.contextmanager
def deleting(client: Any, *file_ids: str) -> Iterator[None]:
    try:
        yield
    finally:
        for file_id in file_ids:
            with contextlib.suppress(FileNotFoundError):
                client.delete_file(file_id)


@pytest.mark.parametrize("size", SIZES)
def test_a_buffer_goes_up_and_comes_back(client: Any, size: int) -> None:
    data = content(size)
    file_id = client.upload_buffer(data, "bin")
    assert client.download_file(file_id) == data
    parts = parse_file_id(file_id)
    assert (parts.size, parts.crc32, parts.extension) == (size, zlib.crc32(data), "bin")
    info = client.get_file_info(file_id)
    assert (info.file_size, info.crc32) == (size, zlib.crc32(data))
    assert parts.source_ip in (None, info.source_ip_addr)
    assert abs((datetime.now() - info.create_time).total_seconds()) < 600
    client.delete_file(file_id)
    assert not client.file_exists(file_id)


@pytest.mark.parametrize("size", SIZES)
def test_a_file_goes_up_and_comes_back(client: Any, tmp_path: Path, size: int) -> None:
    data = content(size)
    source = tmp_path / "source.dat"
    source.write_bytes(data)
    file_id = client.upload_file(str(source))
    assert file_id.endswith(".dat")
    target = tmp_path / "new" / "directory" / "target.dat"
    client.download_to_file(file_id, target)
    assert target.read_bytes() == data
    assert [path.name for path in target.parent.iterdir()] == ["target.dat"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask
    client.delete_file(file_id)


def test_anything_with_a_buffer_can_be_uploaded(client: Any) -> None:
    array = np.arange(30_000, dtype=np.int32).reshape(100, 300)
    for data in (bytearray(b"abc"), memoryview(b"abc"), array, np.array([], dtype=np.float64)):
        file_id = client.upload_buffer(data, "")
        assert client.download_file(file_id) == bytes(memoryview(data).tobytes())
        client.delete_file(file_id)


@pytest.mark.parametrize("size", [0, 100, 70_000, 9_000_000])
def test_a_stream_of_unknown_length(client: Any, size: int) -> None:
    data = content(size)
    file_id = client.upload_stream(io.BytesIO(data), "bin")
    assert parse_file_id(file_id).size == size
    assert b"".join(client.download_iter(file_id)) == data
    client.delete_file(file_id)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_read_to_its_end(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "pipe.bin"
    os.mkfifo(path)
    data = content(300_000)
    writer = threading.Thread(target=path.write_bytes, args=(data,))
    writer.start()
    file_id = client.upload_file(path)
    writer.join()
    assert client.download_file(file_id) == data
    client.delete_file(file_id)


def test_an_extension_may_come_with_its_dot(client: Any, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(b"x")
    master = client.upload_buffer(b"x", ".jpg")
    ids = [
        master,
        client.upload_buffer(bytes(300_000), ".jpg"),
        client.upload_file(tmp_path / "local", file_ext_name=".jpg"),
        client.upload_appender_buffer(b"x", ".jpg"),
        client.upload_slave_buffer(master, "_small", b"x", ".jpg"),
    ]
    with deleting(client, *ids):
        for file_id in ids:
            assert file_id.count(".") == 1
            assert file_id.endswith(".jpg")
            assert client.file_exists(file_id)


def test_group_and_store_path_can_be_chosen(tmp_path: Path, make_client: MakeClient) -> None:
    with Node(tmp_path, groups={"group1": 1, "group2": 1}, store_paths=3) as node:
        client = make_client(node.tracker_addrs)
        for group in ("group2", "group1"):
            for path in (2, 0, 1):
                parts = parse_file_id(client.upload_buffer(b"x", "txt", group=group, store_path=path))
                assert (parts.group, parts.store_path_index) == (group, path)


def test_a_group_that_is_unknown(client: Any) -> None:
    file_id = client.upload_buffer(b"x", "txt")
    elsewhere = "nogroup/" + file_id.partition("/")[2]
    operations: list[Callable[[], object]] = [
        lambda: client.upload_buffer(b"x", "txt", group="nogroup"),
        lambda: client.upload_appender_buffer(b"x", "txt", group="nogroup"),
        lambda: client.download_file(elsewhere),
        lambda: client.delete_file(elsewhere),
        lambda: client.get_file_info(elsewhere),
        lambda: client.get_metadata(elsewhere),
        lambda: client.file_exists(elsewhere),
    ]
    for operation in operations:
        with pytest.raises(NoStorageServerError, match="nogroup"):
            operation()
    client.delete_file(file_id)


def test_uploads_go_to_all_groups_and_storages(shared_node: Node, make_client: MakeClient) -> None:
    client = make_client(shared_node.tracker_addrs)
    ids = [client.upload_buffer(b"x", "txt") for _ in range(24)]
    sources = {(parse_file_id(file_id).group, parse_file_id(file_id).source_ip) for file_id in ids}
    assert sources == {(storage.group, storage.host) for storage in shared_node.storages}


def test_metadata_with_an_upload(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"jpeg")
    file_id = client.upload_file(path, {"author": "张三", "width": "1024"})
    assert client.get_metadata(file_id) == {"author": "张三", "width": "1024"}
    client.set_metadata(file_id, {"width": "800", "zzz": ""}, MetadataFlag.MERGE)
    assert client.get_metadata(file_id) == {"author": "张三", "width": "800", "zzz": ""}
    client.set_metadata(file_id, {"only": "this"})
    assert client.get_metadata(file_id) == {"only": "this"}
    client.set_metadata(file_id, {"n" * 64: "v" * 256, "é" * 32: "é" * 128}, MetadataFlag.OVERWRITE)
    assert client.get_metadata(file_id) == {"n" * 64: "v" * 256, "é" * 32: "é" * 128}
    client.set_metadata(file_id, None)
    assert client.get_metadata(file_id) == {}
    client.delete_file(file_id)
    with pytest.raises(FileNotFoundError):
        client.get_metadata(file_id)


def test_ranges(client: Any, tmp_path: Path) -> None:
    data = content(600_000)
    file_id = client.upload_buffer(data, "bin")
    with deleting(client, file_id):
        for offset, length in [(0, 1), (1, 0), (599_999, 5), (100, 400_000), (0, 0), (600_000, 0), (600_000, 9)]:
            expected = data[offset:] if length == 0 else data[offset : offset + length]
            assert client.download_file_range(file_id, offset, length) == expected
            client.download_to_file(file_id, tmp_path / "part", offset=offset, length=length)
            assert (tmp_path / "part").read_bytes() == expected
            buffer = bytearray(700_000)
            assert client.download_to_buffer(file_id, buffer, offset, length) == len(expected)
            assert buffer[: len(expected)] == expected
            assert b"".join(client.download_iter(file_id, 70_000, offset=offset, length=length)) == expected


def test_into_an_array(client: Any) -> None:
    array = np.random.default_rng(5).random(50_000)
    file_id = client.upload_buffer(array, "f64")
    target = np.zeros_like(array)
    assert client.download_to_buffer(file_id, target) == array.nbytes
    assert (target == array).all()
    client.delete_file(file_id)


def test_into_a_stream(client: Any) -> None:
    data = content(2_500_000)
    file_id = client.upload_buffer(data, "bin")
    stream = io.BytesIO()
    assert client.download_to_stream(file_id, stream) == len(data)
    assert stream.getvalue() == data
    client.delete_file(file_id)


def test_a_download_replaces_a_file_and_keeps_its_permissions(client: Any, tmp_path: Path) -> None:
    file_id = client.upload_buffer(b"new", "txt")
    target = tmp_path / "target"
    target.write_bytes(b"old and longer")
    target.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(target)
    client.download_to_file(file_id, str(link), fsync=True)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    client.delete_file(file_id)


def test_a_download_into_a_device(client: Any) -> None:
    file_id = client.upload_buffer(content(300_000), "bin")
    client.download_to_file(file_id, os.devnull)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    client.delete_file(file_id)


def test_an_appender_file(client: Any, tmp_path: Path) -> None:
    whole = bytearray(content(100))
    file_id = client.upload_appender_buffer(whole, "log")
    assert parse_file_id(file_id).appender
    for size in (1, 50_000, 70_000, 1_000_000):
        more = content(size, size)
        client.append_buffer(file_id, more)
        whole += more
    path = tmp_path / "piece"
    path.write_bytes(content(200_000, 7))
    client.append_file(file_id, path)
    whole += path.read_bytes()
    assert client.download_file(file_id) == whole
    client.modify_buffer(file_id, 10, b"0123456789")
    whole[10:20] = b"0123456789"
    client.modify_file(file_id, len(whole) - 5, path)
    whole[-5:] = path.read_bytes()
    assert client.download_file(file_id) == whole
    info = client.get_file_info(file_id)
    assert (info.file_size, info.crc32) == (len(whole), zlib.crc32(whole))
    assert client.get_file_info(file_id, 1).crc32 == 0
    client.truncate_file(file_id, 1000)
    client.truncate_file(file_id, 1000)
    client.truncate_file(file_id, 1010)
    del whole[1000:]
    whole += bytes(10)
    client.append_buffer(file_id, b"")
    client.modify_buffer(file_id, 0, b"")
    assert client.download_file(file_id) == whole
    assert b"".join(client.download_iter(file_id, 300)) == whole
    client.truncate_file(file_id)
    assert client.download_file(file_id) == b""
    assert client.download_to_buffer(file_id, bytearray(3)) == 0
    client.download_to_file(file_id, tmp_path / "empty")
    assert (tmp_path / "empty").read_bytes() == b""
    client.append_buffer(file_id, b"again")
    normal_id = client.regenerate_appender_file(file_id)
    assert not client.file_exists(file_id)
    parts = parse_file_id(normal_id)
    assert (parts.appender, parts.size, parts.crc32) == (False, 5, zlib.crc32(b"again"))
    assert client.download_file(normal_id) == b"again"
    client.delete_file(normal_id)


def test_an_appender_file_from_disk_and_from_a_stream(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "start.log"
    path.write_bytes(content(80_000))
    for file_id in (
        client.upload_appender_file(path, {"kind": "log"}),
        client.upload_stream(io.BytesIO(path.read_bytes()), "log", {"kind": "log"}, appender=True),
    ):
        assert parse_file_id(file_id).appender
        assert client.get_metadata(file_id) == {"kind": "log"}
        assert client.download_file(file_id) == path.read_bytes()
        client.delete_file(file_id)


def test_slave_files(client: Any, tmp_path: Path) -> None:
    master = client.upload_buffer(content(5000), "jpg")
    path = tmp_path / "small.png"
    path.write_bytes(content(100_000, 2))
    from_file = client.upload_slave_file(master, "_150x150", path, {"kind": "thumbnail"})
    assert from_file == master.removesuffix(".jpg") + "_150x150.png"
    assert parse_file_id(from_file).slave
    assert client.download_file(from_file) == path.read_bytes()
    assert client.get_metadata(from_file) == {"kind": "thumbnail"}
    short = client.upload_slave_buffer(master, "-s", b"slave without extension", "")
    assert client.download_file(short) == b"slave without extension"
    empty = client.upload_slave_buffer(master, "-empty", b"", "jpg")
    assert client.download_file(empty) == b""
    with pytest.raises(FileAlreadyExistsError):
        client.upload_slave_buffer(master, "-s", b"again", "")
    client.delete_file(master)
    assert client.download_file(from_file) == path.read_bytes()
    for slave in (from_file, short, empty):
        client.delete_file(slave)
        assert not client.file_exists(slave)


@pytest.mark.parametrize("size", [0, 3, 5000, 300_000])
@pytest.mark.parametrize("prefix", ["_999", "9999"])
def test_a_slave_whose_id_looks_like_a_normal_one(
    trackers: list[str], make_client: MakeClient, tmp_path: Path, prefix: str, size: int
) -> None:
    # Digits are what a normal name ends with, too: then only the server's word is against size and CRC-32 in the ID.
    client = make_client(trackers, verify=prefix == "_999")
    master = client.upload_buffer(content(1000), "jpg")
    if parse_file_id(master).trunk:
        pytest.skip("servers take such a name for that of a file inside a trunk file")
    data = content(size, 3)
    slave = client.upload_slave_buffer(master, prefix, data, "")
    assert len(slave) == len(master)
    assert not parse_file_id(slave).slave
    assert client.download_file(slave) == data
    client.download_to_file(slave, tmp_path / "slave")
    assert (tmp_path / "slave").read_bytes() == data
    buffer = bytearray(400_000)
    assert client.download_to_buffer(slave, buffer) == size
    assert b"".join(client.download_iter(slave, 1000)) == data
    if prefix == "9999":
        with pytest.raises(IntegrityError, match=f"has {size} bytes of .* where its ID says 1000"):
            make_client(trackers).download_file(slave)
    client.delete_file(slave)
    client.delete_file(master)


def test_progress(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(content(4_000_000))
    seen: list[tuple[int, int | None]] = []
    file_id = client.upload_file(path, progress=lambda state: seen.append((state.transferred, state.total)))
    assert seen[-1] == (4_000_000, 4_000_000)
    for download in (
        lambda progress: client.download_file(file_id, progress=progress),
        lambda progress: client.download_file_range(file_id, 0, 0, progress=progress),
        lambda progress: client.download_to_file(file_id, tmp_path / "copy", progress=progress),
        lambda progress: client.download_to_buffer(file_id, bytearray(4_000_000), progress=progress),
        lambda progress: client.download_to_stream(file_id, io.BytesIO(), progress=progress),
    ):
        progress = Progress()
        download(progress)
        assert progress.done
        assert (progress.transferred, progress.total) == (4_000_000, 4_000_000)
        assert progress.rate > 0
        assert progress.remaining == 0
    client.delete_file(file_id)


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_cluster(tmp_path: Path, variant: str, face: Any) -> None:
    from tests.fdfs.conftest import quick_config

    with (
        Node(tmp_path / "node", groups={"group1": 2, "group2": 1}, trackers=2, config=VARIANTS[variant]) as node,
        face(quick_config(node.tracker_addrs)) as client,
    ):
        for number, size in enumerate([0, 10, 5000, 2_000_000]):
            data = content(size, number)
            file_id = client.upload_buffer(data, "txt", {"n": str(number)})
            assert client.download_file(file_id) == data
            assert client.get_metadata(file_id) == {"n": str(number)}
            assert client.get_file_info(file_id).crc32 == zlib.crc32(data)
            slave = client.upload_slave_buffer(file_id, "_slave", data, "txt")
            assert client.download_file(slave) == data
            client.delete_file(slave)
            client.delete_file(file_id)
            assert not client.file_exists(file_id)
        appender = client.upload_appender_buffer(b"123", "log")
        client.append_buffer(appender, b"456")
        client.modify_buffer(appender, 1, b"x")
        assert client.download_file(appender) == b"1x3456"
        client.delete_file(appender)


def test_ipv6(tmp_path: Path, make_client: MakeClient) -> None:
    try:
        node = Node(tmp_path, host="::1", config=NodeConfig(use_storage_id=True))
        node.start()
    except OSError as reason:
        pytest.skip(f"no IPv6 here: {reason}")
    with node:
        assert node.tracker_addrs[0].startswith("[::1]:")
        client = make_client(node.tracker_addrs)
        file_id = client.upload_buffer(b"six", "txt")
        assert client.download_file(file_id) == b"six"
        assert client.get_file_info(file_id).source_ip_addr == "::1"
        client.delete_file(file_id)


def test_without_verification_and_by_way_of_the_tracker(shared_node: Node, make_client: MakeClient) -> None:
    client = make_client(shared_node.tracker_addrs, verify=False, reads="tracker", upload_target_age=0)
    file_id = client.upload_buffer(content(100_000), "bin")
    assert client.download_file(file_id) == content(100_000)
    slave = client.upload_slave_buffer(file_id, "_s", b"1", "bin")
    client.delete_file(slave)
    client.delete_file(file_id)
    assert not client.file_exists(file_id)


def test_the_cluster_tells_of_itself(shared_node: Node, make_client: MakeClient) -> None:
    client = make_client(shared_node.tracker_addrs)
    groups = {group.group_name: group for group in client.list_groups()}
    assert set(groups) == {"group1", "group2"}
    assert groups["group1"].storage_count == 2
    assert client.get_group("group2").group_name == "group2"
    storages = client.list_storages("group1")
    assert [storage.ip_addr for storage in storages] == [s.host for s in shared_node.storages if s.group == "group1"]
    assert {storage.status for storage in storages} == {StorageStatus.ACTIVE}
    (one,) = client.list_storages("group1", storages[1].id)
    assert one.id == storages[1].id
    assert client.get_leader() in shared_node.tracker_addrs
    address = shared_node.storages[0].address
    assert client.get_storage_status("group1", address).status == StorageStatus.ACTIVE
    assert client.get_storage_id("group1", address) == shared_node.storages[0].host
    assert client.list_storage_ids() == []
    assert client.get_parameters()["use_storage_id"] == "0"
    assert client.get_tracker_status().running_time >= 0
    trackers = client.tracker_cluster_stat()
    assert sorted(tracker.host for tracker in trackers) == sorted(shared_node.tracker_addrs)
    assert [tracker.host for tracker in client.tracker_cluster_stat(leader=True)] == [client.get_leader()]
    assert len(client.storage_cluster_stat()) == 3
    assert client.storage_cluster_stat(status=StorageStatus.ACTIVE, status_is_not=True) == []
    assert {volume.group_name for volume in client.storage_volume_stat()} == {"group1", "group2"}
    assert client.get_my_ip("group1", 23000) == "127.0.0.1"
    client.active_test()
    client.active_test(address)
    assert client.query_upload_server("group2").ip_addr == shared_node.storages[2].host
    file_id = client.upload_buffer(b"x", "txt", group="group1")
    source = parse_file_id(file_id).source_ip
    assert client.query_update_server(file_id).ip_addr == source
    assert source in [server.ip_addr for server in client.query_download_servers(file_id)]
    assert len(client.query_download_servers(file_id, every=False)) == 1
    client.delete_file(file_id)


def test_storage_ids_are_listed(tmp_path: Path, make_client: MakeClient) -> None:
    with Node(tmp_path, groups={"group1": 2}, config=NodeConfig(use_storage_id=True)) as node:
        client = make_client(node.tracker_addrs)
        ids = client.list_storage_ids()
        assert [entry.id for entry in ids] == [storage.id for storage in node.storages]
        assert {entry.group_name for entry in ids} == {"group1"}
        assert client.get_group_name(node.storages[0].address) == "group1"


def test_a_link(shared_node: Node, make_client: MakeClient) -> None:
    client = make_client(shared_node.tracker_addrs, verify=False)
    source = client.upload_buffer(b"shared content", "txt")
    link = client.create_link(source, b"0123456789abcdef", "txt")
    assert link != source
    assert client.download_file(link) == b"shared content"
    client.delete_file(link)
    assert client.download_file(source) == b"shared content"
    client.delete_file(source)


@pytest.mark.parametrize("segments", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [0, 1_000_000, 5_000_001])
def test_one_file_over_several_connections(client: Any, tmp_path: Path, size: int, segments: int) -> None:
    source, target = tmp_path / "source.bin", tmp_path / "target"
    source.write_bytes(content(size))
    progress = Progress()
    file_id = client.upload_segmented(source, {"a": "b"}, segments=segments, progress=progress)
    assert progress.transferred == size
    parts = parse_file_id(file_id)
    assert (parts.appender, parts.size, parts.crc32) == (False, size, zlib.crc32(content(size)))
    assert client.get_metadata(file_id) == {"a": "b"}
    progress = Progress()
    client.download_segmented(file_id, target, segments=segments, progress=progress)
    assert progress.transferred == size
    assert target.read_bytes() == content(size)
    client.delete_file(file_id)
    appender = client.upload_segmented(source, segments=segments, regenerate=False)
    assert parse_file_id(appender).appender
    client.append_buffer(appender, b"more")
    client.download_segmented(appender, target, segments=segments)
    assert target.read_bytes() == content(size) + b"more"
    client.delete_file(appender)


def test_a_rate_limit(shared_node: Node, make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(shared_node.tracker_addrs, rate_limit=2_000_000)
    path = tmp_path / "source"
    path.write_bytes(content(600_000))
    began = time.monotonic()
    file_id = client.upload_file(path)
    ids = [client.upload_buffer(content(50_000), "bin") for _ in range(8)]
    assert client.download_file(file_id) == content(600_000)
    assert time.monotonic() - began > 0.3
    for each in (file_id, *ids):
        client.delete_file(each)
