"""Servers for the FtpPy API: the real ones of the client's tests, and our own."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastxfer.server import FtpServer, TlsConfig, User
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

WAIT = 30.0


@contextlib.contextmanager
def run_fastxfer(root: Path, certificates: Certificates | None = None) -> Iterator[FTPPeer]:
    """Our own server, in a thread of this process."""
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = []
    ready = threading.Event()
    tls = TlsConfig()
    if certificates is not None:
        tls = TlsConfig(cert=certificates.server_file, key=certificates.key_file)

    async def main() -> None:
        users = [(User(name=USER), PASSWORD)]
        async with FtpServer(root, port=0, users=users, tls=tls, anonymous=True) as server:
            stop = asyncio.Event()
            started.append((asyncio.get_running_loop(), stop, server.port))
            ready.set()
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(main())
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="fastxfer")
    thread.start()
    assert ready.wait(WAIT)
    loop, stop, port = started[0]
    try:
        yield FTPPeer(
            "fastxfer",
            "127.0.0.1",
            port,
            root,
            tls="none" if certificates is None else "explicit",
            ca_file=None if certificates is None else certificates.ca_file,
        )
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(WAIT)
        assert not thread.is_alive()


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
