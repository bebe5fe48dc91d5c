"""FTPS: AUTH, PBSZ, PROT, CCC, implicit TLS, certificates, and where TLS is required (RFC 4217)."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import os
import re
import shutil
import ssl
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.server import (
    Authenticator,
    Credentials,
    Hooks,
    ListenerConfig,
    SessionInfo,
    TlsConfig,
    User,
    WebConfig,
)
from tests.server.conftest import TLS_VERSIONS, Tls, connect_tls
from tests.server.dialogue import DEADLINE, PASSWORD, USER, Dialogue, Running, wait_for


@pytest.mark.parametrize("version", TLS_VERSIONS)
@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_files_go_up_and_down(secure: Running, tls: Tls, root: Path, version: ssl.TLSVersion, size: int) -> None:
    content = os.urandom(size)
    with connect_tls(secure, tls.context(version)) as client:
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


@pytest.mark.parametrize("version", TLS_VERSIONS)
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


def test_a_broken_certificate_is_kept_out_where_each_connection_has_a_context_of_its_own(
    serve: Callable[..., Running], tls: Tls, tmp_path: Path
) -> None:
    used = tmp_path / "used.pem"
    shutil.copy(tls.cert, used)
    server = serve(tls=TlsConfig(cert=str(used), reload=0.05, require_session_reuse=True))
    for spoil in (lambda: used.write_text("this is no certificate"), used.unlink):
        spoil()
        server.server.reload()
        context = tls.context()
        with Dialogue(server.address) as client:
            client.starttls(context).login()
            assert client.fetch("NLST", context=context) == b""


def test_clients_of_an_authority_that_was_taken_away_are_refused(
    serve: Callable[..., Running], tls: Tls, tmp_path: Path
) -> None:
    import trustme

    old, new = trustme.CA(), trustme.CA()
    trusted = tmp_path / "clients.pem"
    old.cert_pem.write_to_path(str(trusted))
    server = serve(
        tls=TlsConfig(cert=tls.cert, client_ca=str(trusted), require_client_cert=True), web=WebConfig(enabled=True)
    )

    def accepts(authority: trustme.CA, port: int) -> bool:
        context = tls.context()
        authority.issue_cert("alice@example.org").configure_cert(context)
        try:
            if port == server.port:
                with Dialogue(server.address) as client:
                    client.starttls(context)
                return True
            connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=DEADLINE)
            with contextlib.closing(connection):
                connection.request("GET", "/healthz")
                return connection.getresponse().status == 200
        except (OSError, EOFError):
            return False

    ports = server.port, server.server.web_port
    assert [(accepts(old, port), accepts(new, port)) for port in ports] == [(True, False)] * 2
    new.cert_pem.write_to_path(str(trusted))
    server.server.reload()
    assert [(accepts(old, port), accepts(new, port)) for port in ports] == [(False, True)] * 2


def test_nobody_is_asked_for_the_password_of_a_key(serve: Callable[..., Running], tls: Tls, tmp_path: Path) -> None:
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization", reason="encrypts the key")
    text = Path(tls.cert).read_bytes()
    key = serialization.load_pem_private_key(text, None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    for password in "", "wrong":
        with pytest.raises(ssl.SSLError, match=re.escape(f"{locked} cannot be used") + ".*tls.key_password"):
            serve(tls=TlsConfig(cert=tls.cert, key=str(locked), key_password=password))
    server = serve(tls=TlsConfig(cert=tls.cert, key=str(locked), key_password="secret"))
    with Dialogue(server.address) as client:
        client.starttls(tls.context()).login()


class _Slow(Hooks):
    """One who thinks about a client until :meth:`go` is called."""

    def __init__(self) -> None:
        self._may_go = asyncio.Event()

    async def on_connect(self, session: SessionInfo) -> None:
        await self._may_go.wait()

    async def go(self) -> None:
        self._may_go.set()


@pytest.mark.parametrize("balancer", [False, True])
def test_a_hook_that_takes_its_time_does_not_miss_the_handshake(
    serve: Callable[..., Running], tls: Tls, balancer: bool
) -> None:
    hook = _Slow()
    server = serve(tls=TlsConfig(cert=tls.cert), implicit_tls=True, hooks=hook, proxy_protocol=balancer)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    channel = tls.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        channel.do_handshake()
    with Dialogue(server.address, greet=False) as client:
        client.send((b"PROXY UNKNOWN\r\n" if balancer else b"") + outgoing.read())
        wait_for(lambda: server.server.sessions == 1)
        greeting = b""
        while not greeting:
            incoming.write(client.sock.recv(65536))
            try:
                channel.do_handshake()
                server.do(hook.go())
                client.send(outgoing.read())
                greeting = channel.read()
            except ssl.SSLWantReadError:
                client.send(outgoing.read())
        assert greeting.startswith(b"220 ")


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
