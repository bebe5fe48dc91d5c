"""Servers that are stopped, killed and restarted; failures on demand; replication between the storages of a group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastxfer.core.wire import (
    append_request,
    download_request,
    file_request,
    group_request,
    set_metadata_request,
    truncate_request,
    unpack_fetch_target,
    unpack_fetch_targets,
    unpack_file_id,
    upload_request,
    upload_slave_request,
)
from fastxfer.fdfs import Client, ClientConfig
from fastxfer.fdfs.node import Fault, Node, NodeConfig, StorageServer
from tests.node.raw import EINVAL, ENOENT, OK, Raw, empty

MIB = 1 << 20


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Node]:
    """Two storages in one group, two trackers."""
    with Node(tmp_path, groups={"group1": 2}, trackers=2, config=NodeConfig(use_storage_id=True)) as node:
        yield node


def fetch_all(node: Node, file_id: str) -> set[int]:
    """Ports of the storages that the tracker gives for a file."""
    with Raw(node.tracker_addrs[0]) as tracker:
        status, body = tracker.ask(file_request(105, file_id))
        assert status == OK, status
        return {port for _, port in unpack_fetch_targets(body)[1]}


def fetch_one(node: Node, file_id: str, command: int = 102) -> int:
    with Raw(node.tracker_addrs[0]) as tracker:
        status, body = tracker.ask(file_request(command, file_id))
        assert status == OK, status
        return unpack_fetch_target(body)[2]


# Stopping and killing


def test_a_killed_storage_resets_its_connections_and_is_not_offered(pair: Node) -> None:
    first, second = pair.storages
    with Raw(first.address) as storage:
        file_id = storage.upload(b"x")
        first.kill()
        assert storage.closed()
    with pytest.raises(ConnectionRefusedError):
        Raw(first.address)
    assert fetch_all(pair, file_id) == {second.port}
    with Raw(pair.tracker_addrs[1]) as tracker:
        assert len(tracker.ask(group_request(107, "group1"))[1]) == 16 + 23 + 1


def test_a_killed_storage_that_no_tracker_has_noticed_is_still_offered(pair: Node) -> None:
    first = pair.storages[0]
    with Raw(first.address) as storage:
        file_id = storage.upload(b"x")
    first.kill(noticed=False)
    assert first.port in fetch_all(pair, file_id)


def test_a_restarted_storage_is_back_on_its_port_with_its_files(pair: Node) -> None:
    first = pair.storages[0]
    with Raw(first.address) as storage:
        file_id = storage.upload(b"x")
    port = first.port
    first.kill()
    first.start()
    assert first.port == port
    with Raw(first.address) as storage:
        assert storage.download(file_id) == b"x"


def test_a_storage_restarts_while_clients_are_connected(pair: Node) -> None:
    first = pair.storages[0]
    with Raw(first.address) as storage:
        file_id = storage.upload(b"x")
        first.restart()
        assert storage.closed()
    with Raw(first.address) as storage:
        assert storage.download(file_id) == b"x"


def test_a_storage_killed_in_the_middle_of_a_body_keeps_nothing_of_it(pair: Node) -> None:
    first = pair.storages[0]
    with Raw(first.address) as storage:
        storage.send(upload_request(11, 0, 10 * MIB, "bin") + bytes(MIB))
        while not list(pair.directory.rglob("tmp/*")):
            pass
        first.kill()
    assert list(pair.directory.rglob("tmp/*")) == []
    first.start()
    with Raw(first.address) as storage:
        assert storage.alive()


def test_without_any_storage_a_tracker_knows_no_target(pair: Node) -> None:
    for storage in pair.storages:
        storage.stop()
    with Raw(pair.tracker_addrs[0]) as tracker:
        assert tracker.ask(empty(101)) == (ENOENT, b"")
        assert tracker.ask(group_request(104, "group1")) == (ENOENT, b"")


def test_a_stopped_tracker_leaves_the_other_and_the_lead(pair: Node) -> None:
    first, second = pair.trackers
    with Raw(first.address) as tracker:
        assert tracker.ask(empty(95)) == (OK, second.address.encode())
    second.kill()
    with Raw(first.address) as tracker:
        assert tracker.ask(empty(95)) == (OK, first.address.encode())
        assert tracker.ask(empty(64))[1][0] == 1
    second.start()
    assert second.running
    with Raw(second.address) as tracker:
        assert tracker.ask(empty(101))[0] == OK


# Replication


def contents(storage: StorageServer, file_id: str) -> bytes | None:
    with Raw(storage.address) as connection:
        status, body = connection.ask(download_request(file_id))
        return body if status == OK else None


def test_what_is_uploaded_is_on_the_other_storage_at_once(pair: Node) -> None:
    first, second = pair.storages
    with Raw(first.address) as storage:
        small, large = storage.upload(b"small"), storage.upload(bytes(2 * MIB))
        storage.ask(set_metadata_request(small, "O", b"a\x021"))
        status, body = storage.ask(upload_slave_request(small, 5, "_s", "txt") + b"slave")
        assert status == OK
        slave = unpack_file_id(body)
    assert [contents(second, file_id) for file_id in (small, large, slave)] == [b"small", bytes(2 * MIB), b"slave"]
    with Raw(second.address) as storage:
        assert storage.ask(file_request(15, small)) == (OK, b"a\x021")
    assert fetch_all(pair, small) == {first.port, second.port}


def test_changes_reach_the_other_storage(pair: Node) -> None:
    first, second = pair.storages
    with Raw(first.address) as storage:
        appender = storage.upload(b"abc", "log", command=23)
        storage.ask(append_request(appender, 3) + b"def")
        assert contents(second, appender) == b"abcdef"
        storage.ask(truncate_request(appender, 2))
        assert contents(second, appender) == b"ab"
        filename = appender.partition("/")[2].encode()
        status, body = storage.ask(len(filename).to_bytes(8, "big") + bytes([38, 0]) + filename)
        assert status == OK
        assert contents(second, unpack_file_id(body)) == b"ab"
        assert contents(second, appender) is None
        storage.ask(file_request(12, unpack_file_id(body)))
        assert contents(second, unpack_file_id(body)) is None


def test_the_counters_tell_what_was_done(pair: Node) -> None:
    first, second = pair.storages
    with Raw(first.address) as storage:
        file_id = storage.upload(bytes(1000))
        storage.download(file_id)
        storage.download(file_id)
        assert storage.ask(download_request(file_id, 5000))[0] == EINVAL
    with Client(ClientConfig(tracker_addrs=pair.tracker_addrs)) as client:
        mine, other = (client.list_storages("group1", server.id)[0].counters for server in (first, second))
    assert (mine.success_upload_count, mine.success_upload_bytes) == (1, 1000)
    assert (mine.total_download_count, mine.success_download_count, mine.success_download_bytes) == (3, 2, 2000)
    assert (mine.success_file_write_count, mine.success_file_read_count) == (1, 2)
    assert (mine.success_sync_out_bytes, other.success_sync_in_bytes) == (1000, 1000)
    assert mine.connection_max_count >= 1
    assert mine.last_source_update <= other.last_sync_update


def test_large_files_inside_the_slot_limit_go_into_trunk_files(tmp_path: Path) -> None:
    with Node(tmp_path, config=NodeConfig(use_trunk_file=True)) as node, Raw(node.storages[0].address) as storage:
        content = bytes(range(256)) * 3000
        file_id = storage.upload(content)
        assert len(file_id.partition("/")[2]) == 60
        assert storage.download(file_id) == content


def test_an_appender_is_only_fetched_from_its_source(pair: Node) -> None:
    first, second = pair.storages
    with Raw(second.address) as storage:
        appender = storage.upload(b"abc", "log", command=23)
    assert fetch_all(pair, appender) == {second.port}
    assert {fetch_one(pair, appender, 103) for _ in range(4)} == {second.port}
    second.kill()
    assert fetch_all(pair, appender) == {first.port}


def test_a_storage_that_was_down_catches_up_before_it_is_offered(pair: Node) -> None:
    first, second = pair.storages
    second.kill()
    with Raw(first.address) as storage:
        file_id = storage.upload(b"x")
        gone = storage.upload(b"y")
        storage.ask(file_request(12, gone))
    assert second.waiting_changes == 3
    pair.pause_replication()
    second.start()
    assert fetch_all(pair, file_id) == {first.port}
    assert contents(second, file_id) is None
    pair.resume_replication()
    pair.wait_replicated()
    assert contents(second, file_id) == b"x"
    assert contents(second, gone) is None
    assert fetch_all(pair, file_id) == {first.port, second.port}


def test_changes_that_wait_survive_a_restart_of_the_node(tmp_path: Path) -> None:
    config = NodeConfig(use_storage_id=True)
    with Node(tmp_path, groups={"group1": 2}, config=config) as node:
        node.storages[1].kill()
        with Raw(node.storages[0].address) as storage:
            file_id = storage.upload(b"x")
    with Node(tmp_path, groups={"group1": 2}, config=config) as node:
        node.wait_replicated()
        assert contents(node.storages[1], file_id) == b"x"
        assert node.storages[1].waiting_changes == 0
    with Node(tmp_path, groups={"group1": 2}, config=config) as node:
        assert node.storages[1].waiting_changes == 0


def test_delayed_replication(tmp_path: Path) -> None:
    config = NodeConfig(use_storage_id=True, replication_delay=0.2)
    with Node(tmp_path, groups={"group1": 2}, config=config) as node:
        with Raw(node.storages[0].address) as storage:
            file_id = storage.upload(b"x")
        assert node.storages[1].waiting_changes == 1
        node.wait_replicated()
        assert contents(node.storages[1], file_id) == b"x"


# Failures on demand


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node(tmp_path) as node:
        yield node


@pytest.fixture
def storage(node: Node) -> Iterator[Raw]:
    with Raw(node.storages[0].address) as connection:
        yield connection


def test_a_status_of_choice_happens_as_often_as_wanted(node: Node, storage: Raw) -> None:
    fault = node.inject(Fault(command=111, status=28, times=2, skip=1))
    assert [storage.ask(empty(111))[0] for _ in range(5)] == [0, 28, 28, 0, 0]
    assert fault.hits == 2


def test_a_fault_for_one_server_leaves_the_others_alone(node: Node, storage: Raw) -> None:
    node.inject(Fault(server="tracker", status=5, times=None))
    assert storage.alive()
    with Raw(node.tracker_addrs[0]) as tracker:
        assert tracker.ask(empty(111)) == (5, b"")
        node.faults.clear()
        assert tracker.alive()


@pytest.mark.parametrize("size", [10, 200_000])
def test_a_reply_that_is_cut(node: Node, storage: Raw, size: int) -> None:
    file_id = storage.upload(bytes(size))
    node.inject(Fault(command=14, cut=15))
    storage.send(download_request(file_id))
    assert storage.receive(15)[:8] == size.to_bytes(8, "big")
    assert storage.closed()


def test_an_upload_whose_reply_is_lost_was_carried_out(node: Node, storage: Raw) -> None:
    node.inject(Fault(command=11, cut=0))
    storage.send(upload_request(11, 0, 3, "txt") + b"abc")
    assert storage.closed()
    assert [path.read_bytes() for path in node.directory.rglob("data/*/*/*")] == [b"abc"]


@pytest.mark.parametrize("size", [3, 3_000_000])
def test_an_upload_that_is_answered_otherwise_was_carried_out(node: Node, storage: Raw, size: int) -> None:
    node.inject(Fault(command=11, answer=bytes(7) + b"\5d\0other"))
    assert storage.ask(upload_request(11, 0, size, "txt") + bytes(size)) == (0, b"other")
    assert [path.read_bytes() for path in node.directory.rglob("data/*/*/*")] == [bytes(size)]


def test_a_corrupted_download(node: Node, storage: Raw) -> None:
    file_id = storage.upload(b"abc")
    node.inject(Fault(command=14, corrupt=1))
    assert storage.download(file_id) == b"a\x9dc"
    assert storage.download(file_id) == b"abc"


def test_a_connection_closed_instead_of_an_answer(node: Node, storage: Raw) -> None:
    node.inject(Fault(command=111, close=True))
    storage.send(empty(111))
    assert storage.closed()


def test_an_answer_that_never_comes(node: Node, storage: Raw) -> None:
    fault = node.inject(Fault(command=111, stall=True))
    storage.send(empty(111))
    with Raw(node.storages[0].address) as other:
        while not fault.hits:
            pass
        assert other.alive()
    assert not storage.closed_already()


def test_an_answer_that_comes_late(node: Node, storage: Raw) -> None:
    node.inject(Fault(command=111, delay=0.2))
    begun = time.monotonic()
    assert storage.alive()
    assert time.monotonic() - begun >= 0.2


def test_an_answer_that_is_nonsense(node: Node, storage: Raw) -> None:
    node.inject(Fault(command=111, reply=b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    storage.send(empty(111))
    assert storage.receive(8) == b"HTTP/1.1"


def test_an_early_status_in_a_large_body(node: Node, storage: Raw) -> None:
    node.inject(Fault(command=11, status=28))
    head = upload_request(11, 0, MIB, "bin")
    storage.send(head + bytes(256 * 1024 - len(head)))
    assert storage.reply() == (28, b"")


def test_a_removed_fault_does_not_happen(node: Node, storage: Raw) -> None:
    fault = node.inject(Fault(command=111, status=5))
    node.faults.remove(fault)
    assert storage.alive()


def test_a_fault_happens_at_least_once() -> None:
    with pytest.raises(ValueError, match="times"):
        Fault(times=0)


# Trunk files


def trunk_files(storage: StorageServer) -> list[Path]:
    return sorted(path for path in Path(storage.path_of("group1/M00/00/00/x")).parent.glob("0*") if path.is_file())


def test_small_files_share_a_trunk_file_and_free_slots_are_used_again(tmp_path: Path) -> None:
    config = NodeConfig(use_trunk_file=True, trunk_file_size=64 * 1024, slot_max_size=16 * 1024)
    with Node(tmp_path, config=config) as node, Raw(node.storages[0].address) as storage:
        files = {storage.upload(bytes([number]) * 1000): bytes([number]) * 1000 for number in range(40)}
        assert all(storage.download(file_id) == content for file_id, content in files.items())
        assert [path.name for path in trunk_files(node.storages[0])] == ["000001"]
        gone = list(files)[::2]
        for file_id in gone:
            assert storage.ask(file_request(12, file_id)) == (OK, b"")
            del files[file_id]
        assert {storage.status_of(file_id) for file_id in gone} == {ENOENT}
        files |= {storage.upload(b"n" * 1000): b"n" * 1000 for _ in range(20)}
        assert [path.name for path in trunk_files(node.storages[0])] == ["000001"]
        middling = storage.upload(bytes(16_000))
        assert len(middling.partition("/")[2]) == 60
        large = storage.upload(bytes(20_000))
        assert len(large.partition("/")[2]) == 44
    with Node(tmp_path, config=config) as node, Raw(node.storages[0].address) as storage:
        files |= {storage.upload(b"r" * 1000): b"r" * 1000 for _ in range(20)}
        assert all(storage.download(file_id) == content for file_id, content in files.items())


def test_trunk_files_are_replicated(tmp_path: Path) -> None:
    config = NodeConfig(use_trunk_file=True, use_storage_id=True)
    with Node(tmp_path, groups={"group1": 2}, config=config) as node:
        first, second = node.storages
        with Raw(first.address) as storage:
            kept, gone = storage.upload(b"kept"), storage.upload(b"gone")
            with Raw(second.address) as other:
                assert other.download(kept) == b"kept"
                storage.ask(file_request(12, gone))
                assert other.status_of(gone) == ENOENT
                assert other.download(kept) == b"kept"
                mine = other.upload(b"mine")
            assert storage.download(mine) == b"mine"


# Links


def test_a_slave_that_is_a_link_goes_with_its_target(tmp_path: Path) -> None:
    config = NodeConfig(store_slave_file_use_link=True)
    with Node(tmp_path, config=config) as node, Raw(node.storages[0].address) as storage:
        master = storage.upload(b"master")
        status, body = storage.ask(upload_slave_request(master, 5, "_s", "txt") + b"slave")
        assert status == OK
        slave = unpack_file_id(body)
        assert node.storages[0].path_of(slave).is_symlink()
        assert storage.download(slave) == b"slave"
        assert storage.ask(file_request(12, slave)) == (OK, b"")
        assert list(tmp_path.rglob("data/*/*/*")) == [node.storages[0].path_of(master)]


def link_request(file_id: str) -> bytes:
    name = file_id.partition("/")[2].encode()
    signature = b"signature"
    body = b"".join(number.to_bytes(8, "big") for number in (0, len(name), len(signature)))
    body += b"group1".ljust(16, b"\0") + bytes(16) + b"txt\0\0\0" + name + signature
    return len(body).to_bytes(8, "big") + bytes([20, 0]) + body


@pytest.mark.parametrize("trunk", [False, True])
def test_a_link_reads_as_its_file(tmp_path: Path, trunk: bool) -> None:
    with Node(tmp_path, config=NodeConfig(use_trunk_file=trunk)) as node, Raw(node.storages[0].address) as storage:
        file_id = storage.upload(b"content")
        status, body = storage.ask(link_request(file_id))
        assert status == OK
        link = unpack_file_id(body)
        assert storage.download(link) == b"content"
        assert storage.ask(file_request(12, link)) == (OK, b"")
        assert storage.download(file_id) == b"content"
        assert storage.ask(file_request(12, file_id)) == (OK, b"")
        assert storage.ask(link_request(file_id))[0] == ENOENT


@pytest.mark.parametrize(
    "spoil",
    [
        lambda request: request[:10] + (1).to_bytes(8, "big") + request[18:],
        lambda request: request.replace(b"group1", b"group2"),
        lambda request: request.replace(b"txt\0", b"t/t\0"),
    ],
)
def test_a_malformed_link_is_refused(storage: Raw, spoil: Callable[[bytes], bytes]) -> None:
    file_id = storage.upload(b"content")
    assert storage.ask(spoil(link_request(file_id))) == (EINVAL, b"")
