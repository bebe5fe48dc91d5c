"""Replies in good form that say what cannot be: each is an error of ours, or another server is asked."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest

from fastxfer.core.wire import pack_header
from fastxfer.fdfs import FastDFSError, InvalidResponseError, NetworkError
from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.commands.tracker import query_store_all
from fastxfer.fdfs.config import Settings
from fastxfer.fdfs.node import Fault, Node
from fastxfer.fdfs.plans.tracking import _ask_often
from fastxfer.fdfs.steps import Pipeline
from tests.fdfs.conftest import MakeClient, quick_config

UPLOAD, DOWNLOAD, INFO, REGENERATE = 11, 14, 22, 38
LIST_ONE_GROUP, GET_LEADER = 90, 95
STORE_ONE, STORE_ALL, LIST_STORAGE = 101, 106, 92


def reply(body: bytes, status: int = 0) -> bytes:
    return pack_header(len(body), 100, status) + body


@pytest.mark.parametrize(("size", "time"), [(-1, 0), (5, 1 << 62), (5, -(1 << 62))])
def test_file_information_that_cannot_be(node: Node, make_client: MakeClient, size: int, time: int) -> None:
    client = make_client(node.tracker_addrs, retry_count=1)
    file_id = client.upload_buffer(b"hello", "txt")
    node.inject(Fault("group1", INFO, times=None, reply=reply(struct.pack(">qqq16s", size, time, 0, b"127.0.0.1"))))
    with pytest.raises(InvalidResponseError):
        client.get_file_info(file_id)


@pytest.mark.parametrize("name", [b"M00/../../etc/passwd", b"../M00", b"x", b"M00/00/00/short.txt"])
def test_a_new_file_id_that_is_none(node: Node, make_client: MakeClient, name: bytes) -> None:
    client = make_client(node.tracker_addrs)
    node.inject(Fault("group1", UPLOAD, times=None, reply=reply(b"group1".ljust(16, b"\0") + name)))
    with pytest.raises(InvalidResponseError, match="bad file ID"):
        client.upload_buffer(b"hello", "txt")


@pytest.mark.parametrize("host", [b"\xff\xfe", b"1..2", b"a b"])
def test_an_address_that_is_none(node: Node, make_client: MakeClient, host: bytes) -> None:
    client = make_client(node.tracker_addrs, retry_count=1, upload_target_age=0)
    for command, layout in ((STORE_ONE, ">16s15sqB"), (STORE_ALL, ">16s15sqB")):
        node.inject(Fault("tracker", command, times=None, reply=reply(struct.pack(layout, b"group1", host, 23000, 0))))
    with pytest.raises(NetworkError, match="connect"):
        client.upload_buffer(b"hello", "txt")


@pytest.mark.parametrize("leader", [b"", b"\0" * 40, b"group1", b"h:0", b"\xff" * 39])
def test_a_leader_that_is_none(node: Node, make_client: MakeClient, leader: bytes) -> None:
    client = make_client(node.tracker_addrs[:1], retry_count=1)
    node.inject(Fault("tracker", GET_LEADER, times=None, reply=reply(leader)))
    for ask in (client.get_leader, client.tracker_cluster_stat, lambda: client.set_trunk_server("group1")):
        with pytest.raises(InvalidResponseError):
            ask()


def test_one_group_is_one(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs[:1], retry_count=1)
    for count in (0, 2):
        node.inject(Fault("tracker", LIST_ONE_GROUP, times=2, reply=reply(bytes(113 * count))))
        with pytest.raises(InvalidResponseError):
            client.get_group("group1")
    node.faults.clear()
    assert client.get_group("group1").group_name == "group1"


def test_more_than_was_asked_for_of_a_file_of_unknown_size(node: Node, make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(node.tracker_addrs, retry_count=1)
    file_id = client.upload_appender_buffer(b"hello", "log")
    lying = node.inject(Fault("group1", DOWNLOAD, times=None, reply=reply(b"12345678")))
    for download in (
        lambda: client.download_file_range(file_id, 1, 2),
        lambda: client.download_to_buffer(file_id, bytearray(10), 1, 2),
        lambda: client.download_to_file(file_id, tmp_path / "part", offset=1, length=2),
    ):
        with pytest.raises(InvalidResponseError, match="were asked for"):
            download()
    assert list(tmp_path.glob("part*")) == []
    node.faults.remove(lying)
    assert client.download_file_range(file_id, 1, 2) == b"el"


@pytest.mark.parametrize("tracker", ["a..b:22122", "\udcff:22122"])
def test_a_tracker_whose_name_is_none(make_client: MakeClient, tracker: str) -> None:
    with pytest.raises(NetworkError):
        make_client([tracker], retry_count=1).list_groups()


@pytest.mark.parametrize("port", [0, -1, 70_000, 1 << 40])
def test_a_storage_with_a_port_that_is_none(node: Node, make_client: MakeClient, port: int, tmp_path: Path) -> None:
    client = make_client(node.tracker_addrs)
    file_id = client.upload_buffer(b"hello", "txt")
    source = client.get_file_info(file_id).source_ip_addr.encode()
    record = struct.pack(">BB16s16s16s8s10q", 7, 6, source, source, b"", b"6.16", *[0] * 9, port)
    node.inject(Fault("tracker", LIST_STORAGE, times=None, reply=reply(record + bytes(12 + 336 + 1))))
    other = make_client(node.tracker_addrs)
    # The trackers' own choice serves.
    assert other.download_file(file_id) == b"hello"
    other.delete_file(file_id)


def test_of_a_flood_of_pipelined_replies_only_those_asked_for_are_read() -> None:
    cluster = Cluster(Settings(quick_config(["127.0.0.1:1"])))
    command = query_store_all()
    plan = _ask_often(cluster, command)
    assert isinstance(next(plan), Pipeline)
    good = reply(struct.pack(">16s15sqB", b"group1", b"127.0.0.1", 23000, 0))
    with pytest.raises(StopIteration) as end:
        plan.send(good * 100_000)
    assert len(end.value.value) == 8


@pytest.mark.parametrize("rubbish", [reply(b"rubbish"), b"\xff" * 10, pack_header(1 << 40, 100), b"short"])
def test_of_pipelined_replies_those_before_rubbish_are_used(rubbish: bytes) -> None:
    cluster = Cluster(Settings(quick_config(["127.0.0.1:1"])))
    plan = _ask_often(cluster, query_store_all())
    next(plan)
    good = reply(struct.pack(">16s15sqB", b"group1", b"127.0.0.1", 23000, 0))
    with pytest.raises(StopIteration) as end:
        plan.send(good * 3 + rubbish + good)
    assert len(end.value.value) == 3


def test_errors_are_of_the_library(node: Node, make_client: MakeClient) -> None:
    """Whatever bytes a server sends back: no struct.error, no UnicodeError, no OverflowError."""
    client = make_client(node.tracker_addrs, retry_count=1)
    file_id = client.upload_appender_buffer(b"hello", "txt")
    for body in (b"", b"\xff" * 24, b"\xff" * 40, b"\xff" * 70, b"\0" * 40, b"\x7f" * 487):
        for operation in (client.get_file_info, client.get_metadata, client.regenerate_appender_file):
            fault = node.inject(Fault("group1", times=None, reply=reply(body)))
            with contextlib.suppress(FastDFSError):
                operation(file_id)
            node.faults.remove(fault)
