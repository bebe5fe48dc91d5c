"""What goes wrong between client and servers: each failure is survived, or told by its own exception, and leaves
neither a half file, nor a poisoned connection, nor a file stored twice."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fastxfer.fdfs import (
    CancelToken,
    ClientClosedError,
    ConnectionTimeoutError,
    FastDFSError,
    FileAlreadyExistsError,
    FileNotFoundError,
    InsufficientSpaceError,
    IntegrityError,
    InvalidArgumentError,
    InvalidResponseError,
    MetadataNotSetError,
    NetworkError,
    NetworkTimeoutError,
    NoStorageServerError,
    PoolTimeoutError,
    Progress,
    ProtocolError,
    ServerBusyError,
    StorageServerOfflineError,
    TrackerServerOfflineError,
    TransferCancelledError,
    parse_file_id,
)
from fastxfer.fdfs.node import Fault, Node, NodeConfig
from tests.fdfs.conftest import MakeClient

UPLOAD, DELETE, SET_METADATA, DOWNLOAD, GET_METADATA, SLAVE, INFO, APPEND = 11, 12, 13, 14, 15, 21, 22, 24
QUERY_STORE_ALL, FETCH_ALL, UPDATE, LIST_STORAGE = 106, 105, 103, 92


def content(size: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def files_below(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and path.parts[-5:-4] == ("path0",)]


def stored(node: Node) -> set[str]:
    """Names of all files in the node, each once however many storages have it."""
    return {path.name for path in node.directory.rglob("data/*/*/*") if path.is_file()}


@contextlib.contextmanager
def peer(*answers: bytes, linger: float = 0.0) -> Iterator[str]:
    """A server that answers the first request of each connection with the next of *answers* and closes."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    done = threading.Event()

    def serve() -> None:
        count = 0
        while not done.is_set():
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                continue
            with sock:
                sock.settimeout(30)
                with contextlib.suppress(OSError):
                    sock.recv(65536)
                    sock.sendall(answers[min(count, len(answers) - 1)])
                    count += 1
                    done.wait(linger)

    thread = threading.Thread(target=serve)
    thread.start()
    host, port = listener.getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        done.set()
        thread.join()
        listener.close()


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return f"127.0.0.1:{sock.getsockname()[1]}"


# --- trackers


def test_the_second_tracker_serves_while_the_first_is_down_and_the_first_again_when_it_returns(
    node: Node, make_client: MakeClient
) -> None:
    client = make_client(node.tracker_addrs, upload_target_age=0)
    first, second = node.trackers
    file_id = client.upload_buffer(b"1", "txt")
    first.kill()
    for _ in range(5):
        client.upload_buffer(b"2", "txt")
    assert first.address in client.stats().down
    assert client.download_file(file_id) == b"1"
    first.start()
    second.kill()
    for _ in range(3):
        client.upload_buffer(b"3", "txt")


def test_no_tracker_at_all(make_client: MakeClient) -> None:
    address = closed_port()
    client = make_client([address, address])
    with pytest.raises(TrackerServerOfflineError, match="refused") as caught:
        client.upload_buffer(b"x", "txt")
    assert address in (caught.value.server or "")
    with pytest.raises(NetworkError):
        client.download_file("group1/M00/00/00/fwAAC2sEnZqACUquAAAACw1KEYU287.txt")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff" * 10,
        (1 << 40).to_bytes(8, "big") + b"d\0",
        (40).to_bytes(8, "big") + b"d\0" + bytes(40),
        (39).to_bytes(8, "big") + b"d\0" + bytes(39),
    ],
    ids=["HTTP", "negative length", "absurd length", "empty fields", "wrong length"],
)
def test_a_tracker_that_is_none(make_client: MakeClient, answer: bytes) -> None:
    with peer(answer) as address:
        client = make_client([address], network_timeout=20.0)
        for operation in (
            lambda: client.upload_buffer(b"x", "txt"),
            client.query_upload_server,
        ):
            with pytest.raises(InvalidResponseError) as caught:
                operation()
            assert caught.value.server == address
        assert client.stats().connections[address].idle == 0


