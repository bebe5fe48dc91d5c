"""Small files over FTP in one go, compiled and pure: the ordinary course, and leaving everything else to the caller."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.core.conftest import core_module

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="exchanges need epoll")

PATIENCE = 30.0


class Peer:
    """A control connection, and the server's side of it and of its data connections, in this thread's hands."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.port = self.listener.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as door:
            self.client = socket.create_connection(door.getsockname())
            self.server, _ = door.accept()
        self.client.setblocking(False)
        self.exchange = module.Exchange(self.client.fileno(), socket.AF_INET, "127.0.0.1")
        self.data: list[socket.socket] = []

    def accept(self) -> socket.socket:
        self.data.append(self.listener.accept()[0])
        return self.data[-1]

    @property
    def listening(self) -> bytes:
        return b"229 Extended Passive Mode (|||%d|)\r\n" % self.port

    def close(self) -> None:
        self.exchange.close()
        for sock in (self.client, self.server, self.listener, *self.data):
            sock.close()


@pytest.fixture
def peer(implementation: str) -> Iterator[Peer]:
    found = Peer(core_module("ftpexchange", implementation))
    with contextlib.closing(found):
        yield found


@pytest.fixture(params=["run", "watch"])
def carry(request: pytest.FixtureRequest, peer: Peer) -> Iterator[Any]:
    """Carries an exchange that was begun to its end, as a blocking client or an event loop does."""
    if request.param == "run":
        yield lambda patience=PATIENCE: peer.exchange.run(patience)
        return
    watch = peer.module.Watch()
    watch.join(peer.exchange)

    def wait(patience: float = PATIENCE) -> None:
        watch.submit(peer.exchange)
        while peer.exchange in watch.active:
            select.select([watch], [], [], 0.01)
            watch.ready()
            watch.silent(patience)
        assert peer.exchange.done

    with contextlib.closing(watch):
        yield wait


def serve(peer: Peer, work: Any) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


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


def test_an_upload_goes_out_at_once(peer: Peer, carry: Any) -> None:
    content = os.urandom(20_000)
    taken = []

    def answer() -> None:
        peer.server.sendall(peer.listening)
        data = peer.accept()
        piece = b"".join(iter(lambda: data.recv(65536), b""))
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
        rest = b"".join(iter(lambda: data.recv(1 << 20), b""))
    thread.join()
    assert peer.exchange.body + rest == content


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


def test_commands_that_do_not_fit_are_not_begun(peer: Peer) -> None:
    peer.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    request = b"NOOP\r\n" * 3_000_000
    sent = peer.exchange.begin(request, 2, 1, 0)
    assert sent < len(request)
    assert peer.exchange.done


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


def test_quiet_is_a_connection_on_which_nothing_lies_unread(peer: Peer) -> None:
    assert peer.exchange.quiet
    peer.server.sendall(b"421 going\r\n")
    select.select([peer.client], [], [], PATIENCE)
    assert not peer.exchange.quiet
    assert peer.client.recv(100) == b"421 going\r\n"
    peer.server.close()
    select.select([peer.client], [], [], PATIENCE)
    assert not peer.exchange.quiet


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


def test_only_what_is_received_goes_to_a_file(peer: Peer) -> None:
    with pytest.raises(ValueError, match="file"):
        peer.exchange.begin(b"NOOP\r\n", 1, file=0)
    with pytest.raises(ValueError, match="file"):
        peer.exchange.begin(b"EPSV\r\nSTOR a\r\n", 2, 1, 0, payload=b"x", file=0)


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


def upload_and_name(peer: Peer, **named: Any) -> None:
    """Begin an upload that gets its name and the next one's connection asked for once it is confirmed."""
    peer.exchange.begin(
        b"EPSV\r\nSTOR a\r\n", 5, 1, 0, 4, b"12345", then=b"RNFR a\r\nRNTO b\r\nEPSV\r\n", named_at=3, **named
    )


def take_all(data: socket.socket) -> bytes:
    return b"".join(iter(lambda: data.recv(65536), b""))


def commands_within(peer: Peer, seconds: float) -> bytes:
    """What comes on the control connection, waited for so long."""
    ready, _, _ = select.select([peer.server], [], [], seconds)
    return peer.server.recv(1000) if ready else b""


def test_what_is_to_follow_goes_out_when_the_upload_is_confirmed(peer: Peer, carry: Any) -> None:
    seen: list[bytes] = []

    def answer() -> None:
        for leaving in (True, False):
            seen.append(commands_within(peer, PATIENCE))
            peer.server.sendall(peer.listening)
            seen.append(take_all(peer.accept()))
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
        take_all(peer.accept())
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
    thread = serve(peer, lambda: take_all(peer.accept()))
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
            take_all(peer.accept())
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


def test_what_follows_must_have_something_to_follow(peer: Peer) -> None:
    for arguments in (
        {"finals": 2, "transfer_at": 1, "payload": b"x"},
        {"finals": 3, "transfer_at": 1},
        {"finals": 3, "transfer_at": 1, "payload": b"x", "named_at": 3},
        {"finals": 3, "transfer_at": 1, "payload": b"x", "then": b""},
    ):
        with pytest.raises(ValueError, match="follow"):
            peer.exchange.begin(b"EPSV\r\nSTOR a\r\n", address_at=0, **{"then": b"RNFR a\r\n", **arguments})
