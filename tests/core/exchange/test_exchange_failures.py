"""What ends an exchange as it stands: refusals, odd answers, broken connections, silence."""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
import threading
from typing import Any

import pytest

from tests.core.exchange.conftest import PATIENCE, Peer, serve

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="exchanges need epoll")


def test_a_refusal_ends_it_and_leaves_the_rest_unread(peer: Peer, carry: Any) -> None:
    peer.server.sendall(peer.listening + b"550 no such file\r\n")
    peer.exchange.begin(b"EPSV\r\nRETR a\r\nEPSV\r\n", 3, 1, 0, 2)
    carry()
    assert peer.exchange.replies.endswith(b"550 no such file\r\n")
    assert not peer.exchange.ended
    os.close(peer.exchange.detach())
    assert peer.exchange.detach() == -1


@pytest.mark.parametrize(
    "answer",
    [
        b"227 Entering (127,0,0,1,4,5)\r\n",
        b"229 nothing\r\n",
        b"229 (|||0|)\r\n",
        b"229 (|||70000|)\r\n",
        b"229 (|||12x|)\r\n",
        b"229 (1112121)\r\n",
        b"522 no\r\n",
        b"hello\r\n",
        b"999 odd\r\n",
        b"x" * 9000,
    ],
)
def test_an_odd_answer_to_epsv_is_left_to_the_caller(peer: Peer, carry: Any, answer: bytes) -> None:
    peer.server.sendall(answer)
    peer.exchange.begin(b"EPSV\r\nRETR a\r\n", 2, 1, 0)
    carry()
    assert peer.exchange.replies == answer[:8192]
    assert peer.exchange.detach() == -1
    assert not peer.exchange.ended


def test_a_data_port_that_refuses(peer: Peer, carry: Any) -> None:
    peer.listener.close()
    peer.server.sendall(peer.listening + b"150 connect to me\r\n")
    peer.exchange.begin(b"EPSV\r\nRETR a\r\n", 2, 1, 0)
    carry()
    assert peer.exchange.data_error == errno.ECONNREFUSED
    assert not peer.exchange.connected


def test_a_broken_data_connection(peer: Peer, carry: Any) -> None:
    peer.server.sendall(peer.listening + b"150 now\r\n")
    peer.exchange.begin(b"EPSV\r\nRETR a\r\n", 2, 1, 0)

    def answer() -> None:
        data = peer.accept()
        data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        data.close()

    thread = serve(peer, answer)
    carry()
    thread.join()
    assert peer.exchange.data_error == errno.ECONNRESET
    assert not peer.exchange.ended


def test_a_control_connection_that_ends(peer: Peer, carry: Any) -> None:
    peer.server.sendall(b"421 bye\r\n")
    peer.server.shutdown(socket.SHUT_WR)
    peer.exchange.begin(b"EPSV\r\nRETR a\r\n", 2, 1, 0)
    carry()
    assert peer.exchange.replies == b"421 bye\r\n"


def test_silence_ends_it_as_it_stands(peer: Peer, carry: Any) -> None:
    peer.server.sendall(peer.listening + b"150 now\r\n")
    peer.exchange.begin(b"EPSV\r\nRETR a\r\n", 2, 1, 0)
    carry(0.05)
    assert peer.exchange.replies.endswith(b"150 now\r\n")
    fd = peer.exchange.detach()
    assert fd >= 0
    os.close(fd)


@pytest.mark.parametrize("piece", [b"2", b"150 soon\r\n"], ids=["pieces", "promises"])
def test_replies_that_only_trickle_are_left_to_the_caller(peer: Peer, carry: Any, piece: bytes) -> None:
    leave = threading.Event()

    def trickle() -> None:
        while not leave.wait(0.02):
            peer.server.sendall(piece)

    peer.exchange.begin(b"EPSV\r\nRETR a\r\n", 2, 1, 0)
    thread = serve(peer, trickle)
    try:
        carry(0.3)
    finally:
        leave.set()
        thread.join()
    # Given up long before the room for replies was full.
    assert len(peer.exchange.replies) < 4096


def test_commands_that_do_not_fit_are_not_begun(peer: Peer) -> None:
    peer.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    request = b"NOOP\r\n" * 3_000_000
    sent = peer.exchange.begin(request, 2, 1, 0)
    assert sent < len(request)
    assert peer.exchange.done


def test_quiet_is_a_connection_on_which_nothing_lies_unread(peer: Peer) -> None:
    assert peer.exchange.quiet
    peer.server.sendall(b"421 going\r\n")
    select.select([peer.client], [], [], PATIENCE)
    assert not peer.exchange.quiet
    assert peer.client.recv(100) == b"421 going\r\n"
    peer.server.close()
    select.select([peer.client], [], [], PATIENCE)
    assert not peer.exchange.quiet
