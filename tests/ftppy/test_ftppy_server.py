"""The server of the FtpPy API: FTP on one port, HTTP on the next."""

from __future__ import annotations

import asyncio
import ftplib
import http.client
import io
import json
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fastxfer.ftppy import SSL, Basic, FtpPy, FtpServer, Guest, Limits
from tests.ftppy import readme
from tests.support.ftp_servers import Certificates
from tests.web.site import basic, form

pytest.importorskip("aiohttp", reason="the server needs the extra `web`")

WAIT = 30.0
USER, PASSWORD = "admin", "a long enough secret"


def factory(endpoint: str = "ftp://127.0.0.1:0", **settings: Any) -> FtpPy:
    settings.setdefault("auth", Basic(USER, PASSWORD))
    return FtpPy(endpoint, **settings)


def serve(server: FtpServer, task: Callable[[FtpServer], Awaitable[None]]) -> None:
    """Run *task* while *server* runs."""

    async def main() -> None:
        async with server as running:
            assert running is server
            await task(server)

    asyncio.run(main())


def fetch(
    server: FtpServer,
    method: str,
    target: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    *,
    user: str = f"{USER}:{PASSWORD}",
    context: ssl.SSLContext | None = None,
) -> tuple[int, bytes]:
    sent = dict(headers or {})
    if user:
        sent["Authorization"] = basic(user)
    if context is None:
        connection = http.client.HTTPConnection("127.0.0.1", server.web_port, timeout=WAIT)
    else:
        connection = http.client.HTTPSConnection("127.0.0.1", server.web_port, timeout=WAIT, context=context)
    try:
        connection.request(method, target, body, sent)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def in_thread(function: Callable[..., Any], *arguments: Any, **options: Any) -> Awaitable[Any]:
    return asyncio.to_thread(function, *arguments, **options)


def use_ftp(server: FtpServer, user: str = USER, password: str = PASSWORD) -> list[str]:
    """Upload, download and list with the standard library's client."""
    with ftplib.FTP(timeout=WAIT) as client:
        client.connect("127.0.0.1", server.port)
        client.login(user, password)
        client.storbinary("STOR by-ftp.txt", io.BytesIO(b"by ftp"))
        received = io.BytesIO()
        client.retrbinary("RETR by-ftp.txt", received.write)
        assert received.getvalue() == b"by ftp"
        return client.nlst()


def test_ftp_and_http_show_the_same_files(tmp_path: Path) -> None:
    async def task(server: FtpServer) -> None:
        assert server.app is not None
        assert server.runner is not None
        assert server.runner.app is server.app
        assert server.site is not None
        assert server.site.port == server.web_port
        body, headers = form(("file", "local.txt", b"by http"))
        assert await in_thread(use_ftp, server) == ["by-ftp.txt"]
        assert await in_thread(fetch, server, "GET", "/files/by-ftp.txt") == (200, b"by ftp")
        status, answer = await in_thread(fetch, server, "POST", "/files/remote.txt", body, headers)
        assert (status, json.loads(answer)) == (
            200,
            {"status": "success", "path": "/remote.txt", "message": "File uploaded successfully"},
        )
        assert (tmp_path / "remote.txt").read_bytes() == b"by http"
        status, answer = await in_thread(fetch, server, "DELETE", "/files/remote.txt")
        assert (status, json.loads(answer)) == (
            200,
            {"status": "success", "path": "/remote.txt", "message": "File deleted successfully"},
        )
        status, answer = await in_thread(fetch, server, "GET", "/", user="")
        assert status == 200
        assert json.loads(answer)["ports"] == {"ftp": server.port, "web": server.web_port}

    server = factory().server(tmp_path)
    serve(server, task)
    assert (server.server, server.app, server.runner, server.site, server.web_port) == (None, None, None, None, 0)


