"""Every example in README runs, and every command line in README and in the guides is one."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import click
import pytest

from fastxfer.cli._app import app, run
from fastxfer.fdfs import Client, ClientConfig
from fastxfer.fdfs.node import Node
from fastxfer.ftp import AsyncClient, FTPError
from tests.support import documents
from tests.support.ftp_servers import Certificates, free_port
from tests.support.serving import serving

README = documents.ROOT / "README.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="README is not beside the tests")
BLOCKS = documents.blocks(README) if README.exists() else []
DOCUMENTS = [README, *sorted((documents.ROOT / "docs").glob("*.md"))] if README.exists() else []
DEADLINE = 30.0


def block(needle: str) -> str:
    (found,) = [code for code in BLOCKS if needle in code]
    return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the files that README speaks of."""
    directory = tmp_path / "here"
    (directory / "photos").mkdir(parents=True)
    for name in ("photo.jpg", "report.pdf", "photos/one.jpg", "photos/two.jpg"):
        (directory / name).write_bytes(name.encode() * 1000)
    monkeypatch.chdir(directory)
    return directory


def test_the_fastdfs_client(tmp_path: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Node(tmp_path / "node") as node:
        code = block("client.upload_file").replace("192.168.1.100:22122", node.tracker_addrs[0])
        asyncio.run(documents.execute(code, {}))
        assert not list(tmp_path.glob("node/**/*.jpg"))
    assert (here / "copy.jpg").read_bytes() == (here / "photo.jpg").read_bytes()
    assert capsys.readouterr().out == "9000\n"


def test_the_batch(tmp_path: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Node(tmp_path / "node") as node:
        code = block("upload_many").replace("192.168.1.100:22122", node.tracker_addrs[0])
        asyncio.run(documents.execute(code, {}))
        stored = dict(line.split() for line in capsys.readouterr().out.splitlines())
        assert sorted(stored) == ["photos/one.jpg", "photos/two.jpg"]
        with Client(ClientConfig(node.tracker_addrs)) as client:
            for name, file_id in stored.items():
                assert client.download_file(file_id) == (here / name).read_bytes()


def test_the_ftp_client(tmp_path: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = Certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", certificates.ca_file)
    root = tmp_path / "served"
    (root / "inbox").mkdir(parents=True)
    (root / "pub/data/deep").mkdir(parents=True)
    (root / "pub/data/deep/one.csv").write_text("1,2,3")
    with serving(root, certificates, "user", "secret") as served:
        code = block("client.mirror").replace("@files.example.org", f"@127.0.0.1:{served.implicit_port}")
        asyncio.run(documents.execute(code, {}))
    assert (root / "inbox/report.pdf").read_bytes() == (here / "report.pdf").read_bytes()
    assert (here / "data/deep/one.csv").read_text() == "1,2,3"


def test_the_server(tmp_path: Path, here: Path) -> None:
    port = free_port()
    code = block("FtpServer(").replace("/srv/files", str(tmp_path)).replace("2121", str(port))

    async def use() -> None:
        server = asyncio.create_task(documents.execute(code, {}))
        end = asyncio.get_running_loop().time() + DEADLINE
        try:
            while True:
                try:
                    async with AsyncClient(f"ftp://127.0.0.1:{port}", user="alice", password="correct horse") as client:
                        await client.upload("report.pdf", "/report.pdf")
                    return
                except FTPError:
                    if server.done() or asyncio.get_running_loop().time() > end:
                        raise
                    await asyncio.sleep(0.05)
        finally:
            server.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await server

    asyncio.run(use())
    assert (tmp_path / "report.pdf").read_bytes() == (here / "report.pdf").read_bytes()


def test_no_example_is_left_out() -> None:
    assert len(BLOCKS) == 4


def test_the_commands_do_what_they_say(
    tmp_path: Path, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    certificates = Certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", certificates.ca_file)
    monkeypatch.setenv("FASTXFER_USER", "user")
    monkeypatch.setenv("FASTXFER_PASSWORD", "secret")
    root = tmp_path / "served"
    (root / "pub").mkdir(parents=True)
    (root / "pub/one.csv").write_text("1,2,3")
    with Node(tmp_path / "node") as node, serving(root, certificates, "user", "secret") as served:
        with Client(ClientConfig(node.tracker_addrs)) as client:
            file_id = client.upload_buffer(b"a photo", "jpg")
        replaced = {
            "ftps://files.example.org": f"ftps://127.0.0.1:{served.implicit_port}",
            "ftp://mirror.example.org": f"ftp://127.0.0.1:{served.port}",
            "ftp://alice@localhost:2121/": f"ftp://user@127.0.0.1:{served.port}/ --count 2 --size 1k --concurrency 1",
            "192.168.1.100:22122": node.tracker_addrs[0],
            "group1/M00/00/00/wKgBZGc…": file_id,
        }
        for words in documents.commands(README):
            line = " ".join(words)
            if words[0] in ("passwd", "cert", "serve"):
                continue
            for written, meant in replaced.items():
                line = line.replace(written, meant)
            assert run(line.split()) == 0, f"{line}: {capsys.readouterr().err}"
    assert (root / "photos/two.jpg").read_bytes() == (here / "photos/two.jpg").read_bytes()
    assert (here / "photo.jpg").read_bytes() == b"a photo"
    assert not (here / "data").exists()
    assert "group1" in capsys.readouterr().out


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_somewhere(document: Path) -> None:
    for link in documents.links(document):
        assert (document.parent / link).exists(), link


def command_lines() -> list[Any]:
    return [
        pytest.param(words, id=f"{document.name}: {' '.join(words)}"[:80])
        for document in DOCUMENTS
        for words in documents.commands(document)
    ]


@pytest.mark.parametrize("words", command_lines())
def test_a_command_line_is_understood(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Options, their values and the number of arguments are right; whether the files are there is not asked."""
    for kind in (click.Path, click.File):
        monkeypatch.setattr(kind, "convert", lambda self, value, parameter, context: value)
    command: click.Command | None = app
    words = list(words)
    while isinstance(command, click.Group):
        name = words.pop(0)
        command = command.get_command(click.Context(command), name)
        assert command is not None, f"there is no command {name!r}"
    assert command is not None
    with command.make_context("fastxfer", words):
        pass
