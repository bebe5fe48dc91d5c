"""Servers for the FtpPy API: the real ones of the client's tests, and our own."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ftp_servers import (
    PASSWORD,
    USER,
    Certificates,
    FTPPeer,
    peers_of_environment,
    root_for_all,
    run_proftpd,
    run_pure_ftpd,
    run_pyftpdlib,
    run_vsftpd,
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


_RUNNERS = {
    "fastxfer": run_fastxfer,
    "pyftpdlib": run_pyftpdlib,
    "vsftpd": run_vsftpd,
    "proftpd": run_proftpd,
    "pure-ftpd": run_pure_ftpd,
}
_RUNNING = peers_of_environment()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session", params=[*(f"{name}{tls}" for name in _RUNNERS for tls in ("", "-tls")), *_RUNNING])
def running_peer(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[FTPPeer]:
    if request.param in _RUNNING:
        yield _RUNNING[request.param]
        return
    name = request.param.removesuffix("-tls")
    with root_for_all() as root, _RUNNERS[name](root, certificates if name != request.param else None) as peer:
        yield peer


@pytest.fixture(scope="session")
def running_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FTPPeer]:
    with run_fastxfer(tmp_path_factory.mktemp("root")) as peer:
        yield peer


def empty(root: Path) -> None:
    for item in root.iterdir():
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()


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
