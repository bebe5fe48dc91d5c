"""One file over several connections, some of which fail."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fastxfer.fdfs import (
    CancelToken,
    InsufficientSpaceError,
    IntegrityError,
    ProtocolError,
    TransferCancelledError,
)
from fastxfer.fdfs.node import Fault, Node
from tests.fdfs.conftest import MakeClient
from tests.fdfs.failing import (
    DOWNLOAD,
    content,
    stored,
)


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


def test_a_segment_that_fails_ends_those_that_would_have_gone_on(
    node: Node, make_client: MakeClient, tmp_path: Path
) -> None:
    client = make_client(node.tracker_addrs, network_timeout=3600.0)
    file_id = client.upload_buffer(content(6_000_000), "bin")
    node.inject(Fault("group1", DOWNLOAD, stall=True))
    node.inject(Fault("group1", DOWNLOAD, status=5, times=None))
    with pytest.raises(ProtocolError):
        client.download_segmented(file_id, tmp_path / "copy", segments=4)
    assert not (tmp_path / "copy").exists()


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
