"""Our own server in a thread of its own, plain, with AUTH TLS and with implicit TLS at the same time."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fastxfer.server import FtpServer, ListenerConfig, TimeoutsConfig, TlsConfig, User
from tests.support.ftp_servers import Certificates

WAIT = 30.0


@dataclass(frozen=True)
class Served:
    """Where it listens."""

    root: Path
    port: int
    implicit_port: int = 0

    def fitted(self, code: str, host: str = "files.example.org") -> str:
        """*code* with the URLs of *host* made to be those of this server."""
        for scheme, port in (("ftps", self.implicit_port), ("ftpes", self.port), ("ftp", self.port)):
            for credentials in ("me:secret@", ""):
                code = code.replace(f"{scheme}://{credentials}{host}", f"{scheme}://{credentials}127.0.0.1:{port}")
        return code


@contextlib.contextmanager
def serving(root: Path, certificates: Certificates | None, user: str, password: str) -> Iterator[Served]:
    """A server of *root* for one user, and for guests; without *certificates* it has no TLS (implicit_port is 0)."""
    tls, listeners = TlsConfig(), [ListenerConfig(port=0)]
    if certificates is not None:
        tls = TlsConfig(cert=certificates.server_file, key=certificates.key_file)
        listeners.append(ListenerConfig(port=0, implicit_tls=True))
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Event, list[int]]] = []
    ready = threading.Event()

    async def main() -> None:
        server = FtpServer(
            root,
            users=[(User(name=user), password)],
            anonymous=True,
            tls=tls,
            timeouts=TimeoutsConfig(shutdown=1.0),
            listeners=tuple(listeners),
        )
        async with server:
            stop = asyncio.Event()
            started.append((asyncio.get_running_loop(), stop, [port for _, port in server.addresses]))
            ready.set()
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(main())
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="documented-server")
    thread.start()
    assert ready.wait(WAIT)
    assert started, "the server did not start"
    loop, stop, ports = started[0]
    try:
        yield Served(root, *ports)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(WAIT)
        assert not thread.is_alive()
