"""HTTPS connections before there is any HTTP: counted, limited, given up, and gone when the interface has stopped."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.server import LimitsConfig, ServerConfig, TimeoutsConfig
from fastxfer.server.web import interface
from tests.web.reading import Crowded, ended, reader, until_counted, until_idle
from tests.web.site import WAIT, basic, serve

NewLoop = Callable[[], asyncio.AbstractEventLoop]


def test_handshakes_under_way_count_as_connections(tmp_path: Path, tls: ssl.SSLContext, new_loop: NewLoop) -> None:
    config = ServerConfig(limits=LimitsConfig(sessions_per_ip=2))
    with serve(tmp_path, config=config, tls=tls, new_loop=new_loop) as site:
        address = ("127.0.0.1", site.port)
        with socket.create_connection(address, timeout=WAIT), socket.create_connection(address, timeout=WAIT):
            until_counted(site, 2)
            with socket.create_connection(address, timeout=WAIT) as third:
                assert ended(third)
        until_counted(site, 0)
        assert site.get("/healthz", user="").status == 200


def test_a_handshake_that_fails_leaves_nothing(tmp_path: Path, tls: ssl.SSLContext, new_loop: NewLoop) -> None:
    with serve(tmp_path, tls=tls, new_loop=new_loop) as site:
        with socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert ended(client)
        until_counted(site, 0)
        assert site.get("/healthz", user="").status == 200


def test_a_handshake_that_does_not_go_on_is_given_up(
    tmp_path: Path, tls: ssl.SSLContext, new_loop: NewLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interface, "HANDSHAKE_SECONDS", 0.2)
    with (
        serve(tmp_path, tls=tls, new_loop=new_loop) as site,
        socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) as client,
    ):
        assert ended(client)
        until_counted(site, 0)


def test_a_handshake_that_does_not_go_on_does_not_keep_the_interface_from_stopping(
    tmp_path: Path, tls: ssl.SSLContext, new_loop: NewLoop
) -> None:
    with (
        serve(tmp_path, tls=tls, new_loop=new_loop) as site,
        socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) as client,
    ):
        until_counted(site, 1)
        # The handshake would be waited for longer than this.
        site.run(site.interface.stop())
        assert ended(client)
        assert site.service.guard.connections == 0


def test_an_answer_over_tls_that_is_not_taken_is_given_up(
    tmp_path: Path, tls: ssl.SSLContext, new_loop: NewLoop
) -> None:
    config = ServerConfig(timeouts=TimeoutsConfig(data_stall=0.3))
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with serve(tmp_path, config=config, filesystem=Crowded(tmp_path), tls=tls, new_loop=new_loop) as site:
        with reader(site, b"GET /files/", context):
            until_counted(site, 0)
        assert site.get("/healthz", user="").status == 200


def test_an_upload_over_tls_keeps_what_came(tmp_path: Path, tls: ssl.SSLContext, new_loop: NewLoop) -> None:
    with serve(tmp_path, tls=tls, new_loop=new_loop) as site:
        connection = site.connect()
        with contextlib.closing(connection):
            # What TLS sends after the handshake must be read: otherwise the kernel would reset the connection.
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
            connection.putrequest("PUT", "/files/a")
            connection.putheader("Authorization", basic("alice:wonderland"))
            connection.putheader("Content-Length", "1000000")
            connection.endheaders()
            connection.send(bytes(700_000))
        until_counted(site, 0)
        until_idle(site)
        assert site.get("/files/a?upload=true").json["offset"] == 700_000
