"""Requests that are malformed, cut short, too large, too slow or too many at once."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastxfer.core.wire import (
    append_request,
    decode_file_id,
    download_request,
    file_request,
    modify_request,
    set_metadata_request,
    truncate_request,
    unpack_file_id,
    upload_request,
    upload_slave_request,
)
from fastxfer.fdfs.node import Node, NodeConfig
from tests.node.raw import EEXIST, EINVAL, ENOENT, ENOSPC, OK, Raw, empty

MIB = 1 << 20


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    config = NodeConfig(network_timeout=1.0)
    with Node(tmp_path_factory.mktemp("node"), config=config) as node:
        yield node


@pytest.fixture
def storage(node: Node) -> Iterator[Raw]:
    with Raw(node.storages[0].address) as connection:
        yield connection


@pytest.fixture
def tracker(node: Node) -> Iterator[Raw]:
    with Raw(node.tracker_addrs[0]) as connection:
        yield connection


def temporary_files(node: Node) -> list[Path]:
    return [path for path in node.directory.rglob("tmp/*") if path.is_file()]


def wait_until_no_temporary_file(node: Node) -> None:
    """The server notices a vanished client a moment later."""
    with Raw(node.storages[0].address) as storage:
        for _ in range(1000):
            if not temporary_files(node):
                return
            storage.alive()
    raise AssertionError(temporary_files(node))


@pytest.mark.parametrize("length", [-1, -(2**31)])
def test_a_negative_length_closes_without_a_reply(storage: Raw, tracker: Raw, length: int) -> None:
    for connection in (storage, tracker):
        connection.send(struct.pack(">qBB", length, 111, 0))
        assert connection.closed()


def test_the_tracker_looks_at_32_bits_of_the_length(tracker: Raw) -> None:
    assert tracker.ask(struct.pack(">qBB", 2**40, 111, 0)) == (OK, b"")


def test_a_tracker_refuses_a_body_over_its_buffer_and_closes(tracker: Raw) -> None:
    tracker.send(struct.pack(">qBB", 2**30, 104, 0) + b"x" * 20000)
    assert tracker.reply() == (EINVAL, b"")
    assert tracker.closed()


def test_a_request_may_come_byte_by_byte(storage: Raw) -> None:
    for byte in upload_request(11, 0, 3, "txt") + b"abc":
        storage.send(bytes([byte]))
    status, body = storage.reply()
    assert status == OK
    assert storage.download(unpack_file_id(body)) == b"abc"


def test_a_client_that_stalls_inside_a_request_is_dropped(storage: Raw) -> None:
    storage.send(upload_request(11, 0, 100, "txt") + b"abc")
    assert storage.closed()


def test_a_client_that_stalls_inside_a_large_body_is_dropped(node: Node, storage: Raw) -> None:
    storage.send(upload_request(11, 0, 10 * MIB, "txt") + b"x" * MIB)
    assert storage.closed()
    assert temporary_files(node) == []


def test_a_client_that_never_asks_is_dropped(storage: Raw) -> None:
    assert storage.closed()


def test_an_idle_connection_that_has_asked_once_is_kept(node: Node, storage: Raw) -> None:
    assert storage.alive()
    with Raw(node.storages[0].address) as other:
        assert other.closed()
    assert storage.alive()


def test_a_client_that_vanishes_inside_a_body_leaves_nothing(node: Node) -> None:
    before = node_files(node)
    with Raw(node.storages[0].address) as storage:
        storage.send(upload_request(11, 0, 10 * MIB, "txt") + b"x" * MIB)
        while not temporary_files(node):
            pass
    wait_until_no_temporary_file(node)
    assert node_files(node) == before


def node_files(node: Node) -> set[Path]:
    return set(node.directory.rglob("data/*/*/*"))


def test_a_client_that_does_not_read_its_download_is_dropped(node: Node) -> None:
    with Raw(node.storages[0].address) as storage:
        file_id = storage.upload(bytes(32 * MIB))
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(30)
        sock.connect((node.storages[0].host, node.storages[0].port))
        sock.sendall(download_request(file_id))
        sock.recv(10)
        for _ in range(2):
            # A silent connection opened now is dropped later than the one that stalls.
            with Raw(node.storages[0].address) as other:
                assert other.closed()
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while received < 32 * MIB and (part := sock.recv(MIB)):
                received += len(part)
    assert received < 32 * MIB


@pytest.mark.parametrize(
    "filename",
    [
        b"",
        b"M00",
        b"M00/00/00/",
        b"M00/00/00/..",
        b"M00/00/00/.",
        b"M00/00/00/a/b",
        b"M00/00/00/../../../../etc/passwd",
        b"M00/0a/00/lowerhexdirectory",
        b"M00/GG/00/x",
        b"M01/00/00/x",
        b"m00/00/00/x",
        b"/M00/00/00/x",
        b"M00/00/00/nul\0byte",
        b"M00/00/00/caf\xc3\xa9",
        b"M00/00/00/sp ace",
        b"M00/00/00/" + b"a" * 118,
        b"M00/00/00/x\n",
    ],
)
@pytest.mark.parametrize("command", [12, 15, 22])
def test_a_malformed_file_name_is_refused_and_closes(storage: Raw, command: int, filename: bytes) -> None:
    body = b"group1".ljust(16, b"\0") + filename
    assert storage.ask(struct.pack(">qBB", len(body), command, 0) + body) == (EINVAL, b"")
    assert storage.closed()


@pytest.mark.parametrize("command", range(256))
def test_a_request_without_a_body_never_breaks_a_server(node: Node, command: int) -> None:
    for address in (node.storages[0].address, node.tracker_addrs[0]):
        with Raw(address) as connection:
            connection.send(empty(command))
            if command == 82:
                assert connection.closed()
            else:
                connection.reply()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(command=st.integers(0, 255), body=st.binary(max_size=200), flags=st.integers(0, 255))
def test_no_request_makes_a_server_fall_over(node: Node, command: int, body: bytes, flags: int) -> None:
    for address in (node.storages[0].address, node.tracker_addrs[0]):
        with Raw(address) as connection:
            connection.send(struct.pack(">qBB", len(body), command, flags) + body)
            if command != 82:
                status, _ = connection.reply()
                assert status != 5
        with Raw(address) as connection:
            assert connection.alive()


def test_lengths_that_do_not_go_together_are_refused(node: Node) -> None:
    with Raw(node.storages[0].address) as storage:
        appender = storage.upload(b"abc", "log", command=23)
    for request in (
        upload_request(11, 0, 10, "txt") + b"",
        append_request(appender, 5)[:10] + struct.pack(">qq", 10**6, 5) + b"x" * 60,
        append_request(appender, 5)[:10] + struct.pack(">qq", -1, 5) + b"x" * 60,
        modify_request(appender, 0, 5)[:10] + struct.pack(">qqq", 44, 0, -5) + b"x" * 50,
        truncate_request(appender, 5)[:10] + struct.pack(">qq", 7, 5) + b"x" * 44,
    ):
        body = request[10:]
        with Raw(node.storages[0].address) as storage:
            assert storage.ask(struct.pack(">qBB", len(body), request[8], 0) + body) == (EINVAL, b""), request
            assert storage.closed()


def test_a_slave_is_not_made_over_its_masters_metadata(storage: Raw) -> None:
    master = storage.upload(b"abc", "")
    assert storage.ask(upload_slave_request(master, 1, "-m", "") + b"x") == (EINVAL, b"")


def test_a_slave_twice_is_refused_and_the_first_kept(storage: Raw) -> None:
    master = storage.upload(b"abc")
    slave = unpack_file_id(storage.ask(upload_slave_request(master, 5, "_s", "txt") + b"first")[1])
    assert storage.ask(upload_slave_request(master, 6, "_s", "txt") + b"second") == (EEXIST, b"")
    assert storage.download(slave) == b"first"


def test_an_append_that_is_cut_off_changes_nothing(node: Node) -> None:
    with Raw(node.storages[0].address) as storage:
        appender = storage.upload(b"whole", "log", command=23)
    with Raw(node.storages[0].address) as storage:
        storage.send(append_request(appender, 4 * MIB) + b"x" * MIB)
    wait_until_no_temporary_file(node)
    with Raw(node.storages[0].address) as storage:
        assert storage.download(appender) == b"whole"


def test_a_large_append_and_modify_arrive_whole(storage: Raw) -> None:
    appender = storage.upload(b"abc", "log", command=23)
    more = bytes(range(256)) * 8192
    assert storage.ask(append_request(appender, len(more)) + more) == (OK, b"")
    assert storage.ask(modify_request(appender, 1, len(more)) + more) == (OK, b"")
    assert storage.download(appender) == b"a" + more + more[-2:]


def test_an_early_refusal_leaves_the_rest_to_be_taken_for_requests(node: Node) -> None:
    """The trap of a real storage server: bytes of a refused body become commands."""
    with Raw(node.storages[0].address) as storage:
        victim = storage.upload(b"precious")
        appender = storage.upload(b"", "log", command=23)
        storage.ask(file_request(12, appender))
        head = append_request(appender, 300 * 1024)
        filler = b"\0" * (256 * 1024 - len(head))
        evil = file_request(12, victim)
        storage.send(head + filler)
        assert storage.reply() == (ENOENT, b"")
        storage.send(evil)
        assert storage.reply() == (OK, b"")
        assert storage.status_of(victim) == ENOENT


def test_without_quirks_an_early_refusal_closes(tmp_path: Path) -> None:
    config = NodeConfig(quirks=False)
    with Node(tmp_path, config=config) as node, Raw(node.storages[0].address) as storage:
        appender = storage.upload(b"", "log", command=23)
        storage.ask(file_request(12, appender))
        head = append_request(appender, 300 * 1024)
        storage.send(head + b"\0" * (256 * 1024 - len(head)))
        assert storage.reply() == (ENOENT, b"")
        assert storage.closed()


def test_a_storage_answers_one_of_several_requests_written_at_once(storage: Raw) -> None:
    storage.send(empty(111) * 3)
    assert storage.reply() == (OK, b"")
    storage.send(empty(111)[:1])
    assert storage.reply() == (OK, b"")


def test_without_quirks_a_storage_answers_them_all(tmp_path: Path) -> None:
    with Node(tmp_path, config=NodeConfig(quirks=False)) as node, Raw(node.storages[0].address) as storage:
        file_id = storage.upload(bytes(MIB))
        storage.send(download_request(file_id) * 3 + empty(111))
        for _ in range(3):
            assert storage.reply() == (OK, bytes(MIB))
        assert storage.reply() == (OK, b"")


def test_a_tracker_answers_all_of_several_requests_written_at_once(tracker: Raw) -> None:
    tracker.send(empty(101) * 50)
    assert {tracker.reply()[0] for _ in range(50)} == {OK}


def test_metadata_over_the_servers_buffer_is_refused(storage: Raw) -> None:
    file_id = storage.upload(b"x")
    storage.send(set_metadata_request(file_id, "O", b"a\x02" + b"v" * 300 * 1024)[: 256 * 1024])
    assert storage.reply() == (EINVAL, b"")
    assert storage.closed()


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    config = NodeConfig(capacity=100_000)
    with Node(tmp_path, config=config) as node, Raw(node.storages[0].address) as storage:
        first = storage.upload(bytes(90_000))
        assert storage.ask(upload_request(11, 0, 20_000, "txt") + bytes(20_000)) == (ENOSPC, b"")
        assert storage.alive()
        appender = storage.upload(b"", "log", command=23)
        assert storage.ask(append_request(appender, 20_000) + bytes(20_000)) == (ENOSPC, b"")
        assert storage.ask(truncate_request(appender, 20_000)) == (ENOSPC, b"")
        assert storage.ask(truncate_request(appender, 10_000)) == (OK, b"")
        with Raw(node.tracker_addrs[0]) as tracker:
            assert tracker.ask(empty(101))[0] == ENOSPC
        assert storage.ask(file_request(12, first)) == (OK, b"")
        with Raw(node.tracker_addrs[0]) as tracker:
            assert tracker.ask(empty(101))[0] == OK
        storage.upload(bytes(90_000))
    with Node(tmp_path, config=config) as node, Raw(node.storages[0].address) as storage:
        assert storage.ask(upload_request(11, 0, 1, "txt") + b"x")[0] == ENOSPC


def test_a_sparse_appender_of_five_gibibytes(storage: Raw) -> None:
    appender = storage.upload(b"begin", "log", command=23)
    size = 5 << 30
    assert storage.ask(truncate_request(appender, size)) == (OK, b"")
    assert storage.ask(modify_request(appender, size - 3, 3) + b"end") == (OK, b"")
    assert storage.ask(download_request(appender, size - 5)) == (OK, b"\0\0end")
    status, body = storage.ask(file_request(22, appender, 1))
    assert (status, int.from_bytes(body[:8], "big")) == (OK, size)
    assert storage.ask(file_request(12, appender)) == (OK, b"")


def test_an_appender_becomes_a_normal_file_with_its_metadata(storage: Raw) -> None:
    appender = storage.upload(b"abc", "log", command=23)
    storage.ask(set_metadata_request(appender, "O", b"a\x021"))
    filename = appender.partition("/")[2].encode()
    status, body = storage.ask(struct.pack(">qBB", len(filename), 38, 0) + filename)
    assert status == OK
    file_id = unpack_file_id(body)
    assert (decode_file_id(file_id).size, decode_file_id(file_id).appender) == (3, False)
    assert storage.download(file_id) == b"abc"
    assert storage.ask(file_request(15, file_id)) == (OK, b"a\x021")
