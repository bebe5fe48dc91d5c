"""Batches: lazy, bounded, complete, and able to go on where they were interrupted."""

from __future__ import annotations

import builtins
import contextlib
import itertools
import os
import sqlite3
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastxfer.fdfs import (
    BatchProgress,
    FileNotFoundError,
    InvalidArgumentError,
    InvalidFileIDError,
    InvalidMetadataError,
    UploadItem,
    parse_file_id,
)
from fastxfer.fdfs.node import Fault, Node
from tests.fdfs.conftest import MakeClient

UPLOAD = 11


def make_files(directory: Path, count: int) -> list[Path]:
    directory.mkdir(exist_ok=True)
    paths = []
    for number in range(count):
        path = directory / f"{number:04d}.txt"
        path.write_bytes(b"%d " % number * (1 if number % 10 else 30_000))
        paths.append(path)
    return paths


def test_up_down_info_metadata_delete(client: Any, tmp_path: Path) -> None:
    paths = make_files(tmp_path / "in", 100)
    seen: list[int] = []
    results = list(client.upload_many(paths, progress=lambda state: seen.append(state.done), concurrency=8))
    assert sorted(result.index for result in results) == list(range(100))
    assert seen[-1] == 100
    by_path = {result.item: result.unwrap() for result in results}
    assert set(by_path) == set(paths)
    for path, file_id in by_path.items():
        assert parse_file_id(file_id).crc32 == zlib.crc32(path.read_bytes())
    pairs = [(by_path[path], tmp_path / "out" / path.name) for path in paths]
    for result in client.download_many(pairs):
        assert result.unwrap() == result.item[1]
    assert [path.read_bytes() for path in sorted((tmp_path / "out").iterdir())] == [p.read_bytes() for p in paths]
    in_memory = list(client.download_many([by_path[path] for path in paths], ordered=True))
    assert [result.value for result in in_memory] == [path.read_bytes() for path in paths]
    infos = list(client.info_many(by_path.values(), ordered=True))
    assert [result.unwrap().file_size for result in infos] == [result.unwrap().file_size for result in infos]
    assert all(result.unwrap() == {} for result in client.metadata_many(by_path.values()))
    assert all(result.ok for result in client.delete_many(by_path.values()))
    errors = [result.error for result in client.delete_many(by_path.values())]
    assert all(isinstance(error, FileNotFoundError) for error in errors)


def test_items_with_all_they_may_have(client: Any, tmp_path: Path) -> None:
    (path,) = make_files(tmp_path, 1)
    items = [UploadItem(b"bytes", "bin", {"a": "b"}), UploadItem(path, "dat"), str(path), UploadItem(bytearray(3))]
    results = list(client.upload_many(items, ordered=True))
    ids = [result.unwrap() for result in results]
    assert [parse_file_id(file_id).extension for file_id in ids] == ["bin", "dat", "txt", ""]
    assert client.get_metadata(ids[0]) == {"a": "b"}
    assert [result.value for result in client.metadata_many(ids, ordered=True)] == [{"a": "b"}, {}, {}, {}]
    list(client.delete_many(ids))


def test_an_item_that_fails_stops_nothing(client: Any, tmp_path: Path) -> None:
    paths = make_files(tmp_path, 3)
    items = [paths[0], tmp_path / "missing", tmp_path, UploadItem(b"x", "too long"), UploadItem(b"x", "a", {"": ""}), 7]
    items += paths[1:]
    results = list(client.upload_many(items, ordered=True))
    kinds = [type(result.error) for result in results]
    assert kinds[0] is type(None)
    assert kinds[1] is FileNotFoundError
    assert kinds[2] is IsADirectoryError
    assert kinds[3:6] == [InvalidArgumentError, InvalidMetadataError, InvalidArgumentError]
    assert kinds[6:] == [type(None)] * 2
    downloads = list(client.download_many(["nonsense", 5, (results[0].value, tmp_path)], ordered=True))
    assert [type(result.error) for result in downloads] == [InvalidFileIDError, InvalidArgumentError, IsADirectoryError]
    with pytest.raises(InvalidFileIDError):
        downloads[0].unwrap()


