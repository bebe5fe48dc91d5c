"""FTPS: AUTH, PBSZ, PROT, CCC, implicit TLS, certificates, session reuse (RFC 4217)."""

from __future__ import annotations

import contextlib
import ftplib
import io
import os
import shutil
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastxfer.server import (
    Authenticator,
    Credentials,
    LimitsConfig,
    ListenerConfig,
    TimeoutsConfig,
    TlsConfig,
    User,
)
from tests.server.conftest import Tls
from tests.server.dialogue import DEADLINE, PASSWORD, USER, Dialogue, Running, wait_for
from tests.server.keyupdates import TLS_1_2, TLS_1_3, KeyUpdater, LibraryMissing

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class ReusingFtp(ftplib.FTP_TLS):
    """ftplib's client, with data connections that resume the control connection's session."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        assert isinstance(self.sock, ssl.SSLSocket)
        wrapped = self.context.wrap_socket(connection, server_hostname=self.host, session=self.sock.session)
        return wrapped, size


def connect(server: Running, context: ssl.SSLContext, cls: type[ftplib.FTP_TLS] = ftplib.FTP_TLS) -> ftplib.FTP_TLS:
    client = cls(context=context, timeout=DEADLINE)
    client.connect("localhost", server.port)
    client.login(USER, PASSWORD)
    client.prot_p()
    return client


@pytest.fixture
def secure(serve: Callable[..., Running], tls: Tls) -> Running:
    return serve(tls=TlsConfig(cert=tls.cert))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_files_go_up_and_down(secure: Running, tls: Tls, root: Path, version: ssl.TLSVersion, size: int) -> None:
    content = os.urandom(size)
    with connect(secure, tls.context(version)) as client:
        assert client.storbinary("STOR file", io.BytesIO(content)).startswith("226")
        assert (root / "file").read_bytes() == content
        received = bytearray()
        assert client.retrbinary("RETR file", received.extend).startswith("226")
        assert received == content
        received.clear()
        client.retrbinary("RETR file", received.extend, rest=size // 2)
        assert received == content[size // 2 :]
        assert client.nlst() == ["file"]
        lines: list[str] = []
        client.retrlines("LIST", lines.append)
        assert len(lines) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_implicit_tls(serve: Callable[..., Running], tls: Tls, version: ssl.TLSVersion) -> None:
    server = serve(tls=TlsConfig(cert=tls.cert), implicit_tls=True)
    context = tls.context(version)
    with Dialogue(server.address, greet=False) as client:
        client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
        assert client.read().code == 220
        client.login()
        client.expect(503, "AUTH TLS")
        with context.wrap_socket(client.data_after("STOR file"), server_hostname="localhost") as data:
            data.sendall(b"private by itself")
            data.unwrap().close()
        assert client.read().code == 226
        client.expect(200, "PROT C")
        assert client.fetch("RETR file") == b"private by itself"


def test_prot_needs_auth_and_pbsz(secure: Running, tls: Tls) -> None:
    with Dialogue(secure.address) as client:
        client.expect(503, "PBSZ 0")
        client.expect(503, "PROT P")
        client.expect(504, "AUTH KERBEROS")
        client.starttls(tls.context(), protect=False)
        client.expect(503, "PROT P")
        client.expect(501, "PBSZ many")
        client.expect(200, "PBSZ 0")
        client.expect(536, "PROT S")
        client.expect(504, "PROT X")
        client.expect(200, "PROT P")
        client.expect(503, "AUTH TLS")


def test_without_a_certificate_there_is_no_tls(server: Running) -> None:
    with Dialogue(server.address) as client:
        client.expect(534, "AUTH TLS")


def test_auth_logs_the_user_out(secure: Running, tls: Tls) -> None:
    with Dialogue(secure.address) as client:
        client.login()
        client.starttls(tls.context())
        client.expect(530, "PWD")


def test_clear_data_connections_stay_possible(secure: Running, tls: Tls, root: Path) -> None:
    (root / "file").write_bytes(b"public")
    with Dialogue(secure.address) as client:
        client.starttls(tls.context()).login()
        client.expect(200, "PROT C")
        assert client.fetch("RETR file") == b"public"


def test_tls_can_be_required_for_control_and_data(serve: Callable[..., Running], tls: Tls, root: Path) -> None:
    (root / "file").write_bytes(b"secret")
    server = serve(tls=TlsConfig(cert=tls.cert, require_control=True, require_data=True))
    context = tls.context()
    with Dialogue(server.address) as client:
        client.expect(550, f"USER {USER}")
        client.starttls(context, protect=False).login()
        client.passive()
        client.expect(521, "RETR file")
        client.expect(521, "LIST")
        client.expect(200, "PBSZ 0")
        client.expect(200, "PROT P")
        client.expect(534, "PROT C")
        assert client.fetch("RETR file", context=context) == b"secret"


def test_tls_may_be_required_of_one_user_or_one_listener(serve: Callable[..., Running], tls: Tls) -> None:
    server = serve(
        tls=TlsConfig(cert=tls.cert),
        users=[(User(name=USER, require_tls=True), PASSWORD), (User(name="bob"), PASSWORD)],
        listeners=(ListenerConfig(port=0), ListenerConfig(port=0, require_tls=True)),
    )
    first, second = server.server.addresses
    with Dialogue(first) as client:
        client.login("bob")
        client.expect(331, f"USER {USER}")
        client.expect(550, f"PASS {PASSWORD}")
        client.starttls(tls.context()).login()
    with Dialogue(second) as client:
        client.expect(550, "USER bob")


def test_old_versions_are_refused(secure: Running, tls: Tls) -> None:
    context = tls.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with Dialogue(secure.address) as client:
        client.expect(234, "AUTH TLS")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(client.sock, server_hostname="localhost")


@pytest.mark.parametrize("version", VERSIONS)
def test_session_reuse_can_be_required_of_data_connections(
    serve: Callable[..., Running], tls: Tls, root: Path, version: ssl.TLSVersion
) -> None:
    (root / "file").write_bytes(b"x" * 100_000)
    server = serve(tls=TlsConfig(cert=tls.cert, require_session_reuse=True))
    stranger = connect(server, tls.context(version))
    received = bytearray()
    with contextlib.closing(stranger), pytest.raises((ftplib.Error, OSError)):
        stranger.retrbinary("RETR file", received.extend)
    assert not received
    with connect(server, tls.context(version), ReusingFtp) as client:
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


def test_ccc_goes_back_to_plain_where_it_is_allowed(serve: Callable[..., Running], tls: Tls) -> None:
    context = tls.context()
    server = serve(tls=TlsConfig(cert=tls.cert, allow_ccc=True, require_control=True))
    with Dialogue(server.address) as client:
        client.expect(530, "CCC")
        client.starttls(context).login()
        client.expect(200, "CCC")
        assert isinstance(client.sock, ssl.SSLSocket)
        client.sock = client.sock.unwrap()
        client.expect(257, "PWD")
        client.expect(533, "CCC")
        client.expect(220, "REIN")
        client.expect(550, "USER alice")
        client.starttls(context, protect=False).login()
        client.expect(200, "CCC")
    server = serve(tls=TlsConfig(cert=tls.cert))
    with Dialogue(server.address) as client:
        client.starttls(context).login()
        client.expect(534, "CCC")


class _ByCertificate(Authenticator):
    def __init__(self) -> None:
        self.seen: list[Credentials] = []

    async def authenticate(self, credentials: Credentials) -> User | None:
        self.seen.append(credentials)
        return User(name=credentials.name) if credentials.certificate else None

    def welcomes(self, credentials: Credentials) -> bool:
        return credentials.certificate is not None


def test_client_certificates(serve: Callable[..., Running], tls: Tls, tmp_path: Path) -> None:
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    judge = _ByCertificate()
    server = serve(
        tls=TlsConfig(cert=tls.cert, client_ca=str(tmp_path / "clients.pem"), require_client_cert=True),
        authenticator=judge,
    )
    known = tls.context()
    authority.issue_cert("alice@example.org").configure_cert(known)
    with Dialogue(server.address) as client:
        client.starttls(known)
        client.expect(230, f"USER {USER}")
    assert judge.seen[0].certificate is not None
    assert "alice@example.org" in str(judge.seen[0].certificate["subjectAltName"])
    unknown = tls.context()
    trustme.CA().issue_cert("mallory@example.org").configure_cert(unknown)
    for context in (unknown, tls.context()):
        with Dialogue(server.address) as client, pytest.raises((ssl.SSLError, OSError, EOFError)):
            client.starttls(context)


def test_a_new_certificate_is_taken_up_without_a_restart(
    serve: Callable[..., Running], tls: Tls, tmp_path: Path
) -> None:
    import trustme

    used = tmp_path / "used.pem"
    shutil.copy(tls.cert, used)
    server = serve(tls=TlsConfig(cert=str(used), reload=0.05))
    with Dialogue(server.address) as old:
        old.starttls(tls.context()).login()
        authority = trustme.CA()
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "new.pem"))
        os.replace(tmp_path / "new.pem", used)
        context = ssl.create_default_context()
        authority.configure_trust(context)

        def accepted() -> bool:
            with Dialogue(server.address) as client:
                client.expect(234, "AUTH TLS")
                try:
                    context.wrap_socket(client.sock, server_hostname="localhost").close()
                except ssl.SSLCertVerificationError:
                    return False
                return True

        wait_for(accepted)
        old.expect(257, "PWD")
        used.write_text("this is no certificate")
        server.server.reload()
        assert accepted(), "the last good one stays in use"


def test_contradictory_settings_are_refused(root: Path, tls: Tls, serve: Callable[..., Running]) -> None:
    for settings in (
        {"implicit_tls": True},
        {"tls": TlsConfig(require_control=True)},
        {"tls": TlsConfig(cert=tls.cert, min_version="1.1")},
        {"tls": TlsConfig(cert=tls.cert, require_client_cert=True)},
    ):
        with pytest.raises(ValueError, match=r"tls\."):
            serve(**settings)
    with pytest.raises(FileNotFoundError):
        serve(tls=TlsConfig(cert=str(root / "nothing.pem")))


@pytest.mark.parametrize("version", VERSIONS)
def test_active_data_connections_are_protected_too(
    secure: Running, tls: Tls, root: Path, version: ssl.TLSVersion
) -> None:
    with connect(secure, tls.context(version), ReusingFtp) as client:
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
