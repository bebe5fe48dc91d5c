"""Who the URL commands log in as, whom they trust, and what they keep to themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.cli._exit_codes import ExitCode
from fastxfer.cli.urls.credentials import credentials_for
from fastxfer.cli.urls.location import parse_location
from tests.cli.calling import Cli
from tests.server.dialogue import PASSWORD, USER, Running, running


def test_wrong_password_is_denied(cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTXFER_PASSWORD", "wrong")
    assert cli.run("ls", url)[0] == ExitCode.DENIED
    assert "wrong" not in cli.error


def test_credentials_from_the_url_and_from_netrc(
    cli: Cli, server: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("FASTXFER_USER", "FASTXFER_PASSWORD"):
        monkeypatch.delenv(name)
    plain = f"ftp://127.0.0.1:{server.port}/"
    assert cli.run("ls", plain)[0] == ExitCode.DENIED
    cli.ok("ls", f"ftp://{USER}:{PASSWORD}@127.0.0.1:{server.port}/")
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    netrc.chmod(0o600)
    cli.ok("ls", plain, "--netrc", netrc)
    monkeypatch.setenv("NETRC", str(netrc))
    cli.ok("ls", plain)
    cli.ok("ls", f"ftp://{USER}@127.0.0.1:{server.port}/")
    netrc.write_text("machine 127.0.0.1 nonsense\n")
    assert cli.run("ls", plain)[0] == ExitCode.LOCAL
    assert cli.run("ls", plain, "--netrc", tmp_path / "missing")[0] == ExitCode.LOCAL


@pytest.mark.parametrize("server", ["[::1]:2121", "[::1]", "[fe80::1%25eth0]:2121", "host:2121", "host"])
def test_netrc_knows_a_server_by_its_host_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: str) -> None:
    for name in ("FASTXFER_USER", "FASTXFER_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    netrc = tmp_path / "netrc"
    netrc.write_text("\n".join(f"machine {host} login me password secret" for host in ("::1", "fe80::1%eth0", "host")))
    netrc.chmod(0o600)
    assert credentials_for(parse_location(f"ftp://{server}/x"), str(netrc)) == ("me", "secret")


def test_a_netrc_that_others_may_read_is_not_used(
    cli: Cli, server: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("FASTXFER_USER", "FASTXFER_PASSWORD", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    plain = f"ftp://127.0.0.1:{server.port}/"
    assert cli.run("ls", plain)[0] == ExitCode.DENIED
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    netrc.chmod(0o644)
    assert cli.run("ls", plain)[0] == ExitCode.LOCAL
    assert "permissive" in cli.error
    assert PASSWORD not in cli.error
    netrc.chmod(0o600)
    cli.ok("ls", plain)


def test_a_password_in_a_url_is_not_shown_again(cli: Cli, server: Running) -> None:
    code, _ = cli.run("stat", f"ftp://{USER}:{PASSWORD}@127.0.0.1:{server.port}/missing", "--json")
    assert code == ExitCode.NOT_FOUND
    assert f"{USER}:{PASSWORD}" not in json.dumps(parse_location(f"ftp://u:{PASSWORD}@h/").text) + cli.error


def test_no_server_is_unreachable(cli: Cli) -> None:
    assert cli.run("ls", "ftp://127.0.0.1:1/", "--retries", 1)[0] == ExitCode.UNREACHABLE


def test_tls_with_a_private_authority(
    cli: Cli, root: Path, tmp_path_factory: pytest.TempPathFactory, make_certificate: Callable[[Path], tuple[str, str]]
) -> None:
    from fastxfer.server import TlsConfig

    certificate, authority = make_certificate(tmp_path_factory.mktemp("tls"))
    (root / "f").write_bytes(b"x")
    with running(root, tls=TlsConfig(cert=certificate)) as server:
        secure = f"ftpes://127.0.0.1:{server.port}/"
        assert cli.run("ls", secure, "--retries", 1)[0] == ExitCode.UNREACHABLE
        assert cli.ok("ls", secure, "--ca-file", authority) == "f"
        assert cli.ok("ls", secure, "--insecure") == "f"


@pytest.fixture
def make_certificate() -> Callable[[Path], tuple[str, str]]:
    """Writes a certificate for 127.0.0.1 and its authority's, and returns their paths."""
    trustme = pytest.importorskip("trustme", reason="certificates for the tests are made by trustme")

    def make(directory: Path) -> tuple[str, str]:
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
        authority.cert_pem.write_to_path(str(directory / "ca.pem"))
        return str(directory / "server.pem"), str(directory / "ca.pem")

    return make
