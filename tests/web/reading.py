"""Clients that read no more than a test says."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator, Sequence

from fastxfer.server import FileInfo, FileKind, LocalFilesystem
from tests.web.site import WAIT, Site, basic

LOGIN = f"Authorization: {basic('alice:wonderland')}\r\n".encode()


class Crowded(LocalFilesystem):
    """So many entries that no socket takes the listing at once."""

    async def entries(self, path: str) -> Sequence[FileInfo]:
        return [FileInfo(f"{number:0200}", FileKind.FILE) for number in range(20_000)]


@contextlib.contextmanager
def reader(site: Site, request: bytes, context: ssl.SSLContext | None = None) -> Iterator[socket.socket]:
    """A client that reads the first line of its answer and no more."""
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(WAIT)
        client.connect(("127.0.0.1", site.port))
        if context is not None:
            client = stack.enter_context(context.wrap_socket(client))
        client.sendall(request + b" HTTP/1.1\r\nHost: x\r\n" + LOGIN + b"\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        yield client


def until_counted(site: Site, count: int) -> None:
    """Wait until *count* connections stand."""
    deadline = time.monotonic() + WAIT
    while site.service.guard.connections != count:
        assert time.monotonic() < deadline, f"{site.service.guard.connections} connections instead of {count}"
        time.sleep(0.01)


def until_idle(site: Site) -> None:
    """Wait until no request is under way."""
    deadline = time.monotonic() + WAIT
    while site.interface.active:
        assert time.monotonic() < deadline, f"{site.interface.active} requests are under way"
        time.sleep(0.01)


def ended(sock: socket.socket) -> bool:
    """Whether the server closes the connection; what it says before is thrown away."""
    with contextlib.suppress(ConnectionResetError):
        while sock.recv(65536):
            pass
    return True
