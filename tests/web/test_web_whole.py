"""The interface as a whole: its document, TLS, hooks, speed limits, filesystems, stopping."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from cryptography import x509

import fastxfer.server.web
from fastxfer.server import (
    Direction,
    FileInfo,
    FileKind,
    Filesystem,
    FtpServer,
    Hooks,
    LimitsConfig,
    Permissions,
    RatesConfig,
    Reader,
    ServerConfig,
    SessionInfo,
    TimeoutsConfig,
    TlsConfig,
    TransferInfo,
    User,
    WebConfig,
    Writer,
)
from tests.web.site import WAIT, Site, basic, serve

PARAMETERS = {"get": {"get", "head"}}


def test_the_public_names_are_there() -> None:
    for name in fastxfer.server.web.__all__:
        assert getattr(fastxfer.server.web, name)


def test_the_document_describes_every_route_and_no_other(site: Site) -> None:
    document = site.get("/openapi.json", user="").json
    described = {
        (path, method) for path, item in document["paths"].items() for method in item if method != "parameters"
    }
    (app,) = site.run(applications(site))
    served = {
        (route.resource.canonical, route.method.lower())
        for route in app.router.routes()
        if route.resource is not None and route.resource.canonical != "/files"
    }
    assert described == served | {("/metrics", "get"), ("/metrics", "head")}


async def applications(site: Site) -> list[web.Application]:
    return [site.interface.app]


def test_the_document_is_a_valid_openapi_document() -> None:
    text = resources.files("fastxfer.server.web").joinpath("static/openapi.json").read_text()
    document = json.loads(text)
    assert document["openapi"].startswith("3.1")
    operations = [
        operation for item in document["paths"].values() for method, operation in item.items() if method != "parameters"
    ]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    schemas = document["components"]["schemas"]
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in schemas
    for path, item in document["paths"].items():
        for operation in (value for method, value in item.items() if method != "parameters"):
            names = {parameter["name"] for parameter in (*item.get("parameters", ()), *operation.get("parameters", ()))}
            assert all(f"{{{name}}}" not in path or name in names for name in ("path", "name"))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def test_the_interface_speaks_tls_where_the_server_does(tmp_path: Path, authority: trustme.CA) -> None:
    content = os.urandom(1_000_000)
    (tmp_path / "a").write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with serve(tmp_path, tls=context) as site:
        assert site.get("/", user="").json["secure"] is True
        assert site.get("/files/a").body == content
        assert site.get("/files/a", {"Range": "bytes=500000-"}).body == content[500_000:]
        assert site.put("/files/b", content).status == 201
        assert (tmp_path / "b").read_bytes() == content
        answer = site.post(
            "/session", '{"user": "alice", "password": "wonderland"}', {"Content-Type": "application/json"}, user=""
        )
        assert answer.headers["Set-Cookie"].startswith(f"__Host-fastxfer-{site.port}=")
        assert "Secure" in answer.headers["Set-Cookie"]
        assert site.put("/files/c", b"c", {"Origin": site.origin}).status == 201


class Recorder(Hooks):
    """Writes down what it hears, and refuses what it is told to."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []
        self.ended: list[TransferInfo] = []
        self.refuse = ""

    async def on_connect(self, session: SessionInfo) -> None:
        if self.refuse == "connect":
            raise PermissionError("not you")
        self.heard.append(("connect", session.protocol, session.address))

    async def on_disconnect(self, session: SessionInfo) -> None:
        self.heard.append(("disconnect",))

    async def on_login(self, session: SessionInfo) -> None:
        self.heard.append(("login", session.user))

    async def on_transfer_start(self, transfer: TransferInfo) -> None:
        if self.refuse and transfer.path.endswith(self.refuse):
            raise PermissionError("not this one")
        if transfer.path.endswith("faulty"):
            raise RuntimeError("the hook is broken")

    async def on_transfer_end(self, transfer: TransferInfo) -> None:
        self.ended.append(transfer)

    async def on_rename(self, session: SessionInfo, source: str, target: str) -> None:
        self.heard.append(("rename", session.user, source, target))

    async def on_delete(self, session: SessionInfo, path: str) -> None:
        self.heard.append(("delete", session.user, path))

    async def on_error(self, session: SessionInfo, error: BaseException) -> None:
        self.heard.append(("error", type(error)))