def test_a_tracker_that_is_none_is_passed_over(node: Node, make_client: MakeClient) -> None:
    with peer(b"SSH-2.0-OpenSSH_9.9\r\n") as address:
        client = make_client([address, *node.tracker_addrs])
        assert client.download_file(client.upload_buffer(b"x", "txt")) == b"x"


def test_a_reply_cut_short(make_client: MakeClient) -> None:
    with peer((40).to_bytes(8, "big") + b"d\0" + b"group1") as address:
        client = make_client([address])
        with pytest.raises(NetworkError) as caught:
            client.query_upload_server()
        assert caught.value.server == address


def test_a_silent_tracker_costs_no_more_than_the_timeout(make_client: MakeClient) -> None:
    with peer(b"", linger=60) as address:
        client = make_client([address], network_timeout=0.2)
        began = time.monotonic()
        with pytest.raises(NetworkError) as caught:
            client.query_upload_server()
        assert "timeout" in str(caught.value).lower()
        assert time.monotonic() - began < 30


def test_connecting_takes_too_long(make_client: MakeClient) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        address = full.getsockname()
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            fillers.append(filler)
        client = make_client([f"127.0.0.1:{address[1]}"], connect_timeout=0.2)
        with pytest.raises(ConnectionTimeoutError):
            client.query_upload_server()
        for filler in fillers:
            filler.close()


# --- connections that die


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


# --- storages that die


def test_uploads_go_to_the_storage_that_is_left(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs)
    client.upload_buffer(b"warm", "txt")
    gone, left = node.storages
    gone.kill(noticed=False)
    for number in range(6):
        file_id = client.upload_buffer(b"%d" % number, "txt")
        assert parse_file_id(file_id).source_ip == left.host
    assert len(stored(node)) == 7


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


# --- straight to the source: what it costs


def tracker_requests(node: Node) -> list[Fault]:
    """Counts requests to trackers without harming them."""
    return [node.inject(Fault("tracker", command, times=None, delay=0.0)) for command in (FETCH_ALL, UPDATE, 102)]


def test_no_tracker_is_asked_about_files_whose_source_is_known(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs)
    ids = [client.upload_buffer(b"x", "txt") for _ in range(4)]
    client.download_file(ids[0])
    for tracker in node.trackers:
        tracker.kill()
    for file_id in ids:
        assert client.download_file(file_id) == b"x"
        client.set_metadata(file_id, {"a": "b"})
        assert client.get_metadata(file_id) == {"a": "b"}
        client.get_file_info(file_id)
        client.upload_slave_buffer(file_id, "_s", b"y", "txt")
        client.upload_buffer(b"z", "txt")
        client.delete_file(file_id)


@pytest.mark.parametrize("storage_ids", [False, True])
@pytest.mark.parametrize("noticed", [False, True])
def test_a_dead_source_costs_one_question_more(
    tmp_path: Path, make_client: MakeClient, storage_ids: bool, noticed: bool
) -> None:
    config = NodeConfig(use_storage_id=storage_ids)
    with Node(tmp_path, groups={"group1": 2}, config=config) as node:
        client = make_client(node.tracker_addrs, topology_age=3600)
        file_id = client.upload_buffer(b"x", "txt")
        client.download_file(file_id)
        node.wait_replicated()
        parts = parse_file_id(file_id)
        for storage in node.storages:
            if storage.host == parts.source_ip or storage.id == str(parts.storage_id):
                storage.kill(noticed=noticed)
        questions = node.inject(Fault("tracker", times=None, delay=0.0))
        downloads = node.inject(Fault("group1", DOWNLOAD, times=None, delay=0.0))
        assert client.download_file(file_id) == b"x"
        assert (questions.hits, downloads.hits) == (1, 1)
        assert client.download_file(file_id) == b"x"
        assert (questions.hits, downloads.hits) == (2, 2)


