"""The same few things with every client that can do them: IPv4 and IPv6, active and passive, TLS, resuming, listing."""

from __future__ import annotations

import asyncio
import contextlib
import ftplib
import os
import socket
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fastxfer.server import TlsConfig
from tests.server.conftest import Tls
from tests.server.dialogue import DEADLINE, PASSWORD, USER, Running
from tests.server.programs import PATIENCE, call, program

CONTENT = os.urandom(300_000)
ENTRIES = 10_000
CLIENTS = ["curl", "lftp", "ncftp", "wget", "ftplib", "aioftp"]
WRITERS = [client for client in CLIENTS if client != "wget"]


class Meeting:
    """A client, and the server that it is to talk to."""

    def __init__(self, client: str, host: str, port: int, folder: Path, tls: Tls | None = None, mode: str = "") -> None:
        self.client = client
        self.host = host
        self.port = port
        self.folder = folder
        self.tls = tls
        self.implicit = mode == "implicit"
        self.active = mode == "active"

    @property
    def shown(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def url(self, path: str) -> str:
        scheme = "ftps" if self.implicit or (self.tls is not None and self.client == "wget") else "ftp"
        return f"{scheme}://{USER}:{PASSWORD}@{self.shown}:{self.port}/{path}"

    def curl(self, *arguments: str) -> str:
        flags = ["--ssl-reqd", "--cacert", self.tls.ca] if self.tls is not None else []
        flags += ["--ftp-port", "-"] if self.active else []
        return call(program("curl"), "-sS", *flags, *arguments, cwd=self.folder)

    def lftp(self, commands: str) -> str:
        settings = "set net:max-retries 1; set net:timeout 60; set cmd:fail-exit yes; "
        settings += f"set ftp:passive-mode {'off' if self.active else 'on'}; "
        if self.tls is not None:
            settings += f"set ssl:ca-file {self.tls.ca}; set ftp:ssl-force yes; set ftp:ssl-protect-data yes; "
        address = f"{'ftps' if self.implicit else 'ftp'}://{self.shown}:{self.port}"
        return call(
            program("lftp"), "-c", f"{settings}open -u {USER},{PASSWORD} {address}; {commands}", cwd=self.folder
        )

    def ncftp(self, command: str, *arguments: str) -> str:
        login = ["-u", USER, "-p", PASSWORD, "-P", str(self.port), "-E" if self.active else "-F"]
        return call(program(command), *login, *arguments, cwd=self.folder)

    def ncftp_shell(self, command: str) -> None:
        """Type *command* into the shell of ncftp."""
        subprocess.run(
            [program("ncftp"), "-u", USER, "-p", PASSWORD, "-P", str(self.port), self.host],
            input=f"{command}\nquit\n",
            text=True,
            check=True,
            capture_output=True,
            timeout=PATIENCE,
            env={**os.environ, "HOME": str(self.folder), "LC_ALL": "C.UTF-8"},
        )

    def wget(self, *arguments: str) -> str:
        flags = ["--ca-certificate", self.tls.ca, "--ftps-resume-ssl"] if self.tls is not None else []
        flags += ["--ftps-implicit"] if self.implicit else []
        flags += ["--no-passive-ftp"] if self.active else []
        return call(program("wget"), "-q", "--tries=1", *flags, *arguments, cwd=self.folder)

    def ftplib(self) -> ftplib.FTP:
        if self.tls is None:
            client = ftplib.FTP(timeout=DEADLINE, encoding="utf-8")
        else:
            client = ftplib.FTP_TLS(timeout=DEADLINE, encoding="utf-8", context=self.tls.context())
        client.connect(self.host, self.port)
        client.login(USER, PASSWORD)
        if isinstance(client, ftplib.FTP_TLS):
            client.prot_p()
        client.set_pasv(not self.active)
        return client

    async def aioftp(self, stack_work: Callable[[Any], Awaitable[object]]) -> None:
        import aioftp

        context = self.tls.context() if self.tls is not None else None
        writers = []

        class Client(aioftp.Client):  # type: ignore[misc]
            async def _open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
                reader, writer = await super()._open_connection(host, port)
                writers.append(writer)
                return reader, writer

        client = Client(ssl=context if self.implicit else None)
        await client.connect(self.host, self.port)
        try:
            if context is not None and not self.implicit:
                await client.upgrade_to_tls(context)
            await client.login(USER, PASSWORD)
            await stack_work(client)
        finally:
            client.close()
            # It does not wait itself, and TLS takes a moment to say goodbye.
            for writer in writers:
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    # What all of them are asked for

    def download(self, path: str, target: Path) -> None:
        """Fetch *path*; where part of it is there already, only the rest."""
        resume = target.exists()
        if self.client == "curl":
            self.curl(*(["-C", "-"] if resume else []), self.url(path), "-o", str(target))
        elif self.client == "lftp":
            self.lftp(f"get {'-c ' if resume else ''}{path} -o {target}")
        elif self.client == "ncftp":
            assert target == self.folder / path
            self.ncftp("ncftpget", "-z" if resume else "-Z", self.host, ".", f"/{path}")
        elif self.client == "wget":
            self.wget(*(["-c"] if resume else []), self.url(path), "-O", str(target))
        elif self.client == "ftplib":
            with self.ftplib() as client, target.open("ab") as file:
                client.retrbinary(f"RETR {path}", file.write, rest=target.stat().st_size)
        else:
            asyncio.run(self.aioftp(lambda client: self._aioftp_download(client, path, target)))

    async def _aioftp_download(self, client: Any, path: str, target: Path) -> None:
        offset = target.stat().st_size if target.exists() else 0
        with target.open("ab") as file:
            async with client.download_stream(path, offset=offset) as stream:
                async for block in stream.iter_by_block():
                    file.write(block)

    def upload(self, source: Path, rest: bool = False) -> None:
        """Store *source* under its own name, with *rest* only what is not there yet."""
        name = source.name
        if self.client == "curl":
            self.curl(*(["-C", "-"] if rest else []), "-T", str(source), self.url(name))
        elif self.client == "lftp":
            self.lftp(f"put {'-c ' if rest else ''}{source} -o {name}")
        elif self.client == "ncftp":
            self.ncftp("ncftpput", "-Z", self.host, ".", str(source))
        elif self.client == "ftplib":
            with self.ftplib() as client, source.open("rb") as file:
                client.voidcmd("TYPE I")
                offset = client.size(name) if rest else None
                file.seek(offset or 0)
                client.storbinary(f"STOR {name}", file, rest=offset)
        else:
            asyncio.run(self.aioftp(lambda client: self._aioftp_upload(client, source, rest)))

    async def _aioftp_upload(self, client: Any, source: Path, rest: bool) -> None:
        offset = int((await client.stat(source.name))["size"]) if rest else 0
        async with client.upload_stream(source.name, offset=offset) as stream:
            await stream.write(source.read_bytes()[offset:])

    def rename(self, name: str, new: str) -> None:
        if self.client == "curl":
            self.curl("-Q", f"RNFR {name}", "-Q", f"RNTO {new}", self.url(""))
        elif self.client == "lftp":
            self.lftp(f"mv {name} {new}")
        elif self.client == "ncftp":
            self.ncftp_shell(f"rename {name} {new}")
        elif self.client == "ftplib":
            with self.ftplib() as client:
                client.rename(name, new)
        else:
            asyncio.run(self.aioftp(lambda client: client.rename(name, new)))

    def delete(self, name: str) -> None:
        if self.client == "curl":
            self.curl("-Q", f"DELE {name}", self.url(""))
        elif self.client == "lftp":
            self.lftp(f"rm {name}")
        elif self.client == "ncftp":
            self.ncftp_shell(f"rm {name}")
        elif self.client == "ftplib":
            with self.ftplib() as client:
                client.delete(name)
        else:
            asyncio.run(self.aioftp(lambda client: client.remove_file(name)))

    def names(self, path: str) -> list[str]:
        """The names in the directory *path*."""
        if self.client == "curl":
            return self.curl("--list-only", self.url(f"{path}/")).splitlines()
        if self.client == "lftp":
            return [line.rpartition("/")[2] for line in self.lftp(f"cls -1 {path}").splitlines()]
        if self.client == "ncftp":
            return self.ncftp("ncftpls", "-1", f"ftp://{self.host}:{self.port}/{path}/").split("\n")[:-1]
        if self.client == "wget":
            self.wget("--no-remove-listing", self.url(f"{path}/"), "-O", str(self.folder / "index.html"))
            lines = (self.folder / ".listing").read_text().splitlines()
            return [line.rpartition(" ")[2] for line in lines]
        if self.client == "ftplib":
            with self.ftplib() as client:
                return [name for name, facts in client.mlsd(path) if facts["type"] == "file"]
        found: list[str] = []

        async def collect(client: Any) -> None:
            async for entry, _ in client.list(path):
                found.append(entry.name)

        asyncio.run(self.aioftp(collect))
        return found


def need(client: str, *, ipv6: bool = False, active: bool = False) -> None:
    if client == "aioftp":
        pytest.importorskip("aioftp", reason="aioftp is not installed")
    elif client != "ftplib":
        program("ncftpget" if client == "ncftp" else client)
    if ipv6:
        try:
            with socket.socket(socket.AF_INET6) as sock:
                sock.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")


def plain_meeting(serve: Callable[..., Running], folder: Path, client: str, host: str, mode: str) -> Meeting:
    need(client, ipv6=host == "::1")
    if (client, host) == ("ncftp", "::1"):
        pytest.skip("ncftp speaks no IPv6")
    if (client, mode) == ("aioftp", "active"):
        pytest.skip("aioftp knows no active mode")
    return Meeting(client, host, serve(host=host).port, folder, mode=mode)


def tls_meeting(serve: Callable[..., Running], tls: Tls, folder: Path, client: str, mode: str) -> Meeting:
    need(client)
    if (client, mode) == ("ftplib", "implicit"):
        pytest.skip("ftplib knows explicit TLS only")
    settings = TlsConfig(cert=tls.cert, require_control=True, require_data=True)
    port = serve(tls=settings, implicit_tls=mode == "implicit").port
    return Meeting(client, "localhost", port, folder, tls, mode)


def fetch_the_rest(meeting: Meeting, root: Path) -> None:
    """Fetch a file, and the rest of it where it is not whole."""
    (root / "file").write_bytes(CONTENT)
    target = meeting.folder / "file"
    for size in None, 100_000:
        if size is not None:
            os.truncate(target, size)
        meeting.download("file", target)
        assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("mode", ["passive", "active"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("client", CLIENTS)
def test_the_rest_of_a_file_is_fetched(
    serve: Callable[..., Running], root: Path, tmp_path: Path, client: str, host: str, mode: str
) -> None:
    fetch_the_rest(plain_meeting(serve, tmp_path, client, host, mode), root)


@pytest.mark.parametrize("mode", ["explicit", "implicit"])
@pytest.mark.parametrize("client", ["curl", "lftp", "wget", "ftplib", "aioftp"])
def test_the_rest_of_a_file_is_fetched_through_tls(
    serve: Callable[..., Running], tls: Tls, root: Path, tmp_path: Path, client: str, mode: str
) -> None:
    fetch_the_rest(tls_meeting(serve, tls, tmp_path, client, mode), root)


def change_files(meeting: Meeting, root: Path) -> None:
    """Store a file, store the rest of one that is not whole, rename it, delete it."""
    source = meeting.folder / "wörld"
    source.write_bytes(CONTENT)
    stored = root / "wörld"
    meeting.upload(source)
    assert stored.read_bytes() == CONTENT
    if meeting.client != "ncftp":  # It sends all of the file after REST, to any server.
        os.truncate(stored, 100_000)
        meeting.upload(source, rest=True)
        assert stored.read_bytes() == CONTENT
    meeting.rename("wörld", "möved")
    assert [path.name for path in root.iterdir()] == ["möved"]
    assert (root / "möved").read_bytes() == CONTENT
    meeting.delete("möved")
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("mode", ["passive", "active"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("client", WRITERS)
def test_files_are_stored_renamed_and_deleted(
    serve: Callable[..., Running], root: Path, tmp_path: Path, client: str, host: str, mode: str
) -> None:
    change_files(plain_meeting(serve, tmp_path, client, host, mode), root)


@pytest.mark.parametrize("mode", ["explicit", "implicit"])
@pytest.mark.parametrize("client", ["curl", "lftp", "ftplib", "aioftp"])
def test_files_are_stored_renamed_and_deleted_through_tls(
    serve: Callable[..., Running], tls: Tls, root: Path, tmp_path: Path, client: str, mode: str
) -> None:
    change_files(tls_meeting(serve, tls, tmp_path, client, mode), root)


@pytest.mark.parametrize("client", CLIENTS)
def test_ten_thousand_names_are_listed(server: Running, root: Path, tmp_path: Path, client: str) -> None:
    need(client)
    directory = root / "many"
    directory.mkdir()
    expected = [f"ünïcödé-{number:05}" for number in range(ENTRIES)]
    for name in expected:
        (directory / name).touch()
    found = Meeting(client, "127.0.0.1", server.port, tmp_path).names("many")
    assert sorted(found) == expected
