"""Every example of the FtpPy API, as it is written, against real servers and our own."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

import fastxfer.ftppy
from fastxfer.ftppy import FtpPy
from tests.ftppy import readme
from tests.support.ftp_servers import Certificates, FTPPeer, give_away


@pytest.fixture(autouse=True)
def trusted(peer: FTPPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate of a server with TLS is one that the system trusts."""
    if peer.ca_file is not None:
        monkeypatch.setenv("SSL_CERT_FILE", peer.ca_file)


def write(root: Path, *names: str) -> None:
    """Files below *root* that hold their own names, and may be changed by a server's user."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    give_away(root)


def run(code: str, peer: FTPPeer, **folders: Path) -> dict[str, object]:
    """What the example has noted; no warnings are expected."""
    replaced = {f"/{name.replace('_', '/')}": folder for name, folder in folders.items()}
    noted, warned = readme.run(readme.fitted(code, peer, replaced))
    assert [str(item.message) for item in warned] == []
    return noted


def test_quick_start(peer: FTPPeer, local: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(local, "document.txt")
    write(peer.root, "uploads/there.txt")
    run(readme.QUICK_START, peer)
    assert (peer.root / "remote.txt").read_text() == "document.txt"
    assert capsys.readouterr().out == "Upload success: True\nthere.txt - 17 bytes\n"


def test_upload(peer: FTPPeer, local: Path) -> None:
    write(local, "document.pdf", "report.txt", "backup.zip")
    assert run(readme.UPLOAD, peer) == {"basic": True, "dirs": True, "replace": True}
    assert (peer.root / "uploads" / "document.pdf").read_text() == "document.pdf"
    assert (peer.root / "reports/2024/january/report.txt").read_text() == "report.txt"
    assert (peer.root / "backups" / "backup.zip").read_text() == "backup.zip"


def test_download(peer: FTPPeer, local: Path) -> None:
    write(peer.root, "data/report.csv", "archives/data.zip", "important.txt")
    assert run(readme.DOWNLOAD, peer) == {"basic": True, "dirs": True, "replace": True}
    assert (local / "report.csv").read_text() == "data/report.csv"
    assert (local / "backups/archives/data.zip").read_text() == "archives/data.zip"
    assert (local / "important.txt").read_text() == "important.txt"


def test_batches(peer: FTPPeer, local: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(local, "file1.txt", "file2.pdf", "data.csv")
    write(peer.root, "downloads/report1.txt", "downloads/report2.txt", "downloads/data.json")
    assert run(readme.BATCH, peer) == {
        "uploads": {"file1.txt": True, "file2.pdf": True, "data.csv": True},
        "downloads": {"/downloads/report1.txt": True, "/downloads/report2.txt": True, "/downloads/data.json": True},
    }
    assert (peer.root / "uploads" / "file2.pdf").read_text() == "file2.pdf"
    assert (local / "reports" / "report2.txt").read_text() == "downloads/report2.txt"
    assert (local / "data" / "data.json").read_text() == "downloads/data.json"
    assert "/downloads/data.json: Success" in capsys.readouterr().out


def test_directories(peer: FTPPeer, local: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(peer.root, "uploads/x", "data/a.txt", "data/sub/b.txt", "old/file.txt", "full/folder/deep/c.txt")
    (peer.root / "empty" / "folder").mkdir(parents=True)
    give_away(peer.root)
    noted = run(readme.DIRECTORIES, peer)
    assert noted == dict.fromkeys(("mkdir", "cd", "remove", "rmdir", "recursive"), True)
    assert (peer.root / "new/folder/structure").is_dir()
    assert not (peer.root / "old" / "file.txt").exists()
    assert list((peer.root / "empty").iterdir()) == []
    assert list((peer.root / "full").iterdir()) == []
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "Current directory: /uploads"
    assert sorted(printed[1:]) == ["DIR: sub (0 bytes)", "FILE: a.txt (10 bytes)", "FILE: b.txt (14 bytes)"]


def test_manipulation(peer: FTPPeer, local: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(peer.root, "old/location.txt", "file.txt", "source.txt", "data/report.csv", "script.sh")
    os.utime(peer.root / "data/report.csv", (1_700_000_000, 1_700_000_000))
    noted = run(readme.MANIPULATION, peer)
    assert noted == {**dict.fromkeys(("move", "rename", "copy", "exists", "chmod"), True), "size": 15}
    assert (peer.root / "new/location.txt").read_text() == "old/location.txt"
    assert (peer.root / "renamed.txt").exists()
    assert not (peer.root / "file.txt").exists()
    assert (peer.root / "destination.txt").read_text() == "source.txt"
    assert (peer.root / "script.sh").stat().st_mode & 0o777 == 0o755
    printed = capsys.readouterr().out
    assert "File: report.csv\nSize: 15 bytes\nModified: 20231114221320\n" in printed


def test_synchronization(peer: FTPPeer, local: Path) -> None:
    folder = local / "folder"
    write(folder, "a.txt", "sub/b.txt")
    write(peer.root, "remote/folder/c.txt")
    noted = run(readme.SYNC, peer, local_folder=folder)
    assert noted["up"] == {str(folder / "a.txt"): True, str(folder / "sub/b.txt"): True}
    assert isinstance(noted["down"], dict)
    assert noted["down"]["/remote/folder/c.txt"] is True
    assert all(noted["down"].values())
    assert isinstance(noted["both"], dict)
    assert all(noted["both"].values())
    assert noted["verify"] == {str(folder / name): True for name in ("a.txt", "sub/b.txt", "c.txt")}
    assert (peer.root / "remote/folder/sub/b.txt").read_text() == "sub/b.txt"
    assert (folder / "c.txt").read_text() == "remote/folder/c.txt"


def test_backup_mirror_and_restore(peer: FTPPeer, local: Path) -> None:
    write(local, "important/a.txt", "config/deep/b.txt", "current.log", "website/index.html")
    write(peer.root, "remote/website/outdated.html", "backups/daily/backup_20241225_143022/saved/x.txt")
    noted = run(
        readme.BACKUP,
        peer,
        important_data=local / "important",
        config_files=local / "config",
        local_website=local / "website",
        restore=local / "restored",
        **{"logs_current.log": local / "current.log"},
    )
    assert noted["backup"] == {
        str(local / name): True for name in ("important/a.txt", "config/deep/b.txt", "current.log")
    }
    made = [item for item in (peer.root / "backups/daily").iterdir() if item.name != "backup_20241225_143022"]
    assert len(made) == 1
    time.strptime(made[0].name, "backup_%Y%m%d_%H%M%S")
    assert (made[0] / "config/deep/b.txt").read_text() == "config/deep/b.txt"
    assert noted["mirror"] == {str(local / "website/index.html"): True}
    assert [item.name for item in (peer.root / "remote/website").iterdir()] == ["index.html"]
    assert noted["restore"] == {"/backups/daily/backup_20241225_143022/saved/x.txt": True}
    assert (local / "restored/saved/x.txt").exists()


def test_search_and_statistics(peer: FTPPeer, local: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        peer.root,
        "var/logs/a.log",
        "var/logs/deep/b.log",
        "var/logs/c.txt",
        "etc/config.ini",
        "backups/backup_2023.zip",
    )
    noted = run(readme.SEARCH, peer)
    assert isinstance(noted["found"], list)
    assert {item["path"] for item in noted["found"]} == {
        *("/var/logs/a.log", "/var/logs/deep/b.log", "/etc/config.ini")
    }
    assert noted["stats"] == {
        "connected": True,
        "host": peer.host,
        "port": peer.port,
        "secure": peer.tls != "none",
        "pool": 1,
        "active": 0,
        "encoding": "utf-8",
        "passive": True,
    }
    assert "Log file: /var/logs/a.log (14 bytes)" in capsys.readouterr().out


def test_error_handling(peer: FTPPeer, local: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(local, "file.txt")
    _, warned = readme.run(readme.fitted(readme.ERRORS, peer, {}))
    assert capsys.readouterr().out == "Upload completed successfully\nFile not found or inaccessible\n"
    assert [item.category for item in warned] == [fastxfer.ftppy.FtpPyWarning]
    assert "/nonexistent.txt" in str(warned[0].message)
    assert (peer.root / "remote.txt").read_text() == "file.txt"


def test_connection_management(peer: FTPPeer, local: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(local, "file1.txt", "file2.txt")
    run(readme.MANAGEMENT, peer)
    assert (peer.root / "f2.txt").read_text() == "file2.txt"
    assert capsys.readouterr().out == "Active connections: 0\n"


def test_hooks(peer: FTPPeer, local: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(local, "a.txt")
    code = readme.HOOKS + textwrap_client()
    noted, _ = readme.run(readme.fitted(code, peer, {}))
    assert noted["results"] == [True, True, False]
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("Connected to FTP server: ")
    assert printed[1:3] == ["Uploading a.txt to /b.txt", "Uploading /b.txt to c.txt"]
    assert printed[-1].startswith("FTP error occurred: ")


async def use(ftp: FtpPy, name: str) -> int | None:
    """The size of what was sent: a login, a data connection and a question."""
    async with ftp.client() as client:
        assert await client.upload(name, f"/{name}")
        return await client.size(f"/{name}")


def made(code: str, peer: FTPPeer) -> dict[str, FtpPy]:
    noted = run(code, peer)
    return {name: ftp for name, ftp in noted.items() if isinstance(ftp, FtpPy)}


def test_authentication(peer: FTPPeer, local: Path) -> None:
    write(local, "a.txt")
    write(peer.root, "public.txt")
    ftps = made(readme.AUTHENTICATION, peer)
    assert "@" not in ftps["basic"].endpoint
    assert asyncio.run(use(ftps["basic"], "a.txt")) == 5

    async def read(ftp: FtpPy) -> int | None:
        async with ftp.client() as client:
            return await client.size("/public.txt")

    for name in ("guest", "anonymous"):
        if peer.anonymous:
            assert asyncio.run(read(ftps[name])) == 10
        else:
            with pytest.raises(ConnectionError, match="Failed to connect to FTP server: 530"):
                asyncio.run(read(ftps[name]))


def test_connection_limits(peer: FTPPeer, local: Path) -> None:
    names = [f"{number}.txt" for number in range(30)]
    write(local, *names)
    ftp = made(readme.LIMITS, peer)["ftp"]

    async def many() -> tuple[dict[str, bool], int]:
        async with ftp.client() as client:
            most = 0
            batch = asyncio.ensure_future(client.batch([(name, f"/{name}") for name in names], limit=30))
            while not batch.done():
                most = max(most, (await client.stats())["pool"])
                await asyncio.sleep(0.001)
            assert len(client.pool) <= 5
            return await batch, max(most, len(client.pool))

    results, most = asyncio.run(many())
    assert results == dict.fromkeys(names, True)
    assert 1 < most <= 10


@pytest.mark.parametrize("code", [readme.TIMEOUTS, readme.RETRIES], ids=["timeouts", "retries"])
def test_timeouts_and_retries(peer: FTPPeer, local: Path, code: str) -> None:
    write(local, "a.txt")
    assert asyncio.run(use(made(code, peer)["ftp"], "a.txt")) == 5


def test_tls(peer: FTPPeer, local: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    if peer.ca_file is None:
        pytest.skip("a server without TLS")
    write(local, "a.txt")
    code = readme.TLS.replace("/path/to/ca.crt", peer.ca_file)
    for name in ("crt", "key"):
        code = code.replace(f"/path/to/client.{name}", certificates.client_file)
    ftps = made(code, peer)
    assert list(ftps) == ["basic", "certificate", "ciphers", "unverified"]
    for ftp in ftps.values():
        assert ftp.secure
        assert asyncio.run(use(ftp, "a.txt")) == 5
    # Where the system does not know the server's authority, who asks for verification gets it.
    monkeypatch.setenv("SSL_CERT_FILE", certificates.client_file)
    for name in ("certificate", "unverified"):
        assert asyncio.run(use(ftps[name], "a.txt")) == 5
    for name in ("basic", "ciphers"):
        with pytest.raises(ConnectionError, match=r"(?i)certificate"):
            asyncio.run(use(ftps[name], "a.txt"))


def textwrap_client() -> str:
    """What the example of the hooks leaves to the reader."""
    return """
async with ftp.client() as client:
    note('results', [
        await client.upload('a.txt', '/b.txt'),
        await client.download('/b.txt', 'c.txt'),
        await client.download('/missing.txt', 'd.txt'),
    ])
"""