def test_a_moved_storage_costs_one_question_more(tmp_path: Path, make_client: MakeClient) -> None:
    with Node(tmp_path, groups={"group1": 1}, config=NodeConfig(use_storage_id=True)) as node:
        client = make_client(node.tracker_addrs, topology_age=3600)
        file_id = client.upload_buffer(b"x", "txt")
        client.download_file(file_id)
        (storage,) = node.storages
        storage.stop()
        storage._state.port = 0
        storage.start()
        questions = node.inject(Fault("tracker", times=None, delay=0.0))
        for extra in (1, 2, 3):
            assert client.download_file(file_id) == b"x"
            assert questions.hits <= extra


# --- refusals


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


def test_metadata_that_cannot_be_set_is_an_error_that_tells_the_file_id(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs)
    node.inject(Fault("group1", SET_METADATA, status=5))
    with pytest.raises(MetadataNotSetError) as caught:
        client.upload_buffer(b"x", "txt", {"a": "b"})
    assert caught.value.file_id is not None
    assert client.download_file(caught.value.file_id) == b"x"
    assert isinstance(caught.value.__cause__, ProtocolError)


# --- bytes that are not what they should be


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


def test_an_upload_that_was_stored_otherwise_is_an_error_and_is_not_kept(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs)
    good = client.upload_buffer(content(5000), "bin")
    wrong = client.upload_buffer(content(5000, 2), "bin")
    reply = b"group1".ljust(16, b"\0") + wrong.partition("/")[2].encode()
    node.inject(Fault("group1", UPLOAD, reply=len(reply).to_bytes(8, "big") + b"d\0" + reply))
    with pytest.raises(IntegrityError) as caught:
        client.upload_buffer(content(5000), "bin")
    assert caught.value.file_id == wrong
    assert not client.file_exists(wrong)
    assert client.download_file(good) == content(5000)


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


# --- bodies must never be taken for requests


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


# --- time, room, cancelling