def test_the_hooks_hear_of_everything(tmp_path: Path) -> None:
    hooks = Recorder()
    with serve(tmp_path, hooks=hooks) as site:
        site.put("/files/a", bytes(100_000))
        site.get("/files/a", {"Range": "bytes=50000-"})
        site.post("/files/a?action=move&to=/b")
        site.delete("/files/b")
    upload, download = hooks.ended
    assert (upload.direction, upload.path, upload.moved, upload.ok) == (Direction.UPLOAD, "/a", 100_000, True)
    assert (download.direction, download.offset, download.moved) == (Direction.DOWNLOAD, 50_000, 50_000)
    assert (upload.session.user, upload.session.protocol, upload.session.address) == ("alice", "http", "127.0.0.1")
    assert ("rename", "alice", "/a", "/b") in hooks.heard
    assert ("delete", "alice", "/b") in hooks.heard
    assert hooks.heard.count(("login", "alice")) == 1
    assert hooks.heard.count(("connect", "http", "127.0.0.1")) == 4
    assert hooks.heard.count(("disconnect",)) == 4


def test_hooks_may_refuse_connections_and_transfers(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    hooks = Recorder()
    with serve(tmp_path, hooks=hooks) as site:
        hooks.refuse = "secret"
        assert site.get("/files/secret").status == 403
        assert site.put("/files/secret", b"y").status == 403
        assert (tmp_path / "secret").read_bytes() == b"x"
        hooks.refuse = "connect"
        assert site.get("/healthz", user="").status == 403


def test_a_hook_that_breaks_breaks_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serve(tmp_path, hooks=Recorder()) as site:
        assert site.put("/files/faulty", b"x").status == 201
    assert "on_transfer_start failed" in caplog.text


def test_a_transfer_that_breaks_off_is_told_as_such(tmp_path: Path) -> None:
    hooks = Recorder()
    with serve(tmp_path, hooks=hooks) as site:
        with socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) as plain:
            login = f"Authorization: {basic('alice:wonderland')}\r\n"
            plain.sendall(f"PUT /files/a HTTP/1.1\r\nHost: x\r\n{login}Content-Length: 100\r\n\r\nhello".encode())
            wait_for(lambda: site.service.guard.connections == 1 and len(os.listdir(tmp_path)) == 1)
        wait_for(lambda: len(hooks.ended) == 1)
    assert (hooks.ended[0].ok, hooks.ended[0].moved) == (False, 5)
    assert hooks.ended[0].error


def wait_for(condition: object) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_each_request_is_told_to_a_listener(tmp_path: Path) -> None:
    seen: list[tuple[str, str, int, float]] = []

    async def listener(request: web.Request, response: web.StreamResponse, duration: float) -> None:
        seen.append((request.method, request.path, response.status, duration))
        raise RuntimeError("listeners may break")

    with serve(tmp_path, on_request=listener) as site:
        site.get("/files/missing")
        site.get("/", user="")
    assert [item[:3] for item in seen] == [("GET", "/files/missing", 404), ("GET", "/", 200)]
    assert all(item[3] >= 0 for item in seen)


