"""TLS that is refused, stripped, cut or false: where TLS is asked for there is TLS or an error."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from fastxfer.ftp import AsyncClient, TLSFailedError, TLSSettings, TruncatedError
from tests.ftp.hostile import run
from tests.support.ftp_servers import Certificates
from tests.support.scripted_ftp import Control, ScriptedServer, scripted_server


def server_context(certificates: Certificates, *, client_authority: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server_file)
    if client_authority is not None:
        context.load_verify_locations(client_authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def secure_url(server: ScriptedServer) -> str:
    return server.url.replace("ftp://", "ftpes://")


async def nothing(client: AsyncClient) -> None:
    """Connecting is enough."""


def test_no_tls_where_it_was_asked_for_is_an_error_and_no_password_is_sent() -> None:
    with scripted_server() as server:
        with pytest.raises(TLSFailedError):
            run(server, nothing, url=secure_url(server))
        assert server.commands == ["AUTH TLS"]


def test_hanging_up_on_auth_is_an_error_too() -> None:
    with scripted_server() as server:
        server.handlers["AUTH"] = lambda control, argument: control.hang_up()
        with pytest.raises(TLSFailedError):
            run(server, nothing, url=secure_url(server))


def test_a_reply_injected_before_the_handshake_is_an_error(certificates: Certificates) -> None:
    def auth(control: Control, argument: str) -> None:
        control.reply("234 go ahead", "230 you are root now")

    with scripted_server(server_context(certificates)) as server:
        server.handlers["AUTH"] = auth
        with pytest.raises(TLSFailedError, match="in the clear"):
            run(server, nothing, url=secure_url(server), tls_settings=TLSSettings(ca_file=certificates.ca_file))


def test_data_connections_in_the_clear_are_not_put_up_with(certificates: Certificates) -> None:
    with scripted_server(server_context(certificates)) as server:
        server.handlers["PROT"] = lambda control, argument: control.reply("536 no")
        with pytest.raises(TLSFailedError, match="does not encrypt data"):
            run(server, nothing, url=secure_url(server), tls_settings=TLSSettings(ca_file=certificates.ca_file))


def test_an_unknown_authority_is_not_trusted(certificates: Certificates) -> None:
    with scripted_server(server_context(certificates)) as server:
        with pytest.raises(TLSFailedError, match="certificate verify failed"):
            run(server, nothing, url=secure_url(server))
        assert server.count("USER") == 0
        run(server, nothing, url=secure_url(server), tls_settings=TLSSettings(verify=False))


def test_the_name_in_the_certificate_must_be_the_hosts(certificates: Certificates) -> None:
    with scripted_server(server_context(certificates)) as server:
        settings = TLSSettings(ca_file=certificates.ca_file, server_hostname="other.example.org")
        with pytest.raises(TLSFailedError, match=r"other\.example\.org"):
            run(server, nothing, url=secure_url(server), tls_settings=settings)


def test_a_client_certificate_is_shown(certificates: Certificates) -> None:
    context = server_context(certificates, client_authority=certificates.ca_file)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with scripted_server(context) as server:
        server.files["/a"] = b"content"
        with pytest.raises(TLSFailedError):
            run(server, nothing, url=secure_url(server), tls_settings=TLSSettings(ca_file=certificates.ca_file))
        settings = TLSSettings(ca_file=certificates.ca_file, certificate=certificates.client_file)
        content = run(server, lambda client: client.read("a"), url=secure_url(server), tls_settings=settings)
        assert content == b"content"


def test_tls_settings_that_can_not_be_used_are_refused(tmp_path: Path, certificates: Certificates) -> None:
    with pytest.raises(ValueError, match="unknown TLS version"):
        TLSSettings(minimum_version="1.1")
    with pytest.raises(ValueError, match="without its certificate"):
        TLSSettings(key="key.pem")
    (tmp_path / "empty.pem").write_text("")
    with scripted_server(server_context(certificates)) as server:
        for settings in (
            TLSSettings(ca_file=tmp_path / "empty.pem"),
            TLSSettings(ca_file=tmp_path / "missing.pem"),
            TLSSettings(ciphers="NO-SUCH-CIPHER"),
        ):
            with pytest.raises(TLSFailedError, match="can not be used"):
                run(server, nothing, url=secure_url(server), tls_settings=settings)
        assert server.connections == 0


def cut(data: ssl.SSLSocket) -> None:
    """End the TCP connection without ending TLS."""
    data.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("size_known", [True, False])
@pytest.mark.parametrize("to_file", [True, False])
def test_a_tls_stream_without_its_end_is_not_taken_for_whole(
    tmp_path: Path, certificates: Certificates, version: ssl.TLSVersion, size_known: bool, to_file: bool
) -> None:
    content = bytes(100_000)

    def retr(control: Control, argument: str) -> None:
        start, control.restart = control.restart, 0
        control.reply("150 here it comes")
        data = control.data()
        data.sendall(content[start:50_000])
        cut(data)
        control.reply("226 complete")

    context = server_context(certificates)
    context.maximum_version = version
    with scripted_server(context) as server:
        server.files["/a"] = content
        server.handlers["RETR"] = retr
        if not size_known:
            server.features.remove("SIZE")

        async def body(client: AsyncClient) -> None:
            attempt = client.download("a", tmp_path / "a") if to_file else client.read("a")
            with pytest.raises(TruncatedError):
                await attempt

        run(server, body, url=secure_url(server), tls_settings=TLSSettings(ca_file=certificates.ca_file))
    assert list(tmp_path.iterdir()) == []


def test_a_whole_file_is_taken_even_if_tls_does_not_end_in_good_order(certificates: Certificates) -> None:
    """Where SIZE, on the protected control connection, says that nothing is missing."""
    content = bytes(100_000)

    def retr(control: Control, argument: str) -> None:
        control.reply("150 here it comes")
        data = control.data()
        data.sendall(content)
        cut(data)
        control.reply("226 complete")

    with scripted_server(server_context(certificates)) as server:
        server.files["/a"] = content
        server.handlers["RETR"] = retr
        settings = TLSSettings(ca_file=certificates.ca_file)
        assert run(server, lambda client: client.read("a"), url=secure_url(server), tls_settings=settings) == content


def test_a_listing_without_its_end_is_an_error_unless_that_is_put_up_with(certificates: Certificates) -> None:
    def mlsd(control: Control, argument: str) -> None:
        control.reply("150 here it comes")
        data = control.data()
        data.sendall(b"type=file;size=1; a\r\n")
        cut(data)
        control.reply("226 complete")

    with scripted_server(server_context(certificates)) as server:
        server.handlers["MLSD"] = mlsd
        settings = TLSSettings(ca_file=certificates.ca_file)
        url = secure_url(server)
        with pytest.raises(TruncatedError):
            run(server, lambda client: client.list(), url=url, tls_settings=settings)
        found = run(server, lambda client: client.list(), url=url, tls_settings=settings, require_close_notify=False)
        assert [entry.name for entry in found] == ["a"]


def test_a_false_certificate_on_the_data_connection_is_not_trusted(tmp_path: Path, certificates: Certificates) -> None:
    other = trustme.CA().issue_cert("localhost", "127.0.0.1")
    false_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    other.configure_cert(false_context)
    good = server_context(certificates)
    with scripted_server(good) as server:
        server.files["/a"] = b"content"
        plain_login = server.handlers["PROT"]

        def prot(control: Control, argument: str) -> None:
            plain_login(control, argument)
            server.context = false_context

        server.handlers["PROT"] = prot
        with pytest.raises(TLSFailedError):
            run(
                server,
                lambda client: client.download("a", tmp_path / "a"),
                url=secure_url(server),
                tls_settings=TLSSettings(ca_file=certificates.ca_file),
            )
    assert list(tmp_path.iterdir()) == []
