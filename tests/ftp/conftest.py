"""Servers for the client's tests, one of each for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ftp_servers import RUNNERS, Certificates, FTPPeer, empty, names_of, run_named


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session", params=names_of(RUNNERS))
def running_peer(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[FTPPeer]:
    with run_named(request.param, RUNNERS, certificates) as peer:
        yield peer


@pytest.fixture
def peer(running_peer: FTPPeer) -> FTPPeer:
    """A running server, plain or with TLS, whose root is empty. Each test that takes it is run with every one."""
    empty(running_peer.root)
    return running_peer


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A directory on this side."""
    directory = tmp_path / "local"
    directory.mkdir()
    return directory
