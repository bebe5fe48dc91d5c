"""Clients that shake hands on a data connection before they send the command, and others who come early."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastxfer.server import TlsConfig
from tests.server.conftest import Tls
from tests.server.dialogue import DEADLINE, Dialogue, Running, read_all, reset, wait_for

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def server(serve: Callable[..., Running], tls: Tls) -> Running:
    return serve(tls=TlsConfig(cert=tls.cert))


@pytest.fixture
def context(tls: Tls) -> ssl.SSLContext:
    return tls.context()


@pytest.fixture
def client(server: Running, context: ssl.SSLContext, root: Path) -> Iterator[Dialogue]:
    """A session whose data connections are protected."""
    (root / "file").write_bytes(CONTENT)
    with Dialogue(server.address) as dialogue:
        yield dialogue.starttls(context).login()


def shake(data: socket.socket, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    return context.wrap_socket(data, server_hostname="localhost", suppress_ragged_eofs=False, session=session)


def assert_over(data: socket.socket) -> None:
    """Nothing comes any more, by an end or a reset."""
    with contextlib.suppress(ConnectionResetError):
        assert read_all(data) == b""


def test_files_and_listings_pass_both_ways(client: Dialogue, context: ssl.SSLContext, root: Path) -> None:
    for _ in range(2):
        with shake(client.data(), context) as data:
            client.expect(150, "RETR file")
            assert read_all(data) == CONTENT
        assert client.read().code == 226
        with shake(client.data(), context) as data:
            client.expect(150, "NLST")
            assert b"file\r\n" in read_all(data)
        assert client.read().code == 226
        with shake(client.data(), context) as data:
            # Bytes may even come before the command that takes them.
            data.sendall(CONTENT[:1000])
            client.expect(150, "STOR up")
            data.sendall(CONTENT[1000:])
            data.unwrap().close()
        assert client.read().code == 226
        assert (root / "up").read_bytes() == CONTENT


def test_whoever_connects_early_may_still_shake_hands_late(client: Dialogue, context: ssl.SSLContext) -> None:
    with client.data() as early:
        # By the time of these replies the server has seen that somebody is there.
        client.expect(200, "NOOP")
        client.expect(150, "RETR file")
        with shake(early, context) as data:
            assert read_all(data) == CONTENT
    assert client.read().code == 226


def test_a_session_that_is_not_resumed_is_refused_where_it_must_be(
    serve: Callable[..., Running], tls: Tls, root: Path
) -> None:
    (root / "file").write_bytes(CONTENT)
    server = serve(tls=TlsConfig(cert=tls.cert, require_session_reuse=True))
    context = tls.context(ssl.TLSVersion.TLSv1_2)
    with Dialogue(server.address) as client:
        client.starttls(context).login()
        assert isinstance(client.sock, ssl.SSLSocket)
        with shake(client.data(), context) as data:
            client.expect(150, "RETR file")
            received = b""
            with contextlib.suppress(OSError):
                received = data.recv(100)
            assert received == b""
        assert client.read().code == 522
        with shake(client.data(), context, client.sock.session) as data:
            client.expect(150, "RETR file")
            assert read_all(data) == CONTENT
        assert client.read().code == 226


@pytest.mark.parametrize("nonsense", [b"GET / HTTP/1.1\r\n\r\n", b""], ids=["no hello", "the end"])
def test_a_handshake_that_fails_early_costs_one_command(
    client: Dialogue, context: ssl.SSLContext, nonsense: bytes
) -> None:
    with client.data() as data:
        data.sendall(nonsense)
        if not nonsense:
            data.shutdown(socket.SHUT_WR)
        assert read_all(data)[:1] in (b"", b"\x15")
    client.expect(425, "RETR file")
    assert client.fetch("RETR file", context=context) == CONTENT


def test_connections_that_break_early_leave_nothing_behind(
    server: Running, client: Dialogue, context: ssl.SSLContext, descriptors: Callable[[], int]
) -> None:
    assert client.fetch("RETR file", context=context) == CONTENT
    before = descriptors()
    for _ in range(5):
        reset(client.data())
        shake(client.data(), context).close()
    with client.data() as dropped:
        # Another passive port takes the place of the last one, and of who came to it.
        client.passive()
        assert_over(dropped)
    shake(client.data(), context).close()
    assert client.say("ABOR").code in (225, 226)
    wait_for(lambda: descriptors() <= before)
    waiting = shake(client.data(), context)
    client.close()
    with contextlib.suppress(ssl.SSLError):
        assert_over(waiting)
    waiting.close()
    wait_for(lambda: server.server.sessions == 0)
    wait_for(lambda: descriptors() < before)


def test_strangers_who_come_early_keep_nobody_out(client: Dialogue, context: ssl.SSLContext) -> None:
    address = client.passive()
    with socket.create_connection(address, timeout=DEADLINE, source_address=("127.0.0.2", 0)) as stranger:
        assert_over(stranger)
        with shake(socket.create_connection(address, timeout=DEADLINE), context) as data:
            client.expect(150, "RETR file")
            assert read_all(data) == CONTENT
        assert client.read().code == 226


def test_protection_that_is_given_up_in_between_is_not_forced_on_anyone(client: Dialogue) -> None:
    with client.data() as data:
        client.expect(200, "NOOP")
        client.expect(200, "PROT C")
        client.expect(150, "RETR file")
        assert read_all(data) == CONTENT
    assert client.read().code == 226
    assert client.fetch("RETR file") == CONTENT
