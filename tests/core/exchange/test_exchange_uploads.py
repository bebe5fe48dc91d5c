"""An exchange that sends: the file, its confirmation, and the name that it gets then."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

import pytest

from tests.core.conftest import read_all
from tests.core.exchange.conftest import PATIENCE, Peer, commands_within, serve, upload_and_name

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="exchanges need epoll")


def test_an_upload_goes_out_at_once(peer: Peer, carry: Any) -> None:
    content = os.urandom(20_000)
    taken = []

    def answer() -> None:
        peer.server.sendall(peer.listening)
        data = peer.accept()
        piece = read_all(data)
        taken.append(piece)
        peer.server.sendall(b"150 send\r\n226 got it\r\n")

    thread = serve(peer, answer)
    peer.exchange.begin(b"EPSV\r\nSTOR a\r\n", 2, 1, 0, payload=content)
    carry()
    thread.join()
    assert taken == [content]
    assert peer.exchange.ended
    assert peer.exchange.sent == len(content)
    assert peer.exchange.next_age == -1


def test_what_is_to_follow_goes_out_when_the_upload_is_confirmed(peer: Peer, carry: Any) -> None:
    seen: list[bytes] = []

    def answer() -> None:
        for leaving in (True, False):
            seen.append(commands_within(peer, PATIENCE))
            peer.server.sendall(peer.listening)
            seen.append(read_all(peer.accept()))
            peer.server.sendall(b"150 send\r\n")
            seen.append(commands_within(peer, 0.05))
            peer.server.sendall(b"226 got it\r\n")
            seen.append(commands_within(peer, PATIENCE))
            peer.server.sendall(b"350 to what?\r\n250 so be it\r\n" + (b"" if leaving else peer.listening))

    thread = serve(peer, answer)
    upload_and_name(peer, leave_next=True)
    carry()
    assert peer.exchange.ordinary
    assert peer.exchange.owes
    peer.exchange.take_rest()
    upload_and_name(peer)
    carry()
    thread.join()
    assert peer.exchange.ordinary
    assert peer.exchange.next_age >= 0
    assert peer.exchange.then_sent == 22
    assert seen == [b"EPSV\r\nSTOR a\r\n", b"12345", b"", b"RNFR a\r\nRNTO b\r\nEPSV\r\n"] * 2


@pytest.mark.parametrize(
    ("verdict", "answers", "followed", "ordinary"),
    [
        (b"226 got it", b"350 to what?\r\n250 so be it", True, True),
        (b"226-got it\r\n226 all", b"350-to\r\n350 what?\r\n250-so\r\n250 be it", True, True),
        (b"226 got it", b"250 to what?\r\n250 so be it", True, False),
        (b"226 got it", b"550 what?\r\n503 RNFR first", True, False),
        (b"226 got it", b"350 to what?\r\n553 no", True, False),
        (b"226 got it\r\n226 again", b"", False, False),
        (b"226 got it\r\n2", b"", False, False),
        (b"452 the disk is full", b"", False, False),
        (b"552 the disk is full", b"", False, False),
    ],
)
def test_a_name_is_given_to_what_is_confirmed_only(
    peer: Peer, carry: Any, verdict: bytes, answers: bytes, followed: bool, ordinary: bool
) -> None:
    seen: list[bytes] = []

    def answer() -> None:
        commands_within(peer, PATIENCE)
        peer.server.sendall(peer.listening)
        read_all(peer.accept())
        peer.server.sendall(b"150 send\r\n" + verdict + b"\r\n" * (not verdict.endswith(b"2")))
        if followed:
            seen.append(commands_within(peer, PATIENCE))
            peer.server.sendall(answers + b"\r\n" + peer.listening)

    thread = serve(peer, answer)
    upload_and_name(peer)
    carry()
    thread.join()
    assert bool(peer.exchange.then_sent) is followed
    assert peer.exchange.ordinary is ordinary
    assert commands_within(peer, 0) == b""


@pytest.mark.parametrize("naming", [True, False])
def test_a_verdict_without_a_consent_before_it_is_not_about_the_upload(peer: Peer, carry: Any, naming: bool) -> None:
    peer.server.sendall(peer.listening + b"226 of what was before\r\n")
    thread = serve(peer, lambda: read_all(peer.accept()))
    if naming:
        upload_and_name(peer)
    else:
        peer.exchange.begin(b"EPSV\r\nSTOR a\r\nEPSV\r\n", 3, 1, 0, 2, b"12345", leave_next=True)
    carry()
    thread.join()
    assert not peer.exchange.ordinary
    assert not peer.exchange.owes
    assert peer.exchange.then_sent == 0


def test_a_verdict_that_comes_before_all_was_sent_is_none(peer: Peer, carry: Any) -> None:
    payload = bytes(30_000_000)
    peer.server.sendall(peer.listening + b"150 send\r\n226 enough\r\n")
    peer.exchange.begin(b"EPSV\r\nSTOR a\r\n", 4, 1, 0, -1, payload, then=b"RNFR a\r\nRNTO b\r\n", named_at=3)
    carry()
    assert not peer.exchange.ended
    assert peer.exchange.then_sent == 0
    assert not peer.exchange.ordinary
    peer.accept()


def test_nothing_is_sent_over_a_connection_that_is_open_and_not_before(peer: Peer, carry: Any) -> None:
    """Of a queue that is full there is no telling whether the server will ever have the connection."""
    peer.listener.listen(0)
    waiting = []
    try:
        for _ in range(3):
            one = socket.socket()
            waiting.append(one)
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", peer.port))
        peer.server.sendall(peer.listening + b"150 send\r\n")
        peer.exchange.begin(b"EPSV\r\nSTOR a\r\n", 2, 1, 0, payload=b"")
        carry(0.05)
    finally:
        for one in waiting:
            one.close()
    assert not peer.exchange.ended
    assert not peer.exchange.connected


def test_replies_that_are_shorter_than_those_before_are_taken_all_the_same(peer: Peer, carry: Any) -> None:
    long = b"150 it may be sent, and this server makes many words of it\r\n"

    def answer() -> None:
        for number in range(5):
            commands_within(peer, PATIENCE)
            peer.server.sendall(peer.listening)
            read_all(peer.accept())
            peer.server.sendall(long if number < 2 else b"150 x\r\n")
            if number == 4:
                peer.server.sendall(b"451 x\r\n")
                return
            peer.server.sendall(b"226 x\r\n")
            commands_within(peer, PATIENCE)
            peer.server.sendall((b"350 the name may be said now\r\n" if number < 3 else b"350 x\r\n") + b"250 x\r\n")

    thread = serve(peer, answer)
    for number in range(5):
        upload_and_name(peer, leave_next=True)
        carry()
        assert peer.exchange.ordinary is (number < 4)
        assert peer.client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1
        peer.exchange.take_rest()
    thread.join()
