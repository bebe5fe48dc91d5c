"""A server with an HTTP interface, in a thread of its own, and a client that sends exactly what a test says."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastxfer.net.aio import TransferRunner
from fastxfer.server import (
    Authenticator,
    Chain,
    Filesystem,
    Hooks,
    LocalFilesystem,
    Permissions,
    ServerConfig,
    Service,
    User,
    UserTable,
)
from fastxfer.server.sharedbooks import WorkerBooks
from fastxfer.server.web import WebInterface

WAIT = 30.0
"""Seconds: the longest that anything in a test may take on a busy machine."""

USERS = [
    (User(name="alice"), "wonderland"),
    (User(name="reader", permissions=Permissions("read-only")), "library"),
    (User(name="courier", permissions=Permissions("write")), "letterbox"),
]


class Answer:
    """What came back."""

    def __init__(self, response: http.client.HTTPResponse, body: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<{self.status} {dict(self.headers)} {self.body[:200]!r}>"


class Site:
    """A running interface."""

    def __init__(
        self, root: Path, port: int, interface: WebInterface, service: Service, runner: TransferRunner, *, tls: bool
    ) -> None:
        self.root = root
        self.port = port
        self.interface = interface
        self.service = service
        self.runner = runner
        self.loop: asyncio.AbstractEventLoop | None = None
        self._tls = tls

    @property
    def origin(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def connect(self) -> http.client.HTTPConnection:
        if self._tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=WAIT, context=context)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)

    def request(
        self,
        method: str,
        target: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        user: str = "alice:wonderland",
    ) -> Answer:
        """One request on a connection of its own, by *user* (``name:password``; empty for nobody)."""
        sent = dict(headers or {})
        if user:
            sent.setdefault("Authorization", basic(user))
        connection = self.connect()
        try:
            connection.request(method, target, body=body, headers=sent, encode_chunked="Transfer-Encoding" in sent)
            response = connection.getresponse()
            return Answer(response, response.read())
        finally:
            connection.close()

    def get(self, target: str, headers: Mapping[str, str] | None = None, **options: Any) -> Answer:
        return self.request("GET", target, None, headers, **options)

    def put(self, target: str, body: Any, headers: Mapping[str, str] | None = None, **options: Any) -> Answer:
        return self.request("PUT", target, body, headers, **options)

    def post(self, target: str, body: Any = None, headers: Mapping[str, str] | None = None, **options: Any) -> Answer:
        return self.request("POST", target, body, headers, **options)

    def delete(self, target: str, headers: Mapping[str, str] | None = None, **options: Any) -> Answer:
        return self.request("DELETE", target, None, headers, **options)

    def raw(self, *pieces: bytes, close: bool = False) -> bytes:
        """Send *pieces* as they are; all that comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT) as plain:
            # A server that has seen enough closes before all is sent.
            with contextlib.suppress(OSError):
                for piece in pieces:
                    plain.sendall(piece)
                if close:
                    plain.shutdown(socket.SHUT_WR)
            received = b""
            while True:
                try:
                    data = plain.recv(65536)
                except ConnectionResetError:
                    return received
                if not data:
                    return received
                received += data

    def first_line(self, sent: bytes) -> bytes:
        """The first line of what comes back for *sent*."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT) as plain, plain.makefile("rb") as lines:
            plain.sendall(sent)
            return lines.readline().strip()

    def run(self, coroutine: Any) -> Any:
        """The result of *coroutine*, run in the server's loop."""
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(WAIT)


def basic(user: str) -> str:
    """The Authorization header of ``name:password``."""
    return "Basic " + base64.b64encode(user.encode()).decode()


def form(*parts: tuple[str, str | None, bytes], boundary: str = "b0undary") -> tuple[bytes, dict[str, str]]:
    """A multipart/form-data body of (field, file name, content), and its header."""
    body = b""
    for field, name, content in parts:
        named = "" if name is None else f'; filename="{name}"'
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"{named}\r\n\r\n'.encode()
        body += content + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


@contextmanager
def serve(
    root: Path,
    *,
    config: ServerConfig | None = None,
    users: list[tuple[User, str]] | None = None,
    authenticators: tuple[Authenticator, ...] = (),
    filesystem: Filesystem | None = None,
    hooks: Hooks | None = None,
    books: WorkerBooks | None = None,
    tls: ssl.SSLContext | None = None,
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
    **options: Any,
) -> Iterator[Site]:
    """Run an interface over *root* until the block ends."""
    ready: threading.Event = threading.Event()
    stop: list[Any] = []
    started: list[Site] = []

    async def main() -> None:
        service = Service(
            config or ServerConfig(),
            filesystem or LocalFilesystem(root),
            Chain([UserTable(USERS if users is None else users), *authenticators]),
            hooks,
            books,
        )
        async with TransferRunner() as runner:
            web = WebInterface(service, runner, ftp_port=2121, tls=tls, **options)
            await web.start("127.0.0.1", 0)
            ending = asyncio.Event()
            stop.append(ending.set)
            started.append(Site(root, web.port, web, service, runner, tls=tls is not None))
            started[0].loop = asyncio.get_running_loop()
            ready.set()
            await ending.wait()
            await web.stop()
        await service.close()

    failure: list[BaseException] = []

    def run() -> None:
        loop = new_loop()
        try:
            loop.run_until_complete(main())
            loop.run_until_complete(loop.shutdown_default_executor())
        except BaseException as error:
            failure.append(error)
        finally:
            loop.close()
            ready.set()

    thread = threading.Thread(target=run, name="site", daemon=True)
    thread.start()
    assert ready.wait(WAIT)
    if failure:
        raise failure[0]
    site: Site = started[0]
    try:
        yield site
    finally:
        assert site.loop is not None
        site.loop.call_soon_threadsafe(stop[0])
        thread.join(WAIT)
        assert not thread.is_alive(), "the interface did not stop"
        if failure:
            raise failure[0]
