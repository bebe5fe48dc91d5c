"""Time, room and cancelling: nothing takes longer than it may, and what is stopped leaves nothing behind."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from fastxfer.fdfs import (
    CancelToken,
    Client,
    ClientClosedError,
    NetworkTimeoutError,
    PoolTimeoutError,
    TransferCancelledError,
    parse_file_id,
)
from fastxfer.fdfs.node import Fault, Node
from tests.fdfs.conftest import MakeClient, quick_config
from tests.fdfs.failing import (
    DOWNLOAD,
    INFO,
    UPLOAD,
    content,
)


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