def test_millions_of_items_are_not_taken_before_their_time(client: Any) -> None:
    file_id = client.upload_buffer(b"x", "txt")
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield file_id

    results = client.info_many(endless(), concurrency=3)
    for _ in range(10):
        assert next(results).ok
    assert taken <= 10 + 3 * 17
    results.close()
    before = taken
    assert client.file_exists(file_id)
    assert taken == before


def test_results_in_order_however_long_each_takes(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs)
    node.inject(Fault("group1", UPLOAD, delay=0.3))
    results = list(client.upload_many([UploadItem(b"%d" % number, "txt") for number in range(50)], ordered=True))
    assert [result.index for result in results] == list(range(50))
    assert [client.download_file(result.unwrap()) for result in results] == [b"%d" % n for n in range(50)]


def test_the_error_of_the_iterable_comes_after_what_was_done(client: Any) -> None:
    def broken() -> Iterator[UploadItem]:
        for number in range(5):
            yield UploadItem(b"%d" % number, "txt")
        raise LookupError("no more")

    done: list[str] = []
    results = client.upload_many(broken(), concurrency=2)
    with pytest.raises(LookupError, match="no more"):
        done.extend(result.unwrap() for result in results)
    assert len(done) == 5


def test_progress_of_a_batch() -> None:
    state = BatchProgress(total=10)
    assert state.remaining is None
    state.done, state.began = 5, state.began - 5
    assert 0.5 < state.rate < 1.5
    assert state.remaining is not None
    assert 3 < state.remaining < 8


