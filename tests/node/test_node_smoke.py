"""A node starts, takes files, gives them back, and has them still after a restart."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fastxfer.core.wire import decode_file_id, file_request, set_metadata_request
from fastxfer.fdfs.node import Node, NodeConfig, StorageSpec
from tests.node.raw import EINVAL, ENOENT, OK, Raw, upload_target

CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_files_and_metadata_are_there_after_a_restart(tmp_path: Path) -> None:
    with Node(tmp_path) as node, Raw(upload_target(node)) as storage:
        file_id = storage.upload(CONTENT, "bin")
        assert storage.ask(set_metadata_request(file_id, "O", b"b\x022\x01a\x021")) == (OK, b"")
        assert node.storages[0].path_of(file_id).read_bytes() == CONTENT
    with Node(tmp_path) as node, Raw(upload_target(node)) as storage:
        assert storage.download(file_id) == CONTENT
        assert storage.ask(file_request(15, file_id)) == (OK, b"a\x021\x01b\x022")


def test_files_are_where_fastdfs_has_them(tmp_path: Path) -> None:
    with Node(tmp_path, store_paths=2) as node, Raw(upload_target(node)) as storage:
        file_id = storage.upload(b"x", index=1)
        group, path, high, low, name = file_id.split("/")
        assert (group, path) == ("group1", "M01")
        assert node.storages[0].path_of(file_id) == tmp_path / "group1/storage1/path1/data" / high / low / name


def test_a_stopped_node_can_be_started_again_on_its_ports(node: Node) -> None:
    with node:
        addresses = node.tracker_addrs
    with node:
        assert node.tracker_addrs == addresses


def test_starting_and_stopping_twice_is_harmless(node: Node) -> None:
    node.start()
    node.start()
    assert node.running
    node.stop()
    node.stop()
    assert not node.running


def test_a_stopped_node_leaves_no_thread(node: Node) -> None:
    with node:
        assert any(thread.name.startswith("fastxfer-node") for thread in threading.enumerate())
    assert not any(thread.name.startswith("fastxfer-node") for thread in threading.enumerate())


def test_one_directory_serves_one_node(tmp_path: Path) -> None:
    with Node(tmp_path), pytest.raises(BlockingIOError, match="another node uses this directory"):
        Node(tmp_path).start()


def test_a_taken_port_is_told_and_leaves_nothing_running(tmp_path: Path) -> None:
    with Node(tmp_path / "a") as first:
        port = int(first.tracker_addrs[0].rpartition(":")[2])
        second = Node(tmp_path / "b", tracker_port=port)
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port}"):
            second.start()
        assert not second.running
    with second:
        assert second.tracker_addrs == [f"127.0.0.1:{port}"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"store_paths": 2}, "store_paths 1"),
        ({"config": NodeConfig(use_storage_id=True)}, "source 127.0.0.1"),
        ({"config": NodeConfig(subdir_count=4)}, "subdir_count 256"),
    ],
)
def test_a_directory_is_not_opened_as_what_it_is_not(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with Node(tmp_path):
        pass
    with pytest.raises(ValueError, match=message):
        Node(tmp_path, **change).start()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": {"group1": 0}}, "at least one storage"),
        ({"groups": {"no spaces": 1}}, "letters and digits"),
        ({"groups": {"x" * 17: 1}}, "1 to 16"),
        ({"trackers": 0}, "at least one tracker"),
        ({"storages": []}, "at least one storage"),
        ({"store_paths": 257}, "1 to 256 store paths"),
        ({"host": "::1"}, "need use_storage_id"),
        ({"storages": [StorageSpec("g"), StorageSpec("g")]}, "cannot both be"),
    ],
)
def test_bad_arguments_are_refused_at_once(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Node(tmp_path, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        {"subdir_count": 0},
        {"buffer_size": 100},
        {"workers": 0},
        {"replication_delay": -1.0},
        {"slot_max_size": 100, "trunk_file_size": 100},
    ],
)
def test_bad_settings_are_refused_at_once(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"."):
        NodeConfig(**settings)  # type: ignore[arg-type]


def test_storage_ids_stand_in_names(tmp_path: Path) -> None:
    config = NodeConfig(use_storage_id=True)
    with Node(tmp_path, groups={"group1": 2}, config=config) as node, Raw(node.storages[1].address) as storage:
        file_id = storage.upload(b"x")
        assert decode_file_id(file_id).storage_id == int(node.storages[1].id)
        assert storage.download(file_id) == b"x"


def test_several_store_paths_are_used_in_turn(tmp_path: Path) -> None:
    with Node(tmp_path, store_paths=3) as node, Raw(node.storages[0].address) as storage:
        paths = {decode_file_id(storage.upload(b"x", index=255)).store_path_index for _ in range(6)}
    assert paths == {0, 1, 2}


def test_the_next_directory_is_taken_after_a_hundred_files(tmp_path: Path) -> None:
    config = NodeConfig(subdir_count=2)
    with Node(tmp_path, config=config) as node, Raw(node.storages[0].address) as storage:
        places = [decode_file_id(storage.upload(b"x")).subdirs for _ in range(401)]
    assert [places[0], places[100], places[200], places[300], places[400]] == [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0)]


def test_the_groups_are_used_in_turn(tmp_path: Path) -> None:
    with Node(tmp_path, groups={"red": 1, "blue": 1}) as node:
        assert {upload_target(node) for _ in range(4)} == {storage.address for storage in node.storages}
        assert upload_target(node, "red") == node.storage("red/storage1").address


def test_a_file_of_another_group_is_refused(tmp_path: Path) -> None:
    with Node(tmp_path, groups={"red": 1, "blue": 1}) as node:
        with Raw(node.storage("red/storage1").address) as storage:
            file_id = storage.upload(b"x")
        with Raw(node.storage("blue/storage1").address) as storage:
            assert storage.status_of(file_id) == EINVAL
            assert storage.closed()


def test_deleted_files_take_their_metadata_along(tmp_path: Path) -> None:
    with Node(tmp_path) as node, Raw(upload_target(node)) as storage:
        file_id = storage.upload(b"x")
        storage.ask(set_metadata_request(file_id, "O", b"a\x021"))
        assert storage.ask(file_request(12, file_id)) == (OK, b"")
        assert storage.status_of(file_id) == ENOENT
        assert [path for path in tmp_path.rglob("*") if path.is_file() and "data" in path.parts] == []
