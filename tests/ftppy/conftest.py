"""Servers for the FtpPy API: the real ones of the client's tests, and our own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ftp_servers import (
    PASSWORD,
    RUNNERS,
    USER,
    Certificates,
    FTPPeer,
    Runner,
    empty,
    names_of,
    run_named,
)
from tests.support.serving import serving


@contextlib.contextmanager
def run_fastxfer(root: Path, certificates: Certificates | None = None) -> Iterator[FTPPeer]:
    """Our own server, in a thread of this process."""
    with serving(root, certificates, USER, PASSWORD) as served:
        yield FTPPeer(
            "fastxfer",
            "127.0.0.1",
            served.port,
            root,
            tls="none" if certificates is None else "explicit",
            ca_file=None if certificates is None else certificates.ca_file,
            anonymous=True,
        )


_RUNNERS: dict[str, Runner] = {"fastxfer": run_fastxfer, **RUNNERS}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session", params=names_of(_RUNNERS))
def running_peer(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[FTPPeer]:
    with run_named(request.param, _RUNNERS, certificates) as peer:
        yield peer


@pytest.fixture(scope="session")
def running_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FTPPeer]:
    with run_fastxfer(tmp_path_factory.mktemp("root")) as peer:
        yield peer


@pytest.fixture
def peer(running_peer: FTPPeer) -> FTPPeer:
    """A running server, plain or with TLS, whose root is empty. Each test that takes it is run with every one."""
    empty(running_peer.root)
    return running_peer


@pytest.fixture
def own(running_own: FTPPeer) -> FTPPeer:
    """Our own server, plain, its root empty: for what does not depend on the server."""
    empty(running_own.root)
    return running_own


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on this side, which is the working directory."""
    directory = tmp_path / "local"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory
