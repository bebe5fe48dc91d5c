"""The blocking client's short way: no plan where all is as usual, and where it is not, the plan's own outcome."""

from __future__ import annotations

import copy
import dataclasses
import errno
import os
import pickle
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from fastxfer.core.fdfscall import Shortcut
from fastxfer.core.wire import decode_file_id
from fastxfer.fdfs import (
    Client,
    ClientClosedError,
    FastDFSError,
    FileInfo,
    FileNotFoundError,
    IntegrityError,
    InvalidArgumentError,
    InvalidFileIDError,
    NetworkError,
)
from fastxfer.fdfs.local_file import ArrivingFile
from fastxfer.fdfs.node import Fault, Node
from fastxfer.net.address import Address
from tests.fdfs.conftest import quick_config
from tests.fdfs.failing import DELETE, DOWNLOAD, INFO, UPLOAD, content, stored

PURE = Shortcut.__module__.startswith("fastxfer._pure")
LONG = 300_000
"""Bytes of a file that is moved by a transfer of its own."""


@pytest.fixture
def make() -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(node: Node, **settings: Any) -> Client:
        made.append(Client(quick_config(node.tracker_addrs, topology_age=3600.0, upload_target_age=3600.0, **settings)))
        return made[-1]

    yield make
    for client in made:
        client.close()


def warmed(client: Client, data: bytes = b"warm") -> str:
    """A file of the source to which a connection is at hand."""
    file_id = client.upload_buffer(data, "txt")
    for _ in range(2):
        # The storages take turns: each gets a connection.
        client.upload_buffer(b"warm", "txt", group="group1")
    assert client.download_file(file_id) == data
    client.get_file_info(file_id)
    return file_id