def test_a_batch_goes_on_where_it_was_interrupted(node: Node, make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(node.tracker_addrs)
    paths = make_files(tmp_path / "in", 60)
    journal = tmp_path / "journal"
    first = {}
    results = client.upload_many(paths, journal=journal, concurrency=4)
    for result in itertools.islice(results, 25):
        first[result.item] = result.unwrap()
    results.close()
    again = list(client.upload_many(paths, journal=journal, concurrency=4))
    assert len(again) == 60
    for result in again:
        if result.item in first:
            assert result.skipped
            assert result.value == first[result.item]
    stored = [path for path in node.directory.rglob("storage*/path0/data/*/*/*") if not path.name.endswith("-m")]
    node.wait_replicated()
    assert len({path.name for path in stored}) == 60
    paths[3].write_bytes(b"changed")
    third = {result.item: result for result in client.upload_many(paths, journal=journal)}
    assert [path for path in paths if not third[path].skipped] == [paths[3]]
    assert client.download_file(third[paths[3]].unwrap()) == b"changed"


def test_downloads_and_deletes_go_on_too(client: Any, tmp_path: Path) -> None:
    ids = [
        result.unwrap()
        for result in client.upload_many([UploadItem(b"%d" % n, "txt") for n in range(20)], ordered=True)
    ]
    pairs = [(file_id, tmp_path / file_id.rpartition("/")[2]) for file_id in ids]
    journal = tmp_path / "downloads"
    assert not any(result.skipped for result in client.download_many(pairs, journal=journal))
    pairs[4][1].unlink()
    pairs[5][1].write_bytes(b"other size")
    again = list(client.download_many(pairs, journal=journal, ordered=True))
    assert [result.index for result in again if not result.skipped] == [4, 5]
    assert pairs[5][1].read_bytes() == b"5"
    with pytest.raises(InvalidArgumentError, match="another kind"):
        list(client.delete_many(ids, journal=journal))
    list(client.delete_many(ids[:10], journal=tmp_path / "deletes"))
    results = list(client.delete_many(ids, journal=tmp_path / "deletes"))
    assert all(result.ok for result in results)
    assert sum(result.skipped for result in results) == 10


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text here")
def test_a_journal_takes_names_that_are_no_text(client: Any, tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/name\xff.txt")
    Path(path).write_bytes(b"x")
    (first,) = client.upload_many([path], journal=tmp_path / "journal")
    (again,) = client.upload_many([path], journal=tmp_path / "journal")
    assert (first.ok, first.skipped, again.ok, again.skipped) == (True, False, True, True)
    assert again.value == first.unwrap()
    target = path.replace("name", "copy")
    for skipped in (False, True):
        (result,) = client.download_many([(first.value, target)], journal=tmp_path / "downloads")
        assert (result.unwrap(), result.skipped) == (target, skipped)
    client.delete_file(first.value)


def test_another_programs_base_is_no_journal_and_is_left_as_it_is(client: Any, tmp_path: Path) -> None:
    for number, table in enumerate(
        ("done (name TEXT)", "done (key TEXT, stamp TEXT, value TEXT, more TEXT)", "own (a)")
    ):
        path = tmp_path / f"base{number}"
        with contextlib.closing(sqlite3.connect(path)) as base:
            base.execute(f"CREATE TABLE {table}")
        before = path.read_bytes()
        with pytest.raises(InvalidArgumentError, match="another program"):
            list(client.upload_many([], journal=path))
        assert path.read_bytes() == before


def test_a_journal_that_cannot_be_opened_is_an_error_of_a_local_file(client: Any, tmp_path: Path) -> None:
    for path, kind in (
        (tmp_path / "missing" / "journal", builtins.FileNotFoundError),
        (tmp_path, IsADirectoryError),
    ):
        with pytest.raises(kind) as caught:
            list(client.upload_many([], journal=path))
        assert caught.value.filename == str(path)


def test_what_is_no_journal_is_refused(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"something else, and long enough not to be taken for an empty file" * 100)
    with pytest.raises(InvalidArgumentError, match="no journal"):
        list(client.upload_many([], journal=path))
    with pytest.raises(InvalidArgumentError, match="concurrency"):
        list(client.upload_many([], concurrency=0))


CHILD = """
import sys, itertools, os
from pathlib import Path
from fastxfer.fdfs import Client, ClientConfig
tracker, directory, journal = sys.argv[1:]
client = Client(ClientConfig([tracker]))
results = client.upload_many(sorted(Path(directory).iterdir()), journal=journal, concurrency=4)
for result in itertools.islice(results, 50):
    print(result.item, result.unwrap(), flush=True)
os._exit(9)
"""


def test_a_killed_process_has_not_reported_what_its_journal_does_not_know(node: Node, tmp_path: Path) -> None:
    from fastxfer.fdfs import Client
    from tests.fdfs.conftest import quick_config

    paths = make_files(tmp_path / "in", 200)
    journal = tmp_path / "journal"
    child = subprocess.run(
        [sys.executable, "-c", CHILD, node.tracker_addrs[0], str(tmp_path / "in"), str(journal)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert child.returncode == 9, child.stderr
    reported = dict(line.split() for line in child.stdout.splitlines())
    assert len(reported) == 50
    with Client(quick_config(node.tracker_addrs)) as client:
        results = list(client.upload_many(paths, journal=journal))
        assert len(results) == 200
        for result in results:
            if str(result.item) in reported:
                assert result.skipped
                assert result.value == reported[str(result.item)]
            assert client.download_file(result.unwrap()) == result.item.read_bytes()


def test_storages_that_come_and_go_during_a_batch(node: Node, make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(node.tracker_addrs)
    done = threading.Event()

    def trouble() -> None:
        for storage in itertools.cycle(node.storages):
            if done.wait(0.05):
                return
            storage.kill(noticed=False)
            if done.wait(0.05):
                storage.start()
                return
            storage.start()

    troublemaker = threading.Thread(target=trouble)
    troublemaker.start()
    contents = [b"%d " % number * (1 + number % 50 * 400) for number in range(400)]
    try:
        results = list(client.upload_many([UploadItem(data, "txt") for data in contents]))
    finally:
        done.set()
        troublemaker.join()
    for storage in node.storages:
        storage.start()
    assert sorted(result.index for result in results) == list(range(400))
    good = [result for result in results if result.ok]
    assert len({result.value for result in good}) == len(good)
    assert len(good) > 200
    for result in good:
        assert client.download_file(result.unwrap()) == contents[result.index]
