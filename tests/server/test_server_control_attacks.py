"""Hostile bytes on the control connection."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.server import LimitsConfig, TimeoutsConfig, TlsConfig
from tests.server.conftest import Tls
from tests.server.dialogue import DEADLINE, Dialogue, Running, wait_for


def test_starttls_injection_commands_behind_auth_are_never_obeyed(serve: Callable[..., Running], tls: Tls) -> None:
    server = serve(tls=TlsConfig(cert=tls.cert))
    for injected in (b"NOOP\r\n", b"NOO", b"USER alice\r\nPASS wonderland\r\n"):
        with Dialogue(server.address) as client:
            client.send(b"AUTH TLS\r\n" + injected)
            assert b"200" not in client.read_line()
            assert client.closed()
    with Dialogue(server.address) as client:
        client.starttls(tls.context())
        client.expect(530, "PWD")


def test_starttls_injection_in_the_pipeline_is_never_obeyed(serve: Callable[..., Running], tls: Tls) -> None:
    server = serve(tls=TlsConfig(cert=tls.cert))
    with Dialogue(server.address) as client:
        client.send(b"NOOP\r\n" * 100 + b"AUTH TLS\r\nFEAT\r\n")
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while data := client.sock.recv(65536):
                received += data
        assert b"211" not in received


@pytest.mark.parametrize(
    "request_line", [b"GET / HTTP/1.1", b"POST /upload HTTP/1.0", b"HEAD / HTTP/1.1", b"PRI * HTTP/2.0", b"EHLO me"]
)
def test_other_protocols_are_turned_away(server: Running, request_line: bytes) -> None:
    with Dialogue(server.address) as client:
        client.send(request_line + b"\r\nHost: localhost\r\n\r\nUSER alice\r\nPASS wonderland\r\n")
        assert client.closed()


def test_a_foreign_alpn_is_refused(serve: Callable[..., Running], tls: Tls) -> None:
    server = serve(tls=TlsConfig(cert=tls.cert), implicit_tls=True)
    context = tls.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with Dialogue(server.address, greet=False) as client, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(client.sock, server_hostname="localhost")
    context.set_alpn_protocols(["ftp"])
    with Dialogue(server.address, greet=False) as client:
        client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
        assert client.read().code == 220


def test_binary_nonsense_ends_the_connection(server: Running) -> None:
    with Dialogue(server.address) as client:
        for _ in range(100):
            try:
                client.send(bytes(range(1, 256)) + b"\n")
            except OSError:
                break
        assert client.closed()


def test_an_endless_line_is_cut_off(server: Running) -> None:
    with Dialogue(server.address) as client:
        with contextlib.suppress(ConnectionError):
            for _ in range(128):
                client.send(b"A" * 65536)
            client.send(b"\r\n")
        assert client.closed()


def test_a_long_line_after_login_is_refused_and_the_session_lives(client: Dialogue) -> None:
    client.expect(500, "STOR " + "x" * 100_000)
    client.expect(200, "NOOP")
    assert client.say("RETR " + "x" * 4000).code in (425, 550, 553)
    client.expect(200, "NOOP")


@pytest.mark.parametrize(
    "line",
    [
        b"RETR a\0b",
        b"SIZE name\0.txt",
        b"RETR a\rb",
        b"MKD a\x1bb",
        b"MKD a\x7fb",
        b"SIZE \xff\xff\xf0\x80\x80",
        b"SIZE \xed\xa0\x80",
        b"SIZE \xc0\xaf",
        b"\xff\xfb\x01SIZE nothing",
        b"\xff\xf4\xff\xf2SIZE nothing",
        b"SIZE " + b"\xff\xff" * 50,
    ],
)
def test_strange_bytes_are_answered_and_the_session_lives(client: Dialogue, root: Path, line: bytes) -> None:
    client.passive()
    assert 500 <= client.say(line).code < 560
    client.expect(200, "NOOP")
    assert list(root.iterdir()) == []


def test_bare_line_feeds_end_lines_too(client: Dialogue) -> None:
    client.send(b"NOOP\nPWD\n")
    assert client.read().code == 200
    assert client.read().code == 257


def test_a_name_cannot_forge_a_reply(client: Dialogue, root: Path) -> None:
    client.expect(257, 'MKD a"b')
    assert client.expect(250, 'CWD a"b')
    assert client.expect(257, "PWD") == '257 "/a""b" is the current directory.'
    client.expect(250, "CWD /")
    (root / "x\r\n226 done").mkdir()
    (root / "y\nz").write_text("")
    assert b"226" not in client.fetch("NLST") + client.fetch("LIST") + client.fetch("MLSD")
    assert client.fetch("NLST") == b'a"b\r\n'


def test_format_strings_and_shell_characters_are_just_names(client: Dialogue, root: Path) -> None:
    for name in ("%s%n%x", "|id", "`id`", "$(id)", ";id", "a&&b", "> out", "*", "~root", "{a,b}"):
        assert client.put(f"STOR {name}", b"x").code == 226
        assert (root / name).read_bytes() == b"x"
        assert client.fetch(f"RETR {name}") == b"x"
        client.expect(250, f"DELE {name}")
    client.expect(504, "SITE EXEC id")


def test_a_flood_of_commands_is_answered_in_order(client: Dialogue) -> None:
    count = 20_000

    def send() -> None:
        client.send(b"NOOP\r\nPWD\r\n" * (count // 2))

    sender = threading.Thread(target=send)
    sender.start()
    for _ in range(count // 2):
        assert client.read().code == 200
        assert client.read().code == 257
    sender.join(DEADLINE)


def test_others_are_served_during_a_flood(server: Running) -> None:
    stop = threading.Event()

    def flood() -> None:
        with Dialogue(server.address) as client:
            client.sock.settimeout(DEADLINE)
            while not stop.is_set():
                try:
                    client.send(b"NOOP\r\n" * 1000)
                    client.sock.recv(65536)
                except OSError:
                    return

    flooders = [threading.Thread(target=flood) for _ in range(3)]
    for thread in flooders:
        thread.start()
    try:
        for _ in range(5):
            with Dialogue(server.address) as client:
                client.login().expect(257, "PWD")
    finally:
        stop.set()
        for thread in flooders:
            thread.join(DEADLINE)


def test_a_client_that_never_reads_is_cut_off(serve: Callable[..., Running]) -> None:
    server = serve(timeouts=TimeoutsConfig(data_stall=0.5, shutdown=1.0))
    with Dialogue(server.address) as client:
        client.login()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sock.settimeout(0.5)
        with contextlib.suppress(OSError):
            for _ in range(10_000):
                client.send(b"HELP\r\n" * 1000)
        wait_for(lambda: server.server.sessions == 0)


def test_unread_replies_take_bounded_memory(serve: Callable[..., Running]) -> None:
    server = serve()
    with Dialogue(server.address) as client:
        client.login()
        client.sock.settimeout(0.3)
        with contextlib.suppress(OSError):
            for _ in range(2000):
                client.send(b"HELP\r\n" * 1000)
        (control,) = server.server.runtime.controls
        queued = control._transport.get_write_buffer_size()
        assert queued <= 4 * server.server.config.limits.unread_replies


def test_slow_lines_before_login_do_not_hold_a_connection(serve: Callable[..., Running]) -> None:
    server = serve(timeouts=TimeoutsConfig(login=0.5, shutdown=1.0))
    with Dialogue(server.address) as client:
        with contextlib.suppress(OSError):
            for letter in b"USER alice" * 100:
                client.send(bytes([letter]))
                client.sock.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    if not client.sock.recv(100):
                        break
        client.sock.settimeout(DEADLINE)
        assert client.closed()
    assert server.server.sessions == 0


def test_a_tls_handshake_that_never_comes_is_given_up(serve: Callable[..., Running], tls: Tls) -> None:
    server = serve(tls=TlsConfig(cert=tls.cert), implicit_tls=True, timeouts=TimeoutsConfig(login=0.4, shutdown=1.0))
    with Dialogue(server.address, greet=False) as client:
        assert client.closed()
    with Dialogue(server.address, greet=False) as client:
        client.send(b"this is no ClientHello at all, it is just text\r\n")
        assert client.closed()


def test_connections_by_the_hundred_leave_nothing_behind(
    serve: Callable[..., Running], descriptors: Callable[[], int]
) -> None:
    server = serve(limits=LimitsConfig(sessions=50))
    before = descriptors()
    for _ in range(10):
        crowd = [socket.create_connection(server.address, timeout=DEADLINE) for _ in range(80)]
        for sock in crowd:
            sock.close()

    def served() -> bool:
        # Some of the crowd may still be waiting to be accepted, and count against the limit when they are.
        with contextlib.suppress(EOFError, OSError), Dialogue(server.address, greet=False) as client:
            return client.read().code == 220
        return False

    wait_for(served)
    wait_for(lambda: server.server.sessions == 0)
    wait_for(lambda: descriptors() <= before)
    with Dialogue(server.address) as client:
        client.login()


def test_the_total_limit_answers_421(serve: Callable[..., Running]) -> None:
    server = serve(limits=LimitsConfig(sessions=3))
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(Dialogue(server.address))
        for _ in range(20):
            with Dialogue(server.address, greet=False) as client:
                assert client.read().code == 421
                assert client.closed()