def two_free_ports() -> int:
    """The lower of two ports in a row that are free now."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = int(first.getsockname()[1])
            try:
                socket.create_server(("127.0.0.1", port + 1)).close()
            except OSError:
                continue
            return port


def test_http_is_on_the_port_after_ftp(tmp_path: Path) -> None:
    port = two_free_ports()

    async def task(server: FtpServer) -> None:
        assert (server.port, server.web_port) == (port, port + 1)

    serve(factory(f"ftp://127.0.0.1:{port}").server(tmp_path), task)


def test_the_example_runs_as_it_is_written(
    tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    code = readme.SERVER.replace("localhost:2121", f"localhost:{two_free_ports()}").replace("sleep(3600)", "sleep(0)")
    code = code.replace("/path/to/server.crt", certificates.server_file)
    code = code.replace("/path/to/server.key", certificates.key_file)
    _, warned = readme.run(code)
    assert [str(item.message) for item in warned] == []
    assert "Secure FTPS server running" in capsys.readouterr().out


def test_the_owner_of_a_password_gets_his_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a").write_text("a")

    async def task(server: FtpServer) -> None:
        assert await in_thread(fetch, server, "GET", "/files/a") == (200, b"a")
        assert (await in_thread(fetch, server, "GET", "/files/a", user=""))[0] == 401

    server = factory().server()
    assert server.path == tmp_path
    serve(server, task)


@pytest.mark.parametrize("auth", [None, Guest("tests@example.org")])
def test_nobody_opens_his_home_directory_to_everyone_unawares(auth: Guest | None) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="directory to serve"):
            await factory(auth=auth).server().start()

    asyncio.run(main())


def test_guests_may_read_what_was_named_and_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")

    async def task(server: FtpServer) -> None:
        assert await in_thread(fetch, server, "GET", "/files/a", user="") == (200, b"a")
        assert (await in_thread(fetch, server, "PUT", "/files/b", b"b", user=""))[0] == 403
        assert (await in_thread(fetch, server, "DELETE", "/files/a", user=""))[0] == 403
        with pytest.raises(ftplib.error_perm, match="550"):
            await in_thread(use_ftp, server, "anonymous", "tests@example.org")

    server = factory(auth=None).server()
    server.path = tmp_path
    serve(server, task)
    assert [item.name for item in tmp_path.iterdir()] == ["a"]


def test_wrong_passwords_get_nowhere(tmp_path: Path) -> None:
    async def task(server: FtpServer) -> None:
        with pytest.raises(ftplib.error_perm, match="530"):
            await in_thread(use_ftp, server, USER, "a wrong password")
        assert (await in_thread(fetch, server, "GET", "/files/", user=f"{USER}:wrong"))[0] == 401

    serve(factory().server(tmp_path), task)


@pytest.mark.parametrize("ready", [False, True], ids=["files", "context"])
@pytest.mark.parametrize("scheme", ["ftps", "ftpes"])
def test_tls_is_spoken_on_both_ports(tmp_path: Path, certificates: Certificates, ready: bool, scheme: str) -> None:
    (tmp_path / "a").write_text("secret")
    settings = SSL(cert=certificates.server_file, key=certificates.key_file)
    if ready:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.server_file, certificates.key_file)
        settings = SSL(context=context)

    async def task(server: FtpServer) -> None:
        assert server.secure
        trusting = ssl.create_default_context(cafile=certificates.ca_file)
        assert await in_thread(fetch, server, "GET", "/files/a", context=trusting) == (200, b"secret")
        endpoint = f"{scheme}://127.0.0.1:{server.port}"
        async with factory(endpoint, ssl=SSL(bundle=certificates.ca_file)).client() as client:
            assert await client.download("/a", tmp_path / "b")
        with pytest.raises(ConnectionError):
            async with factory(endpoint).client():
                pytest.fail("a certificate of nobody known was accepted")

    serve(factory(f"{scheme}://127.0.0.1:0", ssl=settings).server(tmp_path), task)
    assert (tmp_path / "b").read_text() == "secret"


def test_a_secure_server_takes_no_password_in_clear(tmp_path: Path, certificates: Certificates) -> None:
    settings = SSL(cert=certificates.server_file, key=certificates.key_file)

    async def task(server: FtpServer) -> None:
        with pytest.raises(ftplib.all_errors):
            await in_thread(use_ftp, server)

    serve(factory("ftpes://127.0.0.1:0", ssl=settings).server(tmp_path), task)


@pytest.mark.parametrize("settings", [None, SSL(), SSL(verify=False)])
def test_tls_needs_a_certificate(tmp_path: Path, settings: SSL | None) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="certificate"):
            await factory("ftps://127.0.0.1:0", ssl=settings).server(tmp_path).start()

    asyncio.run(main())


def test_only_utf_8_is_spoken() -> None:
    with pytest.raises(ValueError, match="UTF-8"):
        factory(encoding="latin-1").server("/")


def test_the_hooks_of_a_server(tmp_path: Path) -> None:
    heard: list[tuple[Any, ...]] = []

    async def request(request: Any, response: Any, duration: float) -> None:
        heard.append(("request", request.method, request.path, response.status, duration >= 0))

    hooks = {
        "start": lambda server: heard.append(("start", server)),
        "stop": lambda server: heard.append(("stop", server)),
        "connect": lambda info: heard.append(("connect", sorted(info))),
        "request": request,
    }
    seen: list[Any] = []

    async def task(server: FtpServer) -> None:
        seen.append(server.server)
        await in_thread(fetch, server, "GET", "/files/missing")

    serve(factory(hooks=hooks).server(tmp_path), task)
    assert heard == [
        ("start", seen[0]),
        ("connect", ["app", "ftp"]),
        ("request", "GET", "/files/missing", 404, True),
        ("stop", seen[0]),
    ]


def test_the_request_hook_of_the_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data.txt").write_text("data")
    noted, _ = readme.run(readme.HOOKS)

    async def task(server: FtpServer) -> None:
        assert await in_thread(fetch, server, "GET", "/files/data.txt") == (200, b"data")

    serve(factory(hooks={"request": noted["ftp"].hooks["request"]}).server(tmp_path), task)
    assert re.fullmatch(r"GET /files/data\.txt - 200 \(\d+\.\d\ds\)\n", capsys.readouterr().out)


@pytest.mark.foreign
def test_the_interface_is_used_as_the_example_says(tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    (tmp_path / "data.txt").write_text("data")
    (tmp_path / "old.txt").write_text("old")
    (tmp_path / "empty").mkdir()
    local = tmp_path / "local.txt"
    local.write_text("local")

    def call(server: FtpServer, *arguments: str) -> str:
        url = f"http://127.0.0.1:{server.web_port}{arguments[-1]}"
        command = [curl, "--silent", "--fail", "--user", f"{USER}:{PASSWORD}", *arguments[:-1], url]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=WAIT).stdout

    async def task(server: FtpServer) -> None:
        assert await in_thread(call, server, "-X", "GET", "/files/data.txt") == "data"
        answer = await in_thread(call, server, "-X", "POST", "-F", f"file=@{local}", "/files/remote.txt")
        assert json.loads(answer)["status"] == "success"
        for path in ("/files/old.txt", "/files/empty"):
            answer = await in_thread(call, server, "-X", "DELETE", path)
            assert (json.loads(answer)["status"], json.loads(answer)["path"]) == ("success", path[6:])

    serve(factory().server(tmp_path), task)
    assert (tmp_path / "remote.txt").read_text() == "local"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.txt", "local.txt", "remote.txt"]


def test_faults_reach_the_error_hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[BaseException] = []

    async def task(server: FtpServer) -> None:
        assert server.server is not None

        def broken(path: str) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr(server.server.service.filesystem, "entries", broken)
        assert (await in_thread(fetch, server, "GET", "/files/"))[0] == 500

    serve(factory(hooks={"error": heard.append}).server(tmp_path), task)
    assert [type(problem) for problem in heard] == [RuntimeError]


def test_connections_are_limited(tmp_path: Path) -> None:
    async def task(server: FtpServer) -> None:
        first = await in_thread(socket.create_connection, ("127.0.0.1", server.port), WAIT)
        with first:
            assert (await in_thread(first.recv, 4)) == b"220 "
            second = await in_thread(socket.create_connection, ("127.0.0.1", server.port), WAIT)
            with second:
                assert (await in_thread(second.recv, 4)) == b"421 "

    serve(factory(limits=Limits(connections=1)).server(tmp_path), task)


def test_starting_twice_is_refused_and_stopping_twice_is_not(tmp_path: Path) -> None:
    async def main() -> None:
        server = factory().server(tmp_path)
        with pytest.raises(RuntimeError, match="not running"):
            await server.web()
        started = await server.start()
        assert started is server.server
        interface = await server.web()
        assert interface.port == server.web_port
        with pytest.raises(RuntimeError, match="running"):
            await server.start()
        await server.stop()
        await server.stop()

    asyncio.run(main())


def test_a_port_that_is_taken_leaves_nothing_open(tmp_path: Path) -> None:
    port = two_free_ports()

    async def main() -> None:
        server = factory(f"ftp://127.0.0.1:{port}").server(tmp_path)
        with socket.create_server(("127.0.0.1", port + 1)), pytest.raises(OSError, match="address"):
            await server.start()
        assert server.server is None
        with socket.create_server(("127.0.0.1", port)):
            pass

    asyncio.run(main())
