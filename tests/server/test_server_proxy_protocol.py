"""The PROXY protocol: whom a server behind a balancer takes the client for."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.server import LimitsConfig, ServerConfig
from fastxfer.server.networks import Networks
from fastxfer.server.proxyheader import ProxyHeader
from tests.server.dialogue import Dialogue, Running

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


PROXY_V2 = SIGNATURE + struct.pack(">BBH4s4sHH", 0x21, 0x11, 12, bytes([192, 0, 2, 7]), bytes([203, 0, 113, 1]), 5, 6)


@pytest.mark.parametrize(
    "header", [b"PROXY TCP4 192.0.2.7 203.0.113.1 5 6\r\n", PROXY_V2], ids=["version 1", "version 2"]
)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_proxy_header_may_come_in_any_pieces(header: bytes, step: int) -> None:
    parser = ProxyHeader()
    data = header + b"USER x\r\n"
    done = False
    at = 0
    while not done:
        done = parser.feed(data[at : at + step])
        at += step
    assert (parser.address, parser.port, parser.told_address) == ("192.0.2.7", 5, "203.0.113.1")
    assert parser.rest + data[at:] == b"USER x\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"USER x\r\n",
        b"PROXY TCP4 1.2.3.4\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 x 1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n",
        b"PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
        b"PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n",
        b"PROXY TCP4 " + b"1" * 200,
        SIGNATURE + b"\x11\x11\0\x0c" + bytes(12),
        SIGNATURE + b"\x2f\x11\0\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11\xff\xff",
        SIGNATURE + b"\x21\x11\0\x04" + bytes(4),
    ],
)
def test_what_is_no_proxy_header_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="PROXY"):
        ProxyHeader().feed(data)


def test_behind_a_balancer_the_client_is_who_the_balancer_says(serve: Callable[..., Running], root: Path) -> None:
    (root / "file").write_bytes(b"content")
    server = serve(proxy_protocol=True, limits=LimitsConfig(sessions_per_ip=1))
    with Dialogue(server.address, greet=False) as client:
        client.send(b"PROXY TCP4 192.0.2.7 203.0.113.1 5555 21\r\n")
        assert client.read().code == 220
        client.login()
        assert any("192.0.2.7" in line for line in client.expect(211, "STAT").lines)
        assert client.passive("PASV")[0] == "203.0.113.1"
        assert client.fetch("RETR file") == b"content", "data through the balancer is the client's too"
        with Dialogue(server.address, greet=False) as other:
            other.send(b"PROXY TCP4 192.0.2.8 203.0.113.1 5555 21\r\nNOOP\r\n")
            assert other.read().code == 220
            assert other.read().code == 200
        with Dialogue(server.address, greet=False) as again:
            again.send(b"PROXY TCP4 192.0.2.7 203.0.113.1 5555 21\r\n")
            assert again.read().code == 421
    with Dialogue(server.address, greet=False) as client:
        client.send(b"USER alice\r\n")
        assert client.closed()


def test_only_a_trusted_balancer_says_who_the_client_is(serve: Callable[..., Running]) -> None:
    server = serve(proxy_protocol=True, trusted_proxies=("127.0.0.2", "2001:db8::/32"))
    header = b"PROXY TCP4 192.0.2.7 203.0.113.1 5555 21\r\n"
    with Dialogue(server.address, greet=False) as stranger:
        stranger.send(header)
        assert stranger.closed()
    with Dialogue(server.address, greet=False, source="127.0.0.2") as balancer:
        balancer.send(header)
        assert balancer.read().code == 220


def test_by_itself_a_server_believes_no_balancer_but_one_on_its_own_machine() -> None:
    for listener in ServerConfig(proxy_protocol=True).effective_listeners():
        trusted = Networks(listener.trusted_proxies)
        assert "127.0.0.1" in trusted
        assert "::1" in trusted
        assert "192.0.2.1" not in trusted
        assert "not an address" not in trusted


def test_a_balancer_that_is_no_address_is_refused_at_the_start(serve: Callable[..., Running]) -> None:
    with pytest.raises(ValueError, match="nonsense"):
        serve(proxy_protocol=True, trusted_proxies=("nonsense",))


def mapped(address: str) -> bytes:
    return bytes(10) + b"\xff\xff" + socket.inet_aton(address)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP6 ::ffff:127.0.0.1 ::ffff:127.0.0.1 5 6\r\n",
        b"PROXY TCP6 ::ffff:7f00:1 ::ffff:7f00:1 5 6\r\n",
        SIGNATURE + struct.pack(">BBH16s16sHH", 0x21, 0x21, 36, mapped("127.0.0.1"), mapped("127.0.0.1"), 5, 6),
    ],
    ids=["dots", "digits", "version 2"],
)
def test_an_address_that_a_balancer_writes_as_ipv6_is_the_ipv4_one(
    serve: Callable[..., Running], root: Path, header: bytes
) -> None:
    (root / "file").write_bytes(b"content")
    server = serve(proxy_protocol=True)
    with Dialogue(server.address, greet=False) as client, socket.create_server(("127.0.0.1", 0)) as listening:
        client.send(header)
        assert client.read().code == 220
        client.login()
        assert client.passive("PASV")[0] == "127.0.0.1"
        assert client.fetch("RETR file") == b"content"
        client.expect(200, f"EPRT |1|127.0.0.1|{listening.getsockname()[1]}|")
        client.expect(150, "RETR file")
        with listening.accept()[0] as data:
            assert data.recv(100) == b"content"
        assert client.read().code == 226
