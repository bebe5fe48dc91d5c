"""TLS as records: those that come together, in pieces, or ask for new keys again and again."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastxfer.server import (
    LimitsConfig,
)
from tests.server.conftest import Tls
from tests.server.dialogue import PASSWORD, USER, Dialogue, Running
from tests.server.keyupdates import TLS_1_2, TLS_1_3, KeyUpdater, LibraryMissing


def _shake_hands(sock: socket.socket, tls: Tls) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """A TLS client that sends nothing by itself: the object, what it is to read, and what it wants to send."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls.context(ssl.TLSVersion.TLSv1_3).wrap_bio(incoming, outgoing, server_hostname="localhost")
    while True:
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(65536))
        else:
            return client, incoming, outgoing


def _read_plain(sock: socket.socket, client: ssl.SSLObject, incoming: ssl.MemoryBIO) -> bytes:
    while True:
        try:
            return client.read(65536)
        except ssl.SSLZeroReturnError:
            return b""
        except ssl.SSLWantReadError:
            data = sock.recv(65536)
            assert data, "the server closed the connection"
            incoming.write(data)


@pytest.mark.parametrize("together", [False, True])
def test_session_tickets_come_with_the_first_reply(secure: Running, tls: Tls, together: bool) -> None:
    with Dialogue(secure.address) as dialogue:
        dialogue.expect(234, "AUTH TLS")
        client, incoming, outgoing = _shake_hands(dialogue.sock, tls)
        last = outgoing.read()
        if not together:
            dialogue.sock.sendall(last)
            last = b""
        client.write(f"USER {USER}\r\n".encode())
        dialogue.sock.sendall(last + outgoing.read())
        assert _read_plain(dialogue.sock, client, incoming).startswith(b"331 ")
        session = client.session
        assert session is not None
        assert session.has_ticket


def test_commands_in_any_number_of_records_are_all_carried_out(secure: Running, tls: Tls) -> None:
    with Dialogue(secure.address) as dialogue:
        dialogue.expect(234, "AUTH TLS")
        client, incoming, outgoing = _shake_hands(dialogue.sock, tls)
        for piece in (f"USER {USER}\r\nPASS ", f"{PASSWORD}\r\n", "NO", "OP\r\nQUIT\r\n"):
            client.write(piece.encode())
        records = outgoing.read()
        # The last record is cut in two.
        dialogue.sock.sendall(records[:-5])
        time.sleep(0.05)
        dialogue.sock.sendall(records[-5:])
        said = b""
        while data := _read_plain(dialogue.sock, client, incoming):
            said += data
        assert [line[:3] for line in said.splitlines()] == [b"331", b"230", b"200", b"221"]


@pytest.fixture
def updater() -> Iterator[Callable[..., KeyUpdater]]:
    """Begins TLS connections on sockets that can ask for new keys, or for a new handshake."""
    with contextlib.ExitStack() as stack:

        def start(sock: socket.socket, version: int = TLS_1_3) -> KeyUpdater:
            sock.setblocking(True)
            try:
                updater = KeyUpdater(sock, version)
            except LibraryMissing as error:
                pytest.skip(str(error))
            stack.callback(updater.close)
            return updater

        yield start


def test_renegotiation_is_refused(secure: Running, updater: Callable[..., KeyUpdater]) -> None:
    with Dialogue(secure.address) as client, Dialogue(secure.address) as other:
        client.expect(234, "AUTH TLS")
        connection = updater(client.sock, TLS_1_2)
        assert connection.send(b"NOOP\r\n")
        assert connection.receive() == b"200 OK.\r\n"
        assert not connection.renegotiate()
        other.login()


KEY_UPDATES = 2000


def test_a_flood_of_key_updates_is_borne_and_holds_nobody_up(
    secure: Running, updater: Callable[[socket.socket], KeyUpdater]
) -> None:
    with Dialogue(secure.address) as client, Dialogue(secure.address) as other:
        client.expect(234, "AUTH TLS")
        flood = updater(client.sock)
        other.login()
        (control,) = [control for control in secure.server.runtime.controls if control.encrypted]
        for number in range(KEY_UPDATES):
            if not flood.ask_for_keys():
                break
            if number % 500 == 0:
                other.expect(200, "NOOP")
        other.expect(200, "NOOP")
        # The updates that were asked for and never read take no room either.
        assert control._transport.get_write_buffer_size() <= LimitsConfig().unread_replies
        assert flood.send(b"USER alice\r\n")
        assert flood.receive().startswith(b"331 ")


def test_key_updates_in_the_middle_of_an_upload_lose_nothing(
    secure: Running, tls: Tls, root: Path, updater: Callable[[socket.socket], KeyUpdater]
) -> None:
    with Dialogue(secure.address) as client:
        client.starttls(tls.context()).login()
        with client.data_after("STOR file") as sock:
            data = updater(sock)
            for _ in range(50):
                assert data.send(b"x" * 20_000)
                for _ in range(20):
                    assert data.ask_for_keys()
            data.end()
        assert client.read().code == 226
    assert (root / "file").read_bytes() == b"x" * 1_000_000
