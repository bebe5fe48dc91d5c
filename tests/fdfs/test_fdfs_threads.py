"""Threads: none to be had, interrupted while others are waited for, forked away."""

from __future__ import annotations

import os
import threading
import time
import warnings
from pathlib import Path

import pytest

from fastxfer.fdfs import Client
from fastxfer.fdfs.node import Fault, Node
from tests.fdfs.conftest import quick_config

DOWNLOAD, LIST_STORAGE = 14, 92


def threads_named(prefix: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(prefix)]


def allow_threads(monkeypatch: pytest.MonkeyPatch, prefix: str, count: int) -> None:
    """Only *count* threads whose names begin so can be started."""
    start = threading.Thread.start
    left = count

    def limited(thread: threading.Thread) -> None:
        nonlocal left
        if thread.name.startswith(prefix):
            if not left:
                raise RuntimeError("can't start new thread")
            left -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)


def test_segments_for_which_there_are_not_enough_threads(
    node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Client(quick_config(node.tracker_addrs)) as client:
        file_id = client.upload_buffer(os.urandom(4_500_000), "bin")
        node.inject(Fault("group1", DOWNLOAD, stall=True, times=None))
        allow_threads(monkeypatch, "fastxfer-segment", 2)
        with pytest.raises(RuntimeError, match="new thread"):
            client.download_segmented(file_id, tmp_path / "copy", segments=4)
    assert not threads_named("fastxfer-segment"), "none may go on writing where the file's descriptor was"
    assert not list(tmp_path.glob("*copy*"))


def test_ctrl_c_leaves_no_segment_behind(node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    join = threading.Thread.join
    interrupted = []

    def interrupt(thread: threading.Thread, timeout: float | None = None) -> None:
        if thread.name.startswith("fastxfer-segment") and not interrupted:
            interrupted.append(thread.is_alive())
            raise KeyboardInterrupt
        join(thread, timeout)

    with Client(quick_config(node.tracker_addrs)) as client:
        file_id = client.upload_buffer(os.urandom(4_500_000), "bin")
        client.get_file_info(file_id)
        # The first segment, which the caller's own thread carries, or another comes; the others do not.
        node.inject(Fault("group1", DOWNLOAD, delay=0.2, times=1))
        stall = node.inject(Fault("group1", DOWNLOAD, stall=True, times=None))
        monkeypatch.setattr(threading.Thread, "join", interrupt)
        timer = threading.Timer(20, lambda: node.faults.remove(stall))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            client.download_segmented(file_id, tmp_path / "copy", segments=2, timeout=15)
        timer.cancel()
    assert interrupted
    assert not threads_named("fastxfer-segment")
    assert not list(tmp_path.glob("*copy*"))


def test_without_a_thread_what_is_known_of_the_cluster_serves_on(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(quick_config(node.tracker_addrs, topology_age=0.01, upload_target_age=0.01)) as client:
        file_id = client.upload_buffer(b"one", "txt")
        client.download_file(file_id)
        allow_threads(monkeypatch, "fastxfer-refresh", 0)
        # The claim of a refresh lasts a second at least: one of these meets the need for one.
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            assert client.download_file(file_id) == b"one"
            client.delete_file(client.upload_buffer(b"two", "txt"))
            time.sleep(0.05)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_batch_makes_do_with_the_threads_there_are(node: Node, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    with Client(quick_config(node.tracker_addrs)) as client:
        ids = [client.upload_buffer(b"%d" % number, "txt") for number in range(50)]
        allow_threads(monkeypatch, "fastxfer-batch", threads)
        results = list(client.download_many(ids, ordered=True))
        assert [result.unwrap() for result in results] == [b"%d" % number for number in range(50)]
    assert not threads_named("fastxfer-batch")


def test_a_batch_without_any_thread_is_an_error(node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Client(quick_config(node.tracker_addrs)) as client:
        allow_threads(monkeypatch, "fastxfer-batch", 0)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="new thread"):
                list(client.upload_many([tmp_path / "any"], journal=tmp_path / "journal"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_waits_for_no_question_of_its_parent(node: Node) -> None:
    with Client(quick_config(node.tracker_addrs)) as client, Client(quick_config(node.tracker_addrs)) as other:
        file_id = other.upload_buffer(b"content", "txt")
        stall = node.inject(Fault("tracker", LIST_STORAGE, stall=True, times=1))
        asking = threading.Thread(target=client.download_file, args=(file_id,))
        asking.start()
        end = time.monotonic() + 60
        while not stall.hits and time.monotonic() < end:
            time.sleep(0.01)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if not child:
            try:
                os._exit(0 if client.download_file(file_id) == b"content" else 1)
            finally:
                os._exit(2)
        gone, status = 0, -1
        while not gone and time.monotonic() < end:
            gone, status = os.waitpid(child, os.WNOHANG)
            time.sleep(0.01)
        if not gone:
            os.kill(child, 9)
            os.waitpid(child, 0)
        for tracker in node.trackers:
            tracker.kill()
            tracker.start()
        asking.join()
        assert (gone, status) == (child, 0)
