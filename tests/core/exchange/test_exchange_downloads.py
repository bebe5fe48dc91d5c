"""An exchange that receives: the file, the connection for the next, and what an ordinary course is."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import Any

import pytest

from tests.core.conftest import read_all
from tests.core.exchange.conftest import PATIENCE, Peer, serve

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="exchanges need epoll")


def test_a_download_and_the_next_over_the_connection_opened_in_advance(peer: Peer, carry: Any) -> None:
    exchange = peer.exchange
    contents = [os.urandom(5000), b"", os.urandom(70_000)]

    def answer() -> None:
        for number, content in enumerate(contents):
            if not number:
                peer.server.sendall(peer.listening)
            data = peer.accept()
            peer.server.sendall(b"150-coming\r\n 226 not yet\r\n150 now\r\n")
            data.sendall(content)
            data.close()
            peer.server.sendall(b"226 Done\r\n" + peer.listening)

    thread = serve(peer, answer)
    for number, content in enumerate(contents):
        ahead = number > 0
        request = b"RETR a\r\nEPSV\r\n" if ahead else b"EPSV\r\nRETR a\r\nEPSV\r\n"
        at = {"transfer_at": 0, "next_at": 1} if ahead else {"transfer_at": 1, "address_at": 0, "next_at": 2}
        assert exchange.begin(request, 2 if ahead else 3, limit=100_000, **at) == len(request)
        carry()
        assert exchange.ended
        assert exchange.connected
        assert exchange.body == content
        assert exchange.replies.endswith(peer.listening)
        assert 0 <= exchange.next_age < PATIENCE
        assert exchange.detach() == -1
        assert exchange.data_error == 0
    thread.join()
    assert peer.server.recv(1000, socket.MSG_DONTWAIT).count(b"RETR") == 3


def test_a_long_body_is_handed_over_in_the_middle(peer: Peer, carry: Any) -> None:
    content = os.urandom(3_000_000)

    def answer() -> None:
        peer.server.sendall(peer.listening + b"150 much\r\n")
        data = peer.accept()
        data.sendall(content)
        data.close()

    thread = serve(peer, answer)
    peer.exchange.begin(b"EPSV\r\nRETR a\r\n", 2, 1, 0)
    carry()
    assert not peer.exchange.ended
    assert len(peer.exchange.body) > 65536
    with socket.socket(fileno=peer.exchange.detach()) as data:
        data.setblocking(True)
        rest = read_all(data)
    thread.join()
    assert peer.exchange.body + rest == content


def test_replies_that_come_byte_by_byte(peer: Peer, carry: Any) -> None:
    def answer() -> None:
        replies = b"213-three\r\n226 is it?\r\n 213\r\n213 5\r\n" + peer.listening + b"150 now\r\n226 done\r\n"
        for byte in replies:
            peer.server.sendall(bytes([byte]))
        data = peer.accept()
        data.sendall(b"12345")
        data.close()

    peer.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    thread = serve(peer, answer)
    peer.exchange.begin(b"SIZE a\r\nEPSV\r\nRETR a\r\n", 3, 2, 1)
    carry()
    thread.join()
    assert peer.exchange.body == b"12345"
    assert peer.exchange.ended


@pytest.mark.parametrize(
    ("size", "code", "verdict", "after", "ordinary"),
    [
        (b"213 5", b"150", b"226 done", b"", True),
        (b"213   5 ", b"125", b"250 done", b"", True),
        (b"213-in\r\n213 5", b"150", b"226-well\r\n226 done", b"", True),
        (b"213 6", b"150", b"226 done", b"", False),
        (b"213 5x", b"150", b"226 done", b"", False),
        (b"213 ", b"150", b"226 done", b"", False),
        (b"213 5555555555555555555", b"150", b"226 done", b"", False),
        (b"550 no", b"150", b"226 done", b"", False),
        (b"213 5", b"150", b"451 no", b"", False),
        (b"213 5", b"150", b"226 done", b"226 again\r\n", False),
    ],
)
def test_what_is_ordinary(
    peer: Peer, carry: Any, tmp_path: Any, size: bytes, code: bytes, verdict: bytes, after: bytes, ordinary: bool
) -> None:
    def answer() -> None:
        data = peer.accept()
        data.sendall(b"12345")
        data.close()

    peer.server.sendall(size + b"\r\n" + peer.listening + code + b" now\r\n" + verdict + b"\r\n" + after)
    thread = serve(peer, answer)
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    with contextlib.closing(os.fdopen(file)):
        peer.exchange.begin(b"SIZE a\r\nEPSV\r\nRETR a\r\n", 3, 2, 1, size_at=0, file=file)
        assert not peer.exchange.ordinary
        carry()
        thread.join()
        assert peer.exchange.ordinary is ordinary
        assert peer.exchange.received == len(peer.exchange.body)
        if ordinary:
            assert os.pread(file, 100, 0) == b"12345"


def test_a_file_that_takes_no_bytes_is_not_ordinary(peer: Peer, carry: Any) -> None:
    def answer() -> None:
        data = peer.accept()
        data.sendall(b"12345")
        data.close()

    peer.server.sendall(peer.listening + b"150 now\r\n226 done\r\n")
    thread = serve(peer, answer)
    with open("/dev/full", "wb", buffering=0) as full:
        peer.exchange.begin(b"EPSV\r\nRETR a\r\n", 2, 1, 0, file=full.fileno())
        carry()
    thread.join()
    assert peer.exchange.body == b"12345"
    assert peer.exchange.ended
    assert not peer.exchange.ordinary
