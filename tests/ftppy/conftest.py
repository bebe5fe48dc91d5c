"""Servers for the FtpPy API, the real ones of the client's tests and our own, and its clients of them."""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fastxfer.ftppy import SSL, Basic, FtpClient, FtpPy, FtpPyWarning
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

T = TypeVar("T")

PEER_WARNINGS = [
    pytest.mark.filterwarnings("ignore:the password has fewer"),
    # pyftpdlib runs in this process.
    pytest.mark.filterwarnings("ignore:.*utcfromtimestamp:DeprecationWarning"),
]
"""What is said of the peers of these tests, and is no fault."""


def factory(peer: FTPPeer, **settings: Any) -> FtpPy:
    """What makes clients of *peer*."""
    settings.setdefault("auth", Basic(peer.user, peer.password))
    if peer.ca_file is not None:
        settings.setdefault("ssl", SSL(bundle=peer.ca_file))
    return FtpPy(peer.url, **settings)


def use(peer: FTPPeer, task: Callable[[FtpClient], Awaitable[T]], **settings: Any) -> T:
    """What *task* gives, run with a client of *peer*. Warnings are errors, as everywhere in the tests."""

    async def main() -> T:
        async with factory(peer, **settings).client() as client:
            return await task(client)

    return asyncio.run(main())


def warned(peer: FTPPeer, task: Callable[[FtpClient], Awaitable[T]], **settings: Any) -> tuple[T, list[str]]:
    """Likewise, with the texts of the API's warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = use(peer, task, **settings)
    return result, [str(item.message) for item in caught if item.category is FtpPyWarning]


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