class Plans:
    """Counts the plans that a client has carried out."""

    def __init__(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        run = client._driver.run

        def counting(*arguments: Any) -> Any:
            self.count += 1
            return run(*arguments)

        monkeypatch.setattr(client._driver, "run", counting)


def test_the_usual_case_takes_no_plan(
    node: Node, make: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("fastxfer.net.pool._TRUSTED_IDLE", 1000.0)
    monkeypatch.setattr("fastxfer.net.pool._SURELY_ALIVE", 1000.0)
    client = make(node)
    file_id = warmed(client)
    client._driver.pool.book.next_reap = time.monotonic() + 1000
    plans = Plans(client, monkeypatch)
    for size in (0, 1, 4096, 65536) if PURE else (0, 1, 4096, 65536, 65537, 262145, 4 << 20):
        new = client.upload_buffer(b"x" * size, "txt", group="group1", store_path=0)
        assert client.get_file_info(new).file_size == size
        assert size == 0 or client.download_file(new) == b"x" * size
        client.delete_file(new)
    for size in (1, 65536):
        (tmp_path / "local.dat").write_bytes(content(size))
        new = client.upload_file(tmp_path / "local.dat", group="group1", store_path=0)
        assert new.endswith(".dat")
        assert client.download_to_file(new, tmp_path / "back") == size
        assert (tmp_path / "back").read_bytes() == content(size)
    assert plans.count == 0
    client.delete_file(new)
    assert not client.file_exists(new)
    unusual: list[Callable[[], Any]] = [
        lambda: client.download_file(file_id, timeout=60.0),
        lambda: client.upload_buffer(bytes((4 << 20) + 1), "txt"),
        lambda: client.upload_buffer(b"x", "txt", {"a": "b"}),
        lambda: client.upload_buffer(b"x", "txt", timeout=60.0),
    ]
    for call in unusual:
        before = plans.count
        assert call()
        assert plans.count > before


def test_a_file_that_does_not_come_leaves_the_one_that_is_there(
    node: Node, make: Callable[..., Client], tmp_path: Path
) -> None:
    client = make(node, retry_count=1)
    file_id = warmed(client)
    node.inject(Fault("group1", DOWNLOAD, times=None, status=5))
    (tmp_path / "here").write_bytes(b"before")
    with pytest.raises(FastDFSError):
        client.download_to_file(file_id, tmp_path / "here")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["here"]
    assert (tmp_path / "here").read_bytes() == b"before"


def test_what_cannot_be_written_is_said_before_anything_is_asked(
    node: Node, make: Callable[..., Client], tmp_path: Path
) -> None:
    client = make(node)
    file_id = warmed(client)
    asked = node.inject(Fault("group1", DOWNLOAD, times=None, delay=0.0))
    with pytest.raises(IsADirectoryError):
        client.download_to_file(file_id, tmp_path)
    with pytest.raises(OSError, match="Not a directory"):
        client.download_to_file(file_id, Path("/dev/null/file"))
    assert asked.hits == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_opened_by_one_reader_only(node: Node, make: Callable[..., Client], tmp_path: Path) -> None:
    client = make(node)
    warmed(client)
    os.mkfifo(tmp_path / "pipe.dat")

    def write() -> None:
        with open(tmp_path / "pipe.dat", "wb") as pipe:
            pipe.write(b"from a pipe")

    writer = threading.Thread(target=write)
    writer.start()
    file_id = client.upload_file(tmp_path / "pipe.dat")
    writer.join()
    assert client.download_file(file_id) == b"from a pipe"


def test_a_relative_name_is_of_the_directory_at_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with ArrivingFile("name") as arriving:
        arriving.write(b"bytes")
        monkeypatch.chdir(tmp_path / "there")
        arriving.keep()
    assert (tmp_path / "here" / "name").read_bytes() == b"bytes"


def test_a_limited_client_has_no_short_way(node: Node, make: Callable[..., Client]) -> None:
    client = make(node, rate_limit=1e9)
    assert client._shortcut is None
    file_id = warmed(client)
    assert client.get_file_info(file_id).file_size == 4
    client.delete_file(file_id)


@pytest.mark.parametrize("size", [4, LONG])
@pytest.mark.parametrize(("command", "status"), [(UPLOAD, 28), (UPLOAD, 5), (DOWNLOAD, 2), (DOWNLOAD, 5), (INFO, 22)])
def test_an_error_is_what_the_plan_makes_of_it(
    node: Node, make: Callable[..., Client], command: int, status: int, size: int
) -> None:
    short, long = make(node, retry_count=1), make(node, retry_count=1)
    data = content(size)
    file_id = warmed(short, data)
    warmed(long)
    long._shortcut = None
    node.inject(Fault("group1", command, times=None, status=status))
    told = []
    for client in (short, long):
        calls: dict[int, Callable[[], Any]] = {
            UPLOAD: lambda client=client: client.upload_buffer(data, "txt"),
            DOWNLOAD: lambda client=client: client.download_file(file_id),
            INFO: lambda client=client: client.get_file_info(file_id),
        }
        with pytest.raises(FastDFSError) as caught:
            calls[command]()
        told.append((type(caught.value), caught.value.status, caught.value.command))
    assert told[0] == told[1]
    assert all(stats.busy == 0 for stats in short.stats().connections.values())


@pytest.mark.parametrize(("size", "cut"), [(4, 0), (4, 5), (4, 12), (LONG, 0), (LONG, 5), (LONG, 12), (LONG, 200_000)])
def test_a_broken_reply_to_what_may_be_repeated_costs_nothing_but_a_connection(
    node: Node, make: Callable[..., Client], size: int, cut: int
) -> None:
    client = make(node)
    data = content(size)
    file_id = warmed(client, data)
    faults = [
        node.inject(Fault("group1", command, cut=min(cut, 12 if command == INFO else cut)))
        for command in (DOWNLOAD, INFO)
    ]
    assert client.download_file(file_id) == data
    assert client.get_file_info(file_id).file_size == size
    assert [fault.hits for fault in faults] == [1, 1]
    assert sum(stats.dropped + stats.found_dead for stats in client.stats().connections.values()) >= 2
    assert all(stats.busy == 0 for stats in client.stats().connections.values())


def test_a_deletion_whose_reply_is_lost_is_done(node: Node, make: Callable[..., Client]) -> None:
    client = make(node)
    file_id = warmed(client)
    fault = node.inject(Fault("group1", DELETE, cut=0))
    client.delete_file(file_id)
    assert fault.hits == 1
    with pytest.raises(FileNotFoundError):
        client.download_file(file_id)


@pytest.mark.parametrize("size", [4, LONG])
def test_an_upload_whose_reply_is_lost_is_not_sent_again(node: Node, make: Callable[..., Client], size: int) -> None:
    client = make(node)
    warmed(client)
    before = len(stored(node))
    node.inject(Fault("group1", UPLOAD, cut=0))
    with pytest.raises(NetworkError) as caught:
        client.upload_buffer(content(size), "txt")
    assert caught.value.maybe_done
    assert len(stored(node)) == before + 1
    assert all(stats.busy == 0 for stats in client.stats().connections.values())


@pytest.mark.parametrize("size", [1, LONG])
def test_errno_is_told_where_the_reply_breaks(node: Node, make: Callable[..., Client], size: int) -> None:
    client = make(node, retry_count=1)
    warmed(client)
    node.inject(Fault("group1", UPLOAD, cut=5))
    with pytest.raises(NetworkError) as caught:
        client.upload_buffer(content(size), "txt")
    assert caught.value.errno in (errno.ECONNRESET, errno.EPIPE)


@pytest.mark.parametrize("size", [4, LONG])
def test_connections_that_died_idle_are_replaced(node: Node, make: Callable[..., Client], size: int) -> None:
    client = make(node, retry_count=1)
    data = content(size)
    file_id = warmed(client, data)
    for _ in range(3):
        for storage in node.storages:
            storage.restart()
        assert client.download_file(file_id) == data
        assert client.get_file_info(file_id).file_size == size
        client.delete_file(client.upload_buffer(data, "txt"))


def test_files_of_a_source_that_is_gone_are_read_elsewhere(node: Node, make: Callable[..., Client]) -> None:
    client = make(node)
    file_id = warmed(client)
    node.wait_replicated()
    (source,) = (storage for storage in node.storages if storage.host == decode_file_id(file_id).source_ip)
    source.kill()
    for _ in range(3):
        assert client.download_file(file_id) == b"warm"
        assert client.get_file_info(file_id).file_size == 4
    assert client.stats().down


def test_what_is_learnt_anew_of_a_group_counts_at_once(node: Node, make: Callable[..., Client]) -> None:
    client = make(node)
    file_id = warmed(client)
    cluster = client._cluster
    assert cluster.routes
    group = cluster.groups["group1"]
    for key, member in list(group.members.items()):
        group.members[key] = dataclasses.replace(member, active=False)
    cluster.learned("group1", group)
    assert not cluster.routes
    read, change, due = cluster.route(b"key", decode_file_id(file_id))  # type: ignore[misc]
    assert (read, change) == (None, None)
    assert due is group.due
    # Whom to ask is then a tracker's to say.
    assert client.download_file(file_id) == b"warm"


@pytest.mark.parametrize("reads", ["tracker", "replicas"])
def test_other_ways_of_reading_are_not_cut_short(node: Node, make: Callable[..., Client], reads: str) -> None:
    client = make(node, reads=reads)
    file_id = warmed(client)
    route = client._cluster.route(b"", decode_file_id(file_id))
    assert (route is None) if reads == "tracker" else (route is not None and route[0] is None)
    assert client.download_file(file_id) == b"warm"
    assert client.get_file_info(file_id).file_size == 4
    client.delete_file(file_id)


@pytest.mark.parametrize("size", [4, LONG])
def test_wrong_bytes_are_no_file(node: Node, make: Callable[..., Client], size: int) -> None:
    client = make(node, retry_count=1)
    file_id = warmed(client, content(size))
    node.wait_replicated()
    for path in node.directory.rglob(file_id.rpartition("/")[2]):
        path.write_bytes(content(size, seed=2))
    with pytest.raises(IntegrityError):
        client.download_file(file_id)
    client._shortcut = None
    with pytest.raises(IntegrityError):
        client.download_file(file_id)


@pytest.mark.parametrize("more", [-1, 1])
def test_a_long_file_of_another_length_than_its_id_says_is_none(
    node: Node, make: Callable[..., Client], more: int
) -> None:
    client = make(node, retry_count=1)
    file_id = warmed(client, content(LONG))
    node.wait_replicated()
    for path in node.directory.rglob(file_id.rpartition("/")[2]):
        path.write_bytes(content(LONG + more))
    with pytest.raises(FastDFSError) as short:
        client.download_file(file_id)
    client._shortcut = None
    with pytest.raises(FastDFSError) as general:
        client.download_file(file_id)
    assert type(short.value) is type(general.value)


def test_what_a_long_upload_stored_wrongly_is_deleted(node: Node, make: Callable[..., Client]) -> None:
    client = make(node, retry_count=1)
    other = client.upload_buffer(content(LONG, seed=2), "txt", group="group1")
    warmed(client)
    before = stored(node)
    body = other.replace("/", "\0" * (16 - len("group1")), 1).encode()
    node.inject(Fault("group1", UPLOAD, answer=len(body).to_bytes(8, "big") + bytes([100, 0]) + body))
    with pytest.raises(IntegrityError, match=other):
        client.upload_buffer(content(LONG), "txt")
    assert other.rpartition("/")[2] not in stored(node)
    assert len(stored(node) - before) == 1
    assert all(stats.busy == 0 for stats in client.stats().connections.values())


@pytest.mark.skipif(PURE, reason="the twin leaves long bodies to the general way")
def test_a_long_body_may_take_its_time_while_it_moves(node: Node, make: Callable[..., Client]) -> None:
    client = make(node, network_timeout=2.0)
    data = content(LONG)
    file_id = warmed(client, data)
    pieces = [data[start : start + LONG // 8] for start in range(0, LONG, LONG // 8)]
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(LONG.to_bytes(8, "big") + bytes([100, 0]))
                for piece in pieces:
                    time.sleep(0.3)
                    sock.sendall(piece)

        address = Address(*listener.getsockname())
        pool = client._driver.pool
        client._driver._give(pool.take(address, False, False))
        for key, (_, change, due) in list(client._cluster.routes.items()):
            client._cluster.routes[key] = (address, change, due)
        thread = threading.Thread(target=answer)
        thread.start()
        began = time.monotonic()
        assert client.download_file(file_id) == data
        assert time.monotonic() - began > 2.0
        thread.join()


def test_wrong_arguments_are_told_as_ever(node: Node, make: Callable[..., Client]) -> None:
    client = make(node)
    file_id = warmed(client)
    wrong: Any = None
    for call in (client.delete_file, client.get_file_info, client.download_file):
        with pytest.raises(InvalidFileIDError):
            call(wrong)
    with pytest.raises(InvalidArgumentError, match="flags"):
        client.get_file_info(file_id, 256)
    with pytest.raises(InvalidArgumentError):
        client.upload_buffer(b"x", "much too long")
    with pytest.raises(InvalidArgumentError):
        client.upload_buffer(b"x", "txt", store_path=256)
    with pytest.raises(InvalidArgumentError):
        client.upload_buffer(wrong, "txt")


def test_a_closed_client_does_nothing_more(node: Node, make: Callable[..., Client]) -> None:
    client = make(node)
    file_id = warmed(client)
    before = len(stored(node))
    client.close()
    for call in (client.delete_file, client.get_file_info, client.download_file):
        with pytest.raises(ClientClosedError):
            call(file_id)
    with pytest.raises(ClientClosedError):
        client.upload_buffer(b"x", "txt")
    assert len(stored(node)) == before


def test_threads_share_it(node: Node, make: Callable[..., Client]) -> None:
    client = make(node, max_conns=3)
    wrong: list[str] = []

    def work(number: int) -> None:
        try:
            for turn in range(40):
                data = f"{number} {turn}".encode() if turn % 4 else content(LONG, seed=number)
                file_id = client.upload_buffer(data, "txt")
                assert client.download_file(file_id) == data
                assert client.get_file_info(file_id).file_size == len(data)
                client.delete_file(file_id)
        except BaseException:
            wrong.append(traceback.format_exc())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert all((stats.busy, stats.waiting) == (0, 0) for stats in client.stats().connections.values())
    assert stored(node) == set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_opens_connections_of_its_own(node: Node, make: Callable[..., Client]) -> None:
    client = make(node)
    file_id = warmed(client)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            same = client.download_file(file_id) == b"warm" and client.get_file_info(file_id).file_size == 4
            code = 0 if same else 2
        finally:
            os._exit(code)
    for _ in range(20):
        assert client.download_file(file_id) == b"warm"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.download_file(file_id) == b"warm"


# --- the date that is made when it is asked for


def short_info(stored_at: int = 1_700_000_000) -> FileInfo:
    info = object.__new__(FileInfo)
    vars(info).update(file_size=5, crc32=7, source_ip_addr="192.0.2.7", stored_at=stored_at)
    return info


def test_a_date_made_late_is_as_one_made_at_once() -> None:
    whole = FileInfo(5, datetime.fromtimestamp(1_700_000_000), 7, "192.0.2.7")
    assert short_info() == whole
    assert whole == short_info()
    assert repr(short_info()) == repr(whole)
    assert dataclasses.asdict(short_info()) == dataclasses.asdict(whole)
    assert dataclasses.replace(short_info(), file_size=6) == dataclasses.replace(whole, file_size=6)
    info = short_info()
    assert info.create_time is info.create_time
    info.create_time = datetime(2020, 1, 1)
    assert info.create_time == datetime(2020, 1, 1)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda info: pickle.loads(pickle.dumps(info))])
def test_copies_have_the_date(copied: Callable[[FileInfo], FileInfo]) -> None:
    there = copied(short_info())
    assert vars(there).keys() == {"file_size", "create_time", "crc32", "source_ip_addr"}
    assert there == short_info()


def test_no_date_is_made_up() -> None:
    with pytest.raises(AttributeError, match="create_time"):
        _ = object.__new__(FileInfo).create_time
    with pytest.raises(AttributeError, match="create_time"):
        _ = FileInfo.create_time
    with pytest.raises(TypeError, match="create_time"):
        FileInfo(file_size=1, crc32=2, source_ip_addr="")  # type: ignore[call-arg]
