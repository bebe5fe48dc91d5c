"""What an exchange leaves to the one after it: a connection, or a reply that is still owed."""

from __future__ import annotations

import os
import socket
import sys
import threading
from typing import Any

import pytest

from tests.core.exchange.conftest import PATIENCE, Peer, serve

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="exchanges need epoll")


def test_commands_alone_leave_the_next_data_connection_as_it_is(peer: Peer, carry: Any) -> None:
    def answer() -> None:
        peer.server.sendall(peer.listening)
        peer.accept().close()
        peer.server.sendall(b"150 now\r\n226 done\r\n" + peer.listening)
        peer.accept().sendall(b"next")
        assert peer.server.recv(1000)
        peer.server.sendall(b"350 from\r\n550 no\r\n")

    thread = serve(peer, answer)
    peer.exchange.begin(b"EPSV\r\nRETR a\r\nEPSV\r\n", 3, 1, 0, 2)
    carry()
    peer.exchange.begin(b"RNFR a\r\nRNTO b\r\n", 2)
    carry()
    thread.join()
    assert peer.exchange.replies == b"350 from\r\n550 no\r\n"
    assert peer.exchange.next_age >= 0
    with socket.socket(fileno=peer.exchange.detach_next()) as following:
        following.setblocking(True)
        assert following.recv(10) == b"next"


def test_the_last_reply_may_be_left_to_the_exchange_after_it(peer: Peer, carry: Any) -> None:
    exchange = peer.exchange
    told = threading.Event()

    def answer() -> None:
        peer.server.sendall(peer.listening + b"150 now\r\n")
        data = peer.accept()
        data.sendall(b"one")
        data.close()
        peer.server.sendall(b"226 done\r\n" + peer.listening[:7])
        assert told.wait(PATIENCE)
        peer.server.sendall(peer.listening[7:] + b"150 now\r\n")
        data = peer.accept()
        data.sendall(b"two")
        data.close()
        peer.server.sendall(b"226 done\r\n")

    thread = serve(peer, answer)
    exchange.begin(b"EPSV\r\nRETR a\r\nEPSV\r\n", 3, 1, 0, 2, leave_next=True)
    carry()
    assert exchange.ordinary
    assert exchange.owes
    assert exchange.next_age == -1
    with pytest.raises(ValueError, match="first reply"):
        exchange.begin(b"EPSV\r\nRETR b\r\n", 2, 1, 1)
    told.set()
    exchange.begin(b"RETR b\r\nEPSV\r\n", 3, 1, 0, 2, leave_next=True)
    carry()
    thread.join()
    assert exchange.ordinary
    assert exchange.body == b"two"
    assert exchange.owes
    assert exchange.replies.startswith(b"229 ")


def test_a_reply_that_is_owed_can_be_waited_for_or_taken_over(peer: Peer, carry: Any) -> None:
    exchange = peer.exchange
    for rest_comes in (True, False):
        thread = serve(peer, lambda: peer.accept().close())
        peer.server.sendall(peer.listening + b"150 now\r\n226 done\r\n229 ")
        exchange.begin(b"EPSV\r\nRETR a\r\nEPSV\r\n", 3, 1, 0, 2, leave_next=True)
        carry()
        thread.join()
        assert exchange.owes
        if rest_comes:
            peer.server.sendall(peer.listening[4:])
            exchange.resume()
            if not exchange.done:
                carry()
            assert not exchange.owes
            assert exchange.next_age >= 0
            os.close(exchange.detach_next())
            peer.accept()
            continue
        exchange.resume()
        carry(0.02)
        assert exchange.owes
        assert exchange.take_rest() == b"229 "
        assert not exchange.owes
    with pytest.raises(RuntimeError, match="owed"):
        exchange.resume()


def test_a_connection_may_be_taken_over_as_the_next(peer: Peer, carry: Any) -> None:
    def connected() -> int:
        data = socket.create_connection(("127.0.0.1", peer.port))
        data.setblocking(False)
        return data.detach()

    peer.exchange.adopt_next(connected(), 3.0)
    assert 3.0 <= peer.exchange.next_age < 3.0 + PATIENCE
    spare = connected()
    with pytest.raises(ValueError, match="already"):
        peer.exchange.adopt_next(spare)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(spare)
    peer.server.sendall(b"150 now\r\n226 done\r\n")
    peer.accept().sendall(b"12345")
    peer.data[0].close()
    peer.exchange.begin(b"RETR a\r\n", 1, 0)
    carry()
    assert peer.exchange.body == b"12345"
