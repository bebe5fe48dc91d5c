"""What is read of a ClientHello."""

from __future__ import annotations

import ssl

import pytest

from fastxfer.net.tls_channel import TLSChannel
from fastxfer.server.clienthello import parse_client_hello


def hello(name: str | None, *protocols: str) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if protocols:
        context.set_alpn_protocols(list(protocols))
    channel = TLSChannel(context, name)
    assert not channel.handshake()
    return channel.outgoing()


@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize("protocols", [("ftp",), ("h2", "http/1.1"), ("x" * 255, "y" * 200)])
def test_the_protocols_are_always_told(names: bool, protocols: tuple[str, ...]) -> None:
    found = parse_client_hello(hello("ftp.example", *protocols), names=names)
    assert found is not None
    assert found.protocols == tuple(protocol.encode() for protocol in protocols)


def test_the_name_is_told_where_it_matters() -> None:
    for data in (hello("ftp.example"), hello("ftp.example", "ftp")):
        found = parse_client_hello(data)
        assert found is not None
        assert found.server_name == "ftp.example"
    found = parse_client_hello(hello(None), names=False)
    assert found is not None
    assert found == ("", ())


@pytest.mark.parametrize("names", [True, False])
def test_half_a_hello_is_waited_for(names: bool) -> None:
    data = hello("ftp.example", "ftp")
    assert all(parse_client_hello(data[:size], names=names) is None for size in range(len(data)))


def test_what_is_no_hello_is_refused() -> None:
    for data in (b"USER anonymous\r\n", b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00"):
        with pytest.raises(ValueError, match="not a"):
            parse_client_hello(data, names=False)
