"""Servers for the client's tests, one of each for all of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ftp_servers import (
    Certificates,
    FTPPeer,
    peers_of_environment,
    root_for_all,
    run_proftpd,
    run_pure_ftpd,
    run_pyftpdlib,
    run_vsftpd,
)

_RUNNERS = {"pyftpdlib": run_pyftpdlib, "vsftpd": run_vsftpd, "proftpd": run_proftpd, "pure-ftpd": run_pure_ftpd}
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


@pytest.fixture
def peer(running_peer: FTPPeer) -> FTPPeer:
    """A running server, plain or with TLS, whose root is empty. Each test that takes it is run with every one."""
    for item in running_peer.root.iterdir():
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()
    return running_peer


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A directory on this side."""
    directory = tmp_path / "local"
    directory.mkdir()
    return directory
