"""Trackers that are down, silent, or none at all: another serves, or the exception names them."""

from __future__ import annotations

import socket
import time

import pytest

from fastxfer.fdfs import (
    ConnectionTimeoutError,
    InvalidResponseError,
    NetworkError,
    TrackerServerOfflineError,
)
from fastxfer.fdfs.node import Node
from tests.fdfs.conftest import MakeClient
from tests.fdfs.failing import (
    closed_port,
    peer,
)


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
