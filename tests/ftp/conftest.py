"""Servers for the client's tests, one of each for all of them, and trees that are moved."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from fastxfer.ftp import AsyncClient, TLSSettings
from tests.support.ftp_servers import RUNNERS, Certificates, FTPPeer, empty, names_of, run_named

TREE = {
    "a.txt": b"a",
    "empty": b"",
    "grün/ü b.txt": b"umlauts and blanks",
    "sub/b.bin": bytes(100_000),
    "sub/deep/er/c.txt": b"c" * 5000,
}


def client_of(peer: FTPPeer, **options: object) -> AsyncClient:
    return AsyncClient(
        peer.url,
        user=peer.user,
        password=peer.password,
        tls_settings=TLSSettings(ca_file=peer.ca_file),
        **options,
    )


def run(peer: FTPPeer, body: Callable[[AsyncClient], Awaitable[None]], **options: object) -> None:
    """Run *body* with a client of *peer*."""

    async def session() -> None:
        async with client_of(peer, **options) as client:
            await body(client)

    asyncio.run(session())


def plant(directory: Path, tree: dict[str, bytes] = TREE) -> Path:
    """Files of a known time, and an empty directory."""
    for name, content in tree.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    (directory / "nothing in it").mkdir(exist_ok=True)
    return directory


def harvest(directory: Path) -> dict[str, bytes]:
    """The files below a directory."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


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