@pytest.mark.parametrize("through", ["engine", "python"])
def test_rates_are_kept(tmp_path: Path, through: str, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 300_000
    (tmp_path / "a").write_bytes(bytes(size))
    monkeypatch.setattr(fastxfer.server.web.pump, "LARGE", 1)
    if through == "python":
        monkeypatch.setattr(fastxfer.server.web.pump, "_native_transport", lambda request, file: None)
    with serve(tmp_path, config=ServerConfig(rates=RatesConfig(user_download=400_000, user_upload=400_000))) as site:
        began = time.monotonic()
        site.get("/files/a")
        site.get("/files/a")
        site.put("/files/b", bytes(size))
        site.put("/files/b", bytes(size))
        # 600 kB each way at 400 kB/s; what a bucket lets through at once is less than half of it.
        assert time.monotonic() - began > 1.0


class Memory(Filesystem):
    """Files in a dictionary: nothing that a descriptor leads to."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    async def stat(self, path: str, *, follow: bool = True) -> FileInfo:
        if path == "/":
            return FileInfo("", FileKind.DIRECTORY)
        if path not in self.files:
            raise FileNotFoundError(2, "none", path)
        return FileInfo(path[1:], FileKind.FILE, len(self.files[path]), 1.0, unique=str(hash(self.files[path])))

    async def entries(self, path: str) -> Sequence[FileInfo]:
        return [await self.stat(name) for name in self.files]

    async def open_read(self, path: str) -> Reader:
        return MemoryReader(await self.stat(path), self.files[path])

    async def open_write(
        self,
        path: str,
        *,
        offset: int = 0,
        append: bool = False,
        unfinished: bool = False,
        replace: bool = True,
        uploader: str = "",
        size: int = -1,
    ) -> Writer:
        return MemoryWriter(self, path)

    async def make_directory(self, path: str) -> None:
        raise OSError(95, "no directories")

    remove_directory = make_directory

    async def remove(self, path: str) -> None:
        del self.files[path]

    async def rename(self, source: str, target: str, *, replace: bool = True) -> None:
        self.files[target] = self.files.pop(source)


class MemoryReader(Reader):
    def __init__(self, info: FileInfo, content: bytes) -> None:
        self._info = info
        self._content = content

    @property
    def info(self) -> FileInfo:
        return self._info

    async def read(self, offset: int, size: int) -> bytes:
        await asyncio.sleep(0)
        return self._content[offset : offset + size]

    async def close(self) -> None:
        pass


class MemoryWriter(Writer):
    def __init__(self, tree: Memory, path: str) -> None:
        self.offset = 0
        self._tree = tree
        self._path = path
        self._content = io.BytesIO()

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        await asyncio.sleep(0)
        self._content.write(data)

    async def commit(self, *, sync: bool = False) -> None:
        self._tree.files[self._path] = self._content.getvalue()

    async def abort(self, *, keep: bool = True) -> None:
        pass


def test_any_filesystem_can_be_served(tmp_path: Path) -> None:
    tree = Memory()
    content = os.urandom(3_000_000)
    with serve(tmp_path, filesystem=tree) as site:
        assert site.put("/files/a", content).status == 201
        assert tree.files["/a"] == content
        assert site.get("/files/a").body == content
        assert site.get("/files/a", {"Range": "bytes=1000000-1999999"}).body == content[1_000_000:2_000_000]
        assert [entry["name"] for entry in site.get("/files/").json["entries"]] == ["a"]
        assert site.post("/files/d?action=mkdir").status == 501
        assert site.put("/files/b?modified=2020-01-01T00:00:00Z", b"b").status == 201
        assert site.delete("/files/a").status == 200


def test_a_file_that_shrinks_while_it_is_sent_is_not_passed_off_as_whole(tmp_path: Path) -> None:
    tree = Memory()
    tree.files["/a"] = bytes(3_000_000)
    with serve(tmp_path, filesystem=tree) as site:
        real = MemoryReader.read

        async def shrunk(self: MemoryReader, offset: int, size: int) -> bytes:
            return b"" if offset > 1_000_000 else await real(self, offset, size)

        MemoryReader.read = shrunk  # type: ignore[method-assign]
        try:
            for target in ("/files/a", "/files/?archive=zip", "/files/?archive=tar"):
                received = site.raw(
                    f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic('alice:wonderland')}\r\n\r\n".encode()
                )
                assert received.startswith(b"HTTP/1.1 200")
                assert not received.endswith(b"0\r\n\r\n")
                assert len(received) < 3_000_000
        finally:
            MemoryReader.read = real  # type: ignore[method-assign]


def test_the_server_opens_the_interface_beside_ftp(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")

    async def main() -> None:
        users = [(User(name="alice", permissions=Permissions("all")), "wonderland")]
        async with FtpServer(tmp_path, port=0, users=users, web=WebConfig(enabled=True)) as server:
            assert server.web_port not in {0, server.port}
            answer = await asyncio.to_thread(fetch, server.web_port)
            assert answer == b"a"

    asyncio.run(main())


def fetch(port: int) -> bytes:
    site = Site(Path(), port, None, None, None, tls=False)  # type: ignore[arg-type]
    return site.get("/files/a").body


def test_a_server_that_is_stopped_finishes_what_it_has_begun(tmp_path: Path) -> None:
    content = os.urandom(2_000_000)
    with serve(tmp_path) as site:
        plain = socket.create_connection(("127.0.0.1", site.port), timeout=WAIT)
        head = f"PUT /files/a HTTP/1.1\r\nHost: x\r\nAuthorization: {basic('alice:wonderland')}\r\n"
        plain.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content[:1000])
        wait_for(lambda: len(os.listdir(tmp_path)) == 1)
        stopping = threading.Thread(target=site.run, args=(site.interface.stop(),))
        stopping.start()
        wait_for(lambda: site.interface.stopping)
        plain.sendall(content[1000:])
        assert plain.recv(12) == b"HTTP/1.1 201"
        plain.close()
        stopping.join(WAIT)
    assert (tmp_path / "a").read_bytes() == content


def test_a_server_that_is_stopped_waits_for_nobody_forever(tmp_path: Path) -> None:
    with serve(tmp_path, config=ServerConfig(timeouts=TimeoutsConfig(shutdown=0.2))) as site:
        plain = socket.create_connection(("127.0.0.1", site.port), timeout=WAIT)
        head = f"PUT /files/a HTTP/1.1\r\nHost: x\r\nAuthorization: {basic('alice:wonderland')}\r\n"
        plain.sendall(f"{head}Content-Length: 1000\r\n\r\nhello".encode())
        wait_for(lambda: len(os.listdir(tmp_path)) == 1)
    plain.close()
    assert not [name for name in os.listdir(tmp_path) if name == "a"]


def test_connections_are_limited_together_with_ftp(tmp_path: Path) -> None:
    with serve(tmp_path, config=ServerConfig(limits=LimitsConfig(sessions=2))) as site:
        held = [socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) for _ in range(2)]
        wait_for(lambda: site.service.guard.connections == 2)
        assert site.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b""
        for plain in held:
            plain.close()
        wait_for(lambda: site.service.guard.connections == 0)
        assert site.get("/healthz", user="").status == 200


def test_an_aborted_download_leaves_nothing_open(tmp_path: Path) -> None:
    with open(tmp_path / "big", "wb") as file:
        file.truncate(50 << 20)
    with serve(tmp_path) as site:
        # The first download starts the native threads, which keep descriptors of their own.
        site.get("/files/big")
        wait_for(lambda: site.service.guard.connections == 0)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) as plain:
                login = f"Authorization: {basic('alice:wonderland')}\r\n"
                plain.sendall(f"GET /files/big HTTP/1.1\r\nHost: x\r\n{login}\r\n".encode())
                assert plain.recv(1000)
        wait_for(lambda: site.service.guard.connections == 0 and site.runner.active == 0)
        wait_for(lambda: len(os.listdir("/proc/self/fd")) <= before + 2)


def serial_of(port: int) -> int:
    """The serial number of the certificate that is shown on *port*."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=WAIT) as plain,
        context.wrap_socket(plain) as secured,
    ):
        shown = secured.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def test_a_new_certificate_is_taken_up_without_a_restart(tmp_path: Path, authority: trustme.CA) -> None:
    file = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(file))

    async def main() -> None:
        tls = TlsConfig(cert=str(file), reload=0.001)
        users = [(User(name="alice"), "wonderland")]
        async with FtpServer(tmp_path, port=0, users=users, tls=tls, web=WebConfig(enabled=True)) as server:
            first = await asyncio.to_thread(serial_of, server.web_port)
            authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(file))
            await asyncio.sleep(0.01)
            assert await asyncio.to_thread(serial_of, server.web_port) != first

    asyncio.run(main())


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_another_event_loop_does_as_well(tmp_path: Path, authority: trustme.CA, secure: bool) -> None:
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed")
    content = os.urandom(5_000_000)
    context = None
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
    with serve(tmp_path, tls=context, new_loop=uvloop.new_event_loop) as site:
        assert site.put("/files/a", content).status == 201
        assert site.get("/files/a").body == content
        assert site.get("/files/a", {"Range": "bytes=0-9,1000000-3999999"}).status == 206
        assert len(site.get("/files/?archive=tar").body) > len(content)
        assert site.get("/healthz", user="").json == {"status": "ok"}
