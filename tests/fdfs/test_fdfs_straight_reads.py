"""Files are fetched straight from their source: how many questions that spares, and what it costs where it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastxfer.fdfs import (
    parse_file_id,
)
from fastxfer.fdfs.node import Fault, Node, NodeConfig
from tests.fdfs.conftest import MakeClient
from tests.fdfs.failing import (
    DOWNLOAD,
    FETCH_ALL,
    UPDATE,
)


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
