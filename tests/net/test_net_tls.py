"""The TLS channel without a socket, and the pumps between two real ones."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import tracemalloc
from pathlib import Path

import pytest
import trustme

from fastxfer.net.tls import TLSSettings
from fastxfer.net.tls_channel import TLSChannel, TLSTruncatedError
from fastxfer.net.tls_pump import PumpCancelledError, PumpLimitError, ReceivePump, SendPump


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A client's and a server's that trust one another."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    client = TLSSettings(ca_data=authority.cert_pem.bytes().decode()).client_context()
    return client, server


def pair(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> tuple[TLSChannel, TLSChannel]:
    return TLSChannel(contexts[0], "localhost"), TLSChannel(contexts[1], None, server_side=True)


def shake_hands(left: TLSChannel, right: TLSChannel) -> None:
    done = [False, False]
    while not all(done):
        for index, (channel, other) in enumerate(((left, right), (right, left))):
            done[index] = channel.handshake()
            if data := channel.outgoing():
                other.feed(data)


def test_what_is_written_on_one_side_is_read_on_the_other(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    left, right = pair(contexts)
    shake_hands(left, right)
    content = os.urandom(100_000)
    left.write(content)
    cipher = left.outgoing()
    assert content[:100] not in cipher
    taken = bytearray()
    for start in range(0, len(cipher), 777):
        right.feed(cipher[start : start + 777])
        while piece := right.read():
            taken += piece
    assert bytes(taken) == content
    assert right.read() is None
    assert not left.close()
    right.feed(left.outgoing())
    assert right.read() == b""
    assert right.ended


def test_an_end_without_close_notify_is_told_apart(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    left, right = pair(contexts)
    shake_hands(left, right)
    left.write(b"some")
    right.feed(left.outgoing())
    right.feed_eof()
    assert right.read() == b"some"
    with pytest.raises(TLSTruncatedError):
        right.read()


def test_a_session_is_resumed_with_either_version(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        contexts[0].maximum_version = version
        left, right = pair(contexts)
        shake_hands(left, right)
        right.write(b"hello")
        left.feed(right.outgoing())
        assert left.read() == b"hello"
        assert not left.session_reused
        for _ in range(3):
            again, other = TLSChannel(contexts[0], "localhost", left.session), pair(contexts)[1]
            shake_hands(again, other)
            assert again.session_reused
            assert again.version == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
            again.close()
    contexts[0].maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        left = socket.create_connection(listener.getsockname())
        right, _ = listener.accept()
    left.setblocking(False)
    right.setblocking(False)
    return left, right


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("size", [0, 1, 16384, 5_000_001])
def test_a_file_is_pumped_from_end_to_end(
    tmp_path: Path, contexts: tuple[ssl.SSLContext, ssl.SSLContext], secure: bool, size: int
) -> None:
    content = os.urandom(size)
    (tmp_path / "source").write_bytes(content)
    left, right = connected()
    ours, theirs = pair(contexts) if secure else (None, None)
    with left, right, (tmp_path / "source").open("rb") as source, (tmp_path / "target").open("wb") as target:
        sender = SendPump(left, ours, fd=source.fileno(), idle_timeout=20)
        receiver = ReceivePump(right, theirs, fd=target.fileno(), idle_timeout=20)

        def receive() -> None:
            receiver.run()
            right.close()

        thread = threading.Thread(target=receive)
        thread.start()
        sender.run()
        thread.join()
    assert (sender.sent, receiver.received) == (size, size)
    assert (tmp_path / "target").read_bytes() == content


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_what_is_kept_in_memory_is_there_once(contexts: tuple[ssl.SSLContext, ssl.SSLContext], secure: bool) -> None:
    content = os.urandom(1 << 20) * 24
    left, right = connected()
    ours, theirs = pair(contexts) if secure else (None, None)
    with left, right:
        receiver = ReceivePump(right, theirs, idle_timeout=20)
        thread = threading.Thread(target=SendPump(left, ours, data=content, idle_timeout=20).run)
        tracemalloc.start()
        try:
            thread.start()
            receiver.run()
            body = receiver.body
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            right.close()
            thread.join()
    assert body == content
    assert most < 1.5 * len(content)


def test_a_pump_ends_where_it_is_told_to() -> None:
    left, right = connected()
    with left, right:
        left.sendall(b"0123456789")
        receiver = ReceivePump(right, None, count=4, idle_timeout=20)
        receiver.run()
        assert receiver.body == b"0123"
        left.sendall(b"0123456789")
        with pytest.raises(PumpLimitError):
            ReceivePump(right, None, limit=4, idle_timeout=20).run()


def test_a_pump_that_waits_can_be_cancelled_and_times_out() -> None:
    left, right = connected()
    with left, right:
        with pytest.raises(TimeoutError):
            ReceivePump(right, None, idle_timeout=0.05).run()
        receiver = ReceivePump(right, None, idle_timeout=20)
        threading.Timer(0.05, receiver.cancel).start()
        with pytest.raises(PumpCancelledError):
            receiver.run()
    left, right = connected()
    with left, right:
        sender = SendPump(left, None, data=bytes(50_000_000), idle_timeout=0.05)
        with pytest.raises(TimeoutError):
            sender.run()
        assert 0 < sender.sent < 50_000_000
