"""Wrong use of exchanges and of watches, and their end."""

from __future__ import annotations

import socket
import sys

import pytest

from tests.core.exchange.conftest import Peer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="exchanges need epoll")


def test_wrong_use_is_refused(peer: Peer) -> None:
    exchange = peer.exchange
    with pytest.raises(ValueError, match="data connection"):
        exchange.begin(b"RETR a\r\n", 1, 0)
    with pytest.raises(ValueError, match="without a transfer"):
        exchange.begin(b"RNFR a\r\n", 1, payload=b"x")
    with pytest.raises(ValueError, match="none of"):
        exchange.begin(b"", 0)
    with pytest.raises(ValueError, match="none of"):
        exchange.begin(b"EPSV\r\n", 1, 1, 0)
    with pytest.raises(TypeError):
        exchange.begin(b"EPSV\r\nSTOR a\r\n", 2, 1, 0, payload="text")
    peer.server.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.server.recv(1)
    exchange.begin(b"EPSV\r\nRETR a\r\n", 2, 1, 0)
    with pytest.raises(RuntimeError):
        exchange.begin(b"EPSV\r\nRETR a\r\n", 2, 1, 0)
    for arguments in ((-1, socket.AF_INET, "127.0.0.1"), (0, socket.AF_UNIX, "x")):
        with pytest.raises(ValueError, match=r"descriptor|family"):
            peer.module.Exchange(*arguments)
    with pytest.raises(OSError, match="illegal"):
        peer.module.Exchange(0, socket.AF_INET, "not an address")


def test_only_what_is_received_goes_to_a_file(peer: Peer) -> None:
    with pytest.raises(ValueError, match="file"):
        peer.exchange.begin(b"NOOP\r\n", 1, file=0)
    with pytest.raises(ValueError, match="file"):
        peer.exchange.begin(b"EPSV\r\nSTOR a\r\n", 2, 1, 0, payload=b"x", file=0)


def test_what_follows_must_have_something_to_follow(peer: Peer) -> None:
    for arguments in (
        {"finals": 2, "transfer_at": 1, "payload": b"x"},
        {"finals": 3, "transfer_at": 1},
        {"finals": 3, "transfer_at": 1, "payload": b"x", "named_at": 3},
        {"finals": 3, "transfer_at": 1, "payload": b"x", "then": b""},
    ):
        with pytest.raises(ValueError, match="follow"):
            peer.exchange.begin(b"EPSV\r\nSTOR a\r\n", address_at=0, **{"then": b"RNFR a\r\n", **arguments})


def test_a_closed_watch_and_a_closed_exchange_let_go(peer: Peer) -> None:
    watch = peer.module.Watch()
    watch.join(peer.exchange)
    peer.server.sendall(peer.listening)
    peer.exchange.begin(b"EPSV\r\nRETR a\r\n", 2, 1, 0)
    watch.submit(peer.exchange)
    peer.exchange.close()
    assert not watch.active
    assert watch.ready() == []
    assert peer.exchange.done
    watch.close()
    watch.close()
    with pytest.raises(RuntimeError):
        watch.join(peer.exchange)
