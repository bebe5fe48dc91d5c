from __future__ import annotations

import ftplib
import io
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fastxfer.server import TlsConfig, beneath
from tests.server.dialogue import DEADLINE, PASSWORD, USER, Dialogue, Running, running

Shell = Callable[..., str]
TLS_VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory that is served."""
    directory = tmp_path / "root"
    directory.mkdir()
    return directory


@pytest.fixture
def serve(root: Path) -> Iterator[Callable[..., Running]]:
    """Starts servers of ``root`` with the settings given; they are stopped at the end."""
    with ExitStack() as stack:

        def start(**settings: Any) -> Running:
            directory = settings.pop("root", root)
            return stack.enter_context(running(directory, **settings))

        yield start


@pytest.fixture
def server(serve: Callable[..., Running]) -> Running:
    """A server with the settings that it has by itself."""
    return serve()


@pytest.fixture
def client(server: Running) -> Iterator[Dialogue]:
    """A control connection of alice, logged in, TYPE I."""
    with Dialogue(server.address) as dialogue:
        yield dialogue.login()


@dataclass
class Tls:
    """A certificate for localhost and what trusts it."""

    cert: str
    ca: str
    directory: Path

    def context(self, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A certificate for localhost, 127.0.0.1 and ::1."""
    trustme = pytest.importorskip("trustme", reason="certificates for the tests are made by trustme")
    directory = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1", "::1", key_type=trustme.KeyType.ECDSA)
    issued.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    return Tls(str(directory / "server.pem"), str(directory / "ca.pem"), directory)


def connect_tls(server: Running, context: ssl.SSLContext, cls: type[ftplib.FTP_TLS] = ftplib.FTP_TLS) -> ftplib.FTP_TLS:
    """A client logged in, with protected data connections."""
    client = cls(context=context, timeout=DEADLINE)
    client.connect("localhost", server.port)
    client.login(USER, PASSWORD)
    client.prot_p()
    return client


@pytest.fixture
def secure(serve: Callable[..., Running], tls: Tls) -> Running:
    """A server with a certificate."""
    return serve(tls=TlsConfig(cert=tls.cert))


@pytest.fixture
def descriptors() -> Callable[[], int]:
    """How many descriptors this process has open."""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("counting descriptors needs /proc")
    return lambda: len(os.listdir("/proc/self/fd"))


@pytest.fixture(params=["openat2", "walk"])
def resolution(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of opening files below the root."""
    if request.param == "walk":
        monkeypatch.setattr(beneath, "_openat2", None)
    elif beneath._openat2 is None:
        pytest.skip("this system has no openat2")
    name: str = request.param
    return name


@pytest.fixture
def shell(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Runs the command line in this process; what it says."""
    pytest.importorskip("click", reason="needs the extra `cli`")
    from fastxfer.cli._app import run

    def call(*arguments: str, stdin: str = "", expect: int = 0) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = run(list(arguments))
        said = "".join(capfd.readouterr())
        assert code == expect, said
        return said

    return call