def test_a_stalled_storage_costs_no_more_than_the_timeout(node: Node, make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(node.tracker_addrs, network_timeout=0.3)
    small = client.upload_buffer(b"x", "txt")
    large = client.upload_buffer(content(2_000_000), "bin")
    node.wait_replicated()
    for command in (DOWNLOAD, UPLOAD, INFO):
        node.inject(Fault("group1", command, stall=True, times=None))
    for operation in (
        lambda: client.download_file(small),
        lambda: client.download_file(large),
        lambda: client.download_to_file(large, tmp_path / "f"),
        lambda: client.get_file_info(small),
        lambda: client.upload_buffer(b"x", "txt"),
        lambda: client.upload_buffer(content(1_000_000), "txt"),
    ):
        began = time.monotonic()
        with pytest.raises(NetworkTimeoutError):
            operation()
        assert time.monotonic() - began < 20
    assert not (tmp_path / "f").exists()
    node.faults.clear()
    assert client.download_file(small) == b"x"


def test_an_operation_can_have_an_end_of_its_own(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs)
    file_id = client.upload_buffer(content(2_000_000), "bin")
    node.inject(Fault("group1", DOWNLOAD, stall=True, times=None))
    began = time.monotonic()
    with pytest.raises(NetworkTimeoutError):
        client.download_file(file_id, timeout=0.3)
    assert time.monotonic() - began < 30
    node.inject(Fault("group1", UPLOAD, stall=True, times=None))
    with pytest.raises(NetworkTimeoutError):
        client.upload_buffer(content(2_000_000), "bin", timeout=0.3)
    # A short patience is no fault of the server's.
    assert client.stats().down == {}


def test_a_full_pool_makes_callers_wait_and_then_fail(node: Node) -> None:
    from fastxfer.fdfs import Client
    from tests.fdfs.conftest import quick_config

    with Client(quick_config(node.tracker_addrs, max_conns=1, pool_timeout=0.2, retry_count=1)) as client:
        file_id = client.upload_buffer(b"x", "txt")
        client.download_file(file_id)
        node.inject(Fault("group1", DOWNLOAD, stall=True))
        token = CancelToken()
        outcomes: list[BaseException] = []

        def get_stuck() -> None:
            try:
                client.download_file(file_id, cancel=token)
            except TransferCancelledError as error:
                outcomes.append(error)

        stuck = threading.Thread(target=get_stuck)
        stuck.start()
        source = next(s for s in node.storages if s.host == parse_file_id(file_id).source_ip)
        deadline = time.monotonic() + 30
        while client.stats().connections[source.address].busy == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(PoolTimeoutError, match="stayed busy"):
            client.get_file_info(file_id)
        assert client.stats().connections[source.address].timeouts == 1
        token.cancel()
        stuck.join()
        assert len(outcomes) == 1
        assert client.get_file_info(file_id).file_size == 1


def test_cancelling(node: Node, make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(node.tracker_addrs)
    file_id = client.upload_buffer(content(500_000), "bin")
    path = tmp_path / "source"
    path.write_bytes(content(500_000))
    node.inject(Fault("group1", DOWNLOAD, stall=True, times=None))
    node.inject(Fault("group1", UPLOAD, stall=True, times=None))
    for operation in (
        lambda token: client.download_file(file_id, cancel=token),
        lambda token: client.download_to_file(file_id, tmp_path / "f", cancel=token),
        lambda token: client.upload_file(path, cancel=token),
        lambda token: list(client.download_iter(file_id, cancel=token)),
    ):
        token = CancelToken()
        timer = threading.Timer(0.1, token.cancel)
        timer.start()
        with pytest.raises(TransferCancelledError):
            operation(token)
        timer.join()
        with pytest.raises(TransferCancelledError):
            operation(token)
    assert not (tmp_path / "f").exists()
    assert all(stats.busy == 0 for stats in client.stats().connections.values())
    node.faults.clear()
    assert client.download_file(file_id) == content(500_000)


def test_a_closed_client(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs)
    file_id = client.upload_buffer(b"x", "txt")
    client.close()
    client.close()
    for operation in (
        lambda: client.download_file(file_id),
        lambda: client.upload_buffer(b"x", "txt"),
        client.list_groups,
        lambda: list(client.download_iter(file_id)),
    ):
        with pytest.raises((ClientClosedError, RuntimeError)):
            operation()


# --- several connections for one file


def test_segments_fail_over_and_fail_together(node: Node, make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(node.tracker_addrs)
    source = tmp_path / "source"
    source.write_bytes(content(6_000_000))
    file_id = client.upload_segmented(source, segments=4)
    node.wait_replicated()
    node.inject(Fault("group1", DOWNLOAD, cut=500_000, times=2))
    client.download_segmented(file_id, tmp_path / "copy", segments=4)
    assert (tmp_path / "copy").read_bytes() == content(6_000_000)
    node.storages[0].kill(noticed=False)
    client.download_segmented(file_id, tmp_path / "copy", segments=4)
    assert (tmp_path / "copy").read_bytes() == content(6_000_000)
    node.storages[0].start()
    node.inject(Fault("group1", DOWNLOAD, corrupt=200_000, times=1))
    with pytest.raises(IntegrityError):
        client.download_segmented(file_id, tmp_path / "bad", segments=4)
    node.inject(Fault("group1", DOWNLOAD, status=5, skip=2, times=None))
    with pytest.raises(ProtocolError):
        client.download_segmented(file_id, tmp_path / "bad", segments=4)
    assert not (tmp_path / "bad").exists()
    assert not list(tmp_path.glob(".*.part"))
    node.faults.clear()
    before = stored(node)
    node.inject(Fault("group1", 34, status=28, skip=1, times=None))
    with pytest.raises(InsufficientSpaceError):
        client.upload_segmented(source, segments=4)
    node.wait_replicated()
    assert stored(node) == before
    assert all(stats.busy == 0 for stats in client.stats().connections.values())


def test_segments_can_be_cancelled(node: Node, make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(node.tracker_addrs)
    file_id = client.upload_buffer(content(6_000_000), "bin")
    node.inject(Fault("group1", DOWNLOAD, stall=True, times=None))
    token = CancelToken()
    timer = threading.Timer(0.1, token.cancel)
    timer.start()
    with pytest.raises(TransferCancelledError):
        client.download_segmented(file_id, tmp_path / "copy", cancel=token)
    timer.join()
    assert not (tmp_path / "copy").exists()
