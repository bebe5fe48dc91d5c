"""Data connections under TLS: session reuse, their end, and those that are none."""

from __future__ import annotations

import contextlib
import ftplib
import io
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.server import (
    TimeoutsConfig,
    TlsConfig,
)
from tests.server.conftest import TLS_VERSIONS, Tls, connect_tls
from tests.server.dialogue import DEADLINE, Dialogue, Running


class ReusingFtp(ftplib.FTP_TLS):
    """ftplib's client, with data connections that resume the control connection's session."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        assert isinstance(self.sock, ssl.SSLSocket)
        wrapped = self.context.wrap_socket(connection, server_hostname=self.host, session=self.sock.session)
        return wrapped, size


@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_session_reuse_can_be_required_of_data_connections(
    serve: Callable[..., Running], tls: Tls, root: Path, version: ssl.TLSVersion
) -> None:
    (root / "file").write_bytes(b"x" * 100_000)
    server = serve(tls=TlsConfig(cert=tls.cert, require_session_reuse=True))
    stranger = connect_tls(server, tls.context(version))
    received = bytearray()
    with contextlib.closing(stranger), pytest.raises((ftplib.Error, OSError)):
        stranger.retrbinary("RETR file", received.extend)
    assert not received
    with connect_tls(server, tls.context(version), ReusingFtp) as client:
        client.retrbinary("RETR file", received.extend)
        assert len(received) == 100_000
        assert client.nlst() == ["file"]
        client.storbinary("STOR up", io.BytesIO(b"y" * 1000))
    assert (root / "up").read_bytes() == b"y" * 1000


def test_a_session_of_another_control_connection_opens_nothing(
    serve: Callable[..., Running], tls: Tls, root: Path
) -> None:
    (root / "file").write_bytes(b"secret")
    server = serve(tls=TlsConfig(cert=tls.cert, require_session_reuse=True))
    context = tls.context(ssl.TLSVersion.TLSv1_2)
    with Dialogue(server.address) as victim, Dialogue(server.address) as thief:
        victim.starttls(context).login()
        thief.starttls(context).login()
        address = victim.passive()
        assert isinstance(thief.sock, ssl.SSLSocket)
        with socket.create_connection(address, timeout=DEADLINE) as data:
            victim.send(b"RETR file\r\n")
            received = b""
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(data, server_hostname="localhost", session=thief.sock.session) as stolen,
            ):
                received = stolen.recv(100)
        assert received == b""
        assert victim.read().code == 150
        assert victim.read().code == 522


def test_a_truncated_upload_is_no_upload(secure: Running, tls: Tls, root: Path) -> None:
    context = tls.context()
    with Dialogue(secure.address) as client:
        client.starttls(context).login()
        raw = client.data_after("STOR file")
        data = context.wrap_socket(raw, server_hostname="localhost")
        data.sendall(b"x" * 100_000)
        # The TCP stream ends in good order, TLS does not.
        with socket.socket(fileno=data.detach()) as cut:
            cut.shutdown(socket.SHUT_WR)
            assert client.read().code == 426
        assert not (root / "file").exists()
        client.expect(200, "NOOP")


def test_the_end_of_a_download_is_said_by_tls(secure: Running, tls: Tls, root: Path) -> None:
    (root / "file").write_bytes(b"x" * 100_000)
    context = tls.context()
    with Dialogue(secure.address) as client:
        client.starttls(context).login()
        for command in ("RETR file", "LIST"):
            data = context.wrap_socket(
                client.data_after(command), server_hostname="localhost", suppress_ragged_eofs=False
            )
            with data:
                while data.recv(65536):
                    pass
            assert client.read().code == 226


def test_a_data_connection_that_is_not_tls_is_refused(secure: Running, tls: Tls, root: Path) -> None:
    (root / "file").write_bytes(b"secret")
    with Dialogue(secure.address) as client:
        client.starttls(tls.context()).login()
        with client.data_after("RETR file") as data:
            data.sendall(b"give me the file\r\n" * 10)
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := data.recv(1000):
                    received += piece
        assert b"secret" not in received
        assert client.read().code == 426
        client.expect(200, "NOOP")


def test_a_data_handshake_that_stalls_is_given_up(serve: Callable[..., Running], tls: Tls, root: Path) -> None:
    (root / "file").write_bytes(b"x")
    server = serve(tls=TlsConfig(cert=tls.cert), timeouts=TimeoutsConfig(data_stall=0.4, shutdown=1.0))
    with Dialogue(server.address) as client:
        client.starttls(tls.context()).login()
        for command in ("RETR file", "STOR up", "LIST"):
            with client.data_after(command):
                assert client.read().code == 426


def test_abor_ends_a_protected_transfer(secure: Running, tls: Tls, root: Path) -> None:
    with (root / "file").open("wb") as file:
        file.truncate(1 << 30)
    context = tls.context()
    with Dialogue(secure.address) as client:
        client.starttls(context).login()
        with context.wrap_socket(client.data_after("RETR file"), server_hostname="localhost") as data:
            data.recv(1000)
            client.send(b"ABOR\r\n")
            assert client.read().code == 426
            assert client.read().code == 226


@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_active_data_connections_are_protected_too(
    secure: Running, tls: Tls, root: Path, version: ssl.TLSVersion
) -> None:
    with connect_tls(secure, tls.context(version), ReusingFtp) as client:
        client.set_pasv(False)
        client.storbinary("STOR file", io.BytesIO(b"x" * 100_000))
        received = bytearray()
        client.retrbinary("RETR file", received.extend)
        assert received == b"x" * 100_000


def test_a_client_that_never_reads_its_upload_connection_loses_nothing(secure: Running, tls: Tls, root: Path) -> None:
    context = tls.context(ssl.TLSVersion.TLSv1_3)
    content = os.urandom(3_000_000)
    with Dialogue(secure.address) as client:
        client.starttls(context).login()
        for number in range(10):
            with context.wrap_socket(client.data_after(f"STOR {number}"), server_hostname="localhost") as data:
                data.sendall(content)
                with contextlib.suppress(ssl.SSLError, OSError):
                    data.setblocking(False)
                    data.unwrap()
            assert client.read().code == 226
            assert (root / str(number)).read_bytes() == content


def test_ascii_and_compressed_transfers_are_protected_too(secure: Running, tls: Tls, root: Path) -> None:
    import zlib

    context = tls.context()
    (root / "text").write_bytes(b"a\nb\n" * 10_000)
    with Dialogue(secure.address) as client:
        client.starttls(context).login()
        client.expect(200, "TYPE A")
        assert client.fetch("RETR text", context=context) == b"a\r\nb\r\n" * 10_000
        client.expect(200, "MODE Z")
        assert zlib.decompress(client.fetch("RETR text", context=context)) == b"a\r\nb\r\n" * 10_000
        assert zlib.decompress(client.fetch("NLST", context=context)) == b"text\r\n"
