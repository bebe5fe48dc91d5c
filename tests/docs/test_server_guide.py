"""The examples in the guide of the server start servers that do what is said of them; the settings are the settings."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fastxfer.ftp import AsyncClient, FTPError, PermanentError
from fastxfer.server.config import ServerConfig
from fastxfer.server.permissions import Permission
from fastxfer.server.settings import build, load_toml, settings_of
from fastxfer.server.usersfile import parse_users
from tests.support import documents
from tests.support.ftp_servers import Certificates, free_port

GUIDE = documents.ROOT / "docs" / "server.md"
SETTINGS = documents.ROOT / "examples" / "server.toml"
pytestmark = pytest.mark.skipif(not GUIDE.exists(), reason="the documents are not beside the tests")
DEADLINE = 30.0


def block(needle: str, language: str = "python") -> str:
    (found,) = [code for code in documents.blocks(GUIDE, language) if needle in code]
    return found


def serve(code: str, port: int, use: Callable[[], Awaitable[None]]) -> None:
    """Run *code*, which serves on *port* for ever, while *use* is done with it."""

    async def both() -> None:
        code_here = code.replace("asyncio.run(main())", "await main()").replace("port=2121", f"port={port}")
        server = asyncio.create_task(documents.execute(code_here, {}))
        end = asyncio.get_running_loop().time() + DEADLINE
        try:
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except OSError:
                    if server.done() or asyncio.get_running_loop().time() > end:
                        raise
                    await asyncio.sleep(0.05)
            writer.close()
            await use()
        finally:
            server.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await server

    asyncio.run(both())


def test_the_first_server(tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", certificates.ca_file)
    whole = Path(certificates.server_file).read_bytes() + Path(certificates.key_file).read_bytes()
    (tmp_path / "server.pem").write_bytes(whole)
    root = tmp_path / "files"
    (root / "bob/incoming").mkdir(parents=True)
    port = free_port()

    async def use() -> None:
        async with AsyncClient(f"ftpes://127.0.0.1:{port}", user="alice", password="correct horse") as alice:
            await alice.upload(b"hello", "/bob/letter.txt")
        async with AsyncClient(f"ftp://127.0.0.1:{port}", user="bob", password="battery") as bob:
            assert await bob.read("/letter.txt") == b"hello"
            await bob.upload(b"answer", "/incoming/answer.txt", atomic=False)
            with pytest.raises(PermanentError):
                await bob.upload(b"answer", "/answer.txt", atomic=False)

    serve(block("TlsConfig(").replace("/srv/files", str(root)), port, use)
    assert (root / "bob/incoming/answer.txt").read_bytes() == b"answer"


def test_hooks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()

    async def use() -> None:
        async with AsyncClient(f"ftp://127.0.0.1:{port}", user="alice", password="correct horse") as client:
            await client.upload(b"12345", "/good.txt", atomic=False)
            with pytest.raises(FTPError):
                await client.upload(b"12345", "/bad.exe", atomic=False)
        with pytest.raises(FTPError):
            async with AsyncClient(f"ftp://127.0.0.1:{port}", user="alice", password="wrong"):
                pass

    serve(block("class Watch").replace("/srv/files", str(tmp_path)), port, use)
    shown = capsys.readouterr().out
    assert "alice upload /good.txt 5 True" in shown
    assert "127.0.0.1 is not alice" in shown
    assert not (tmp_path / "bad.exe").exists()


def test_the_short_configuration_is_understood(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text(block("users_file", "toml"), encoding="utf-8")
    config: ServerConfig = build(load_toml(file))
    assert config.passive.ports == (50000, 50999)
    assert config.tls.require_data
    assert config.web.hosts == ("files.example.org",)


@pytest.mark.skipif(not SETTINGS.exists(), reason="the examples are not beside the tests")
def test_the_whole_configuration_is_the_default_and_leaves_nothing_out() -> None:
    tables = load_toml(SETTINGS)
    assert build(tables) == ServerConfig()
    text = SETTINGS.read_text("utf-8")
    parts = re.split(r"^\[(\w+)\]$", text, flags=re.MULTILINE)
    by_table = {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}
    for setting in settings_of():
        if setting.path == ("listeners",):
            assert "# [[listeners]]" in text
            continue
        table, name = "".join(setting.path[:-1]), setting.path[-1]
        assert re.search(rf"^(# )?{name} = ", by_table[table], re.MULTILINE), setting.flag


def test_the_users_file_is_understood() -> None:
    users = {name: entry.user for name, entry in parse_users(block("alice", "users")).items()}
    assert users["alice"].quota_bytes == 10 << 30
    assert users["bob"].permissions.at("/incoming/new") == Permission.UPLOAD_ONLY
    assert users["carol"].require_tls
    assert not users["carol"].may_come_from("198.51.100.1")
    assert not users["dave"].enabled
    assert users["dave"].download_rate == 5 << 20
