"""Clients that others wrote, where they are installed: curl, lftp, ncftp, wget, ftplib, aioftp."""

from __future__ import annotations

import asyncio
import filecmp
import ftplib
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.server import TlsConfig
from tests.server.conftest import Tls
from tests.server.dialogue import DEADLINE, PASSWORD, USER, Running
from tests.server.programs import call, program

NAMES = ["plain.txt", "with space", "ünïcödé 日本", "-dash", "empty"]


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A tree of files to be uploaded."""
    directory = tmp_path / "local"
    (directory / "deep" / "er").mkdir(parents=True)
    for name in NAMES:
        (directory / name).write_bytes(b"" if name == "empty" else os.urandom(100_000))
    (directory / "deep" / "er" / "bottom").write_bytes(os.urandom(2_000_000))
    return directory


def same(one: Path, other: Path) -> bool:
    """Whether two trees hold the same."""
    left = sorted(path.relative_to(one) for path in one.rglob("*"))
    right = sorted(path.relative_to(other) for path in other.rglob("*"))
    return left == right and all(
        filecmp.cmp(one / path, other / path, shallow=False) for path in left if (one / path).is_file()
    )


@pytest.fixture(params=["plain", "tls", "tls, reuse required"])
def anyhow(request: pytest.FixtureRequest, serve: Callable[..., Running], tls: Tls) -> tuple[Running, Tls | None]:
    """Servers as the programs may meet them."""
    if request.param == "plain":
        return serve(host="::" if _has_ipv6() else "127.0.0.1"), None
    return serve(tls=TlsConfig(cert=tls.cert, require_session_reuse=request.param != "tls", require_data=True)), tls


def _has_ipv6() -> bool:
    import socket

    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("mode", [[], ["--ftp-port", "-"], ["--disable-epsv"]], ids=["epsv", "active", "pasv"])
def test_curl(anyhow: tuple[Running, Tls | None], local: Path, root: Path, tmp_path: Path, mode: list[str]) -> None:
    server, tls = anyhow
    curl = [program("curl"), "-sS", "--user", f"{USER}:{PASSWORD}", *mode]
    if tls is not None:
        if "--ftp-port" in mode:
            pytest.skip("curl 7.87 to 8.0 speak no TLS on active data connections")
        curl += ["--ssl-reqd", "--cacert", tls.ca]
    url = f"ftp://localhost:{server.port}"
    source = local / "deep" / "er" / "bottom"
    call(*curl, "-T", str(source), "--ftp-create-dirs", f"{url}/a/b/file")
    assert filecmp.cmp(source, root / "a" / "b" / "file", shallow=False)
    call(*curl, f"{url}/a/b/file", "-o", str(tmp_path / "down"))
    assert filecmp.cmp(source, tmp_path / "down", shallow=False)
    os.truncate(tmp_path / "down", 1_000_000)
    call(*curl, "-C", "-", f"{url}/a/b/file", "-o", str(tmp_path / "down"))
    assert filecmp.cmp(source, tmp_path / "down", shallow=False)
    os.truncate(root / "a" / "b" / "file", 1_000_000)
    call(*curl, "-C", "-", "-T", str(source), f"{url}/a/b/file")
    assert filecmp.cmp(source, root / "a" / "b" / "file", shallow=False)
    assert call(*curl, f"{url}/a/b/").split()[-1] == "file"
    call(*curl, "-Q", "RNFR a/b/file", "-Q", "RNTO moved", f"{url}/")
    call(*curl, "-Q", "DELE moved", "-Q", "RMD a/b", f"{url}/")
    assert os.listdir(root) == ["a"]


def test_lftp_mirrors_both_ways(anyhow: tuple[Running, Tls | None], local: Path, root: Path, tmp_path: Path) -> None:
    server, tls = anyhow
    lftp = program("lftp")
    settings = "set net:max-retries 1; set net:timeout 20; set cmd:fail-exit yes; set ftp:sync-mode off; "
    if tls is not None:
        settings += f"set ssl:ca-file {tls.ca}; set ftp:ssl-force yes; set ftp:ssl-protect-data yes; "
    login = settings + f"open -u {USER},{PASSWORD} ftp://localhost:{server.port}; "
    call(lftp, "-c", login + f"mirror -R --parallel=3 {local} /copy", cwd=tmp_path)
    assert same(local, root / "copy")
    call(lftp, "-c", login + f"mirror --parallel=3 /copy {tmp_path}/back", cwd=tmp_path)
    assert same(local, tmp_path / "back")
    os.truncate(tmp_path / "back" / "deep" / "er" / "bottom", 5)
    call(lftp, "-c", login + f"get -c /copy/deep/er/bottom -o {tmp_path}/back/deep/er/bottom", cwd=tmp_path)
    assert same(local, tmp_path / "back")
    call(lftp, "-c", login + f"pget -n 3 /copy/deep/er/bottom -o {tmp_path}/segments", cwd=tmp_path)
    assert filecmp.cmp(local / "deep" / "er" / "bottom", tmp_path / "segments", shallow=False)
    call(lftp, "-c", login + "mv /copy /moved; chmod 600 /moved/empty; rm -r /moved", cwd=tmp_path)
    assert list(root.iterdir()) == []


def test_ncftp(server: Running, local: Path, root: Path, tmp_path: Path) -> None:
    login = ["-u", USER, "-p", PASSWORD, "-P", str(server.port)]
    call(program("ncftpput"), *login, "-R", "localhost", "/", str(local), cwd=tmp_path)
    assert same(local, root / "local")
    (tmp_path / "back").mkdir()
    call(program("ncftpget"), *login, "-R", "localhost", str(tmp_path / "back"), "/local", cwd=tmp_path)
    assert same(local, tmp_path / "back" / "local")


def test_wget_fetches_a_tree(server: Running, local: Path, root: Path, tmp_path: Path) -> None:
    shutil.copytree(local, root / "tree")
    call(
        program("wget"), "-q", "-r", "-nH", "--no-parent", "--restrict-file-names=nocontrol",
        f"ftp://{USER}:{PASSWORD}@localhost:{server.port}/tree/", cwd=tmp_path,
    )  # fmt: skip
    for path in tmp_path.glob("tree/**/.listing"):
        path.unlink()
    assert same(local, tmp_path / "tree")


@pytest.mark.parametrize("passive", [True, False])
def test_ftplib(server: Running, root: Path, passive: bool) -> None:
    content = os.urandom(500_000)
    with ftplib.FTP(timeout=DEADLINE, encoding="utf-8") as client:
        client.connect("localhost", server.port)
        client.login(USER, PASSWORD)
        client.set_pasv(passive)
        client.mkd("ünï")
        client.cwd("ünï")
        assert client.storbinary("STOR file", io.BytesIO(content)).startswith("226")
        client.voidcmd("TYPE I")
        assert client.size("file") == len(content)
        received = bytearray()
        client.retrbinary("RETR file", received.extend)
        assert received == content
        assert [name for name, facts in client.mlsd() if facts["type"] == "file"] == ["file"]
        client.rename("file", "other")
        assert client.nlst() == ["other"]
        lines: list[str] = []
        client.storlines("STOR text", io.BytesIO(b"one\r\ntwo\r\n"))
        client.retrlines("RETR text", lines.append)
        assert lines == ["one", "two"]
        client.delete("other")
        client.delete("text")
        client.cwd("/")
        client.rmd("ünï")
    assert list(root.iterdir()) == []


def test_aioftp(server: Running, local: Path, root: Path, tmp_path: Path) -> None:
    aioftp = pytest.importorskip("aioftp", reason="aioftp is not installed")

    async def main() -> None:
        async with aioftp.Client.context("127.0.0.1", server.port, USER, PASSWORD) as client:
            await client.upload(local, "/", write_into=False)
            assert {str(path) for path, _ in await client.list("/local")} == {
                f"/local/{entry.name}" for entry in local.iterdir()
            }
            await client.download("/local", tmp_path / "back", write_into=True)
            await client.rename("/local/empty", "/local/renamed")
            assert await client.exists("/local/renamed")
            await client.remove("/local")

    asyncio.run(main())
    assert same(local, tmp_path / "back")
    assert list(root.iterdir()) == []
