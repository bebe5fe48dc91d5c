"""What the client can do beyond plain transfers, with the servers that offer it."""

from __future__ import annotations

import asyncio
import io
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fastxfer.ftp import (
    AsyncClient,
    Client,
    FTPError,
    InvalidArgumentError,
    LoginError,
    PermanentError,
    Progress,
    TLSSettings,
    UnsupportedError,
    VerificationError,
)
from tests.ftp.conftest import run
from tests.ftp.hostile import run as run_scripted
from tests.support.ftp_servers import Certificates, FTPPeer, run_pyftpdlib
from tests.support.scripted_ftp import Control, scripted_server


def test_files_objects_buffers_and_iterators_go_up_and_come_down(peer: FTPPeer, local: Path) -> None:
    content = os.urandom(700_000)
    (local / "f").write_bytes(content)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 100_000):
            yield content[start : start + 100_000]

    async def body(client: AsyncClient) -> None:
        await client.upload(memoryview(content), "buffer")
        await client.upload(pieces(), "pieces")
        await client.upload(iter([content[:10], b"", content[10:]]), "iterator")
        with (local / "f").open("rb") as file:
            file.read(5)
            await client.upload(file, "file")
        await client.upload(io.BytesIO(content), "stream")
        for name in ("buffer", "pieces", "iterator", "stream"):
            assert (peer.root / name).read_bytes() == content
        assert (peer.root / "file").read_bytes() == content[5:]

        sink = io.BytesIO()
        await client.download("buffer", sink)
        assert sink.getvalue() == content
        with (local / "g").open("wb") as file:
            file.write(b"head")
            await client.download("buffer", file)
            file.write(b"tail")
        assert (local / "g").read_bytes() == b"head" + content + b"tail"
        parts: list[bytes] = []
        await client.download("buffer", parts.append)
        assert b"".join(parts) == content
        assert b"".join([piece async for piece in client.stream("buffer", offset=699_000)]) == content[699_000:]
        async for _ in client.stream("buffer"):
            break
        assert await client.read("buffer", offset=10, length=20) == content[10:30]
        assert await client.read("buffer", offset=699_990, length=100) == content[699_990:]

    run(peer, body)


def test_sizes_times_modes_and_facts(peer: FTPPeer, local: Path) -> None:
    (local / "f").write_bytes(b"12345")
    os.utime(local / "f", (1_600_000_000, 1_600_000_000))

    async def body(client: AsyncClient) -> None:
        await client.upload(local / "f", "f", preserve_time=True)
        assert await client.size("f") == 5
        assert await client.modified("f") == 1_600_000_000
        entry = await client.stat("f")
        assert (entry.name, entry.type, entry.size) == ("f", "file", 5)
        await client.set_modified("f", 1_500_000_000)
        assert (peer.root / "f").stat().st_mtime == 1_500_000_000
        await client.download("f", local / "g", preserve_time=True)
        assert (local / "g").stat().st_mtime == 1_500_000_000
        await client.chmod("f", 0o600)
        assert (peer.root / "f").stat().st_mode & 0o777 == 0o600
        await client.chmod("f", "644")
        with pytest.raises(InvalidArgumentError):
            await client.chmod("f", "rwx")

    run(peer, body)


def test_directories_are_made_listed_walked_and_removed(peer: FTPPeer) -> None:
    async def body(client: AsyncClient) -> None:
        await client.mkdir("a/b/c", parents=True)
        await client.mkdir("a/b/c", parents=True)
        await client.mkdir("a", exist_ok=True)
        with pytest.raises(PermanentError):
            await client.mkdir("a")
        for name in ("a/1.txt", "a/b/2.txt", "a/b/c/3.bin", "a/b/c/.hidden"):
            await client.upload(name.encode(), name)
        assert await client.is_directory("a/b")
        assert not await client.is_directory("a/1.txt")
        found = [path async for path, _ in client.walk("a")]
        assert sorted(found) == ["a/1.txt", "a/b", "a/b/2.txt", "a/b/c", "a/b/c/.hidden", "a/b/c/3.bin"]
        assert found.index("a/b") < found.index("a/b/2.txt")
        assert await client.glob("a/**/*.txt") == ["a/1.txt", "a/b/2.txt"]
        assert await client.glob("a/?.txt") == ["a/1.txt"]
        assert sorted(await client.names("a")) == ["1.txt", "b"]
        assert sorted([entry.name async for entry in client.iterate("a/b")]) == ["2.txt", "c"]
        await client.rename("a/1.txt", "a/b/one.txt")
        await client.chdir("a/b")
        assert await client.pwd() == "/a/b"
        assert sorted(entry.name for entry in await client.list()) == ["2.txt", "c", "one.txt"]
        assert await client.read("one.txt") == b"a/1.txt"
        await client.remove("one.txt")
        await client.remove("one.txt", missing_ok=True)
        with pytest.raises(PermanentError):
            await client.rmdir("c")
        await client.chdir("/")
        assert await client.remove_tree("a") == 6
        assert await client.remove_tree("a", missing_ok=True) == 0
        assert await client.list() == []

    run(peer, body)


def test_copying_and_moving(peer: FTPPeer) -> None:
    async def body(client: AsyncClient) -> None:
        await client.upload(b"content", "a")
        await client.copy("a", "b")
        await client.mkdir("d")
        await client.move("a", "d")
        await client.move("b", "e/f/b2", make_directories=True)
        assert await client.read("d/a") == b"content"
        assert await client.read("e/f/b2") == b"content"
        with pytest.raises(InvalidArgumentError):
            await client.copy("d/a", "d/a")

    run(peer, body)


def test_text_has_the_line_ends_of_whoever_keeps_it(peer: FTPPeer, local: Path) -> None:
    (local / "text").write_bytes(b"one\ntwo\r\nthree")

    async def body(client: AsyncClient) -> None:
        await client.upload(local / "text", "text", ascii=True)
        await client.download("text", local / "back", ascii=True)
        assert (local / "back").read_bytes().replace(b"\r\n", b"\n") == b"one\ntwo\nthree"
        # And bytes are bytes again afterwards.
        await client.upload(b"\n\r\n", "binary")
        assert await client.read("binary") == b"\n\r\n"

    run(peer, body)


def test_unique_names_are_made_up_by_the_server(peer: FTPPeer) -> None:
    async def body(client: AsyncClient) -> None:
        if peer.name.endswith("aioftp"):
            pytest.skip("aioftp has no STOU")
        await client.mkdir("d")
        names = [await client.upload_unique(b"%d" % number, "d") for number in range(2)]
        assert len(set(names)) == 2
        stored = {path.read_bytes() for path in (peer.root / "d").iterdir()}
        assert stored == {b"0", b"1"}

    run(peer, body)


def test_many_tasks_share_a_client(peer: FTPPeer) -> None:
    async def body(client: AsyncClient) -> None:
        async def round_trip(number: int) -> None:
            content = os.urandom(1000 + number)
            await client.upload(content, f"f{number}")
            assert await client.read(f"f{number}") == content
            assert (await client.stat(f"f{number}")).size == len(content)

        await asyncio.gather(*(round_trip(number) for number in range(30)))
        assert client.stats()["connections"] <= 4
        assert client.stats()["active"] == 0

    run(peer, body, connections=4)


def test_the_blocking_client_does_the_same(peer: FTPPeer, local: Path) -> None:
    content = os.urandom(300_000)
    (local / "f").write_bytes(content)
    settings = TLSSettings(ca_file=peer.ca_file)
    with Client(peer.url, user=peer.user, password=peer.password, tls_settings=settings) as client:
        client.upload(local / "f", "a/b/f", make_directories=True)
        client.download("a/b/f", local / "g")
        assert (local / "g").read_bytes() == content
        assert b"".join(client.stream("a/b/f")) == content
        assert [path for path, _ in client.walk()] == ["a", "a/b", "a/b/f"]
        report = client.sync(local, "tree", "up")
        assert report.actions["upload"] == 2
        assert client.verify(local, "tree").ok
        assert [found.path for found in client.search("g", "tree")] == ["tree/g"]
        client.chdir("tree")
        assert client.remove_tree("/a") == 3
        assert sorted(entry.name for entry in client.list()) == ["f", "g"]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_tls_of_either_version_with_resumed_data_connections(peer: FTPPeer, version: str) -> None:
    if peer.tls == "none":
        pytest.skip("a plain server")
    settings = TLSSettings(ca_file=peer.ca_file, minimum_version=version, maximum_version=version)

    async def body() -> None:
        async with AsyncClient(peer.url, user=peer.user, password=peer.password, tls_settings=settings) as client:
            for number in range(4):
                await client.upload(b"x" * 100_000, f"f{number}")
                assert len(await client.read(f"f{number}")) == 100_000
            assert len(await client.list()) == 4

    asyncio.run(body())


def test_a_wrong_password_is_a_login_error(peer: FTPPeer) -> None:
    if peer.name != "pyftpdlib":
        pytest.skip("other servers punish with long waits")
    with pytest.raises(LoginError):
        Client(peer.url, user="user", password="wrong", tls_settings=TLSSettings(ca_file=peer.ca_file)).connect()


def test_anonymous_login_is_the_default(tmp_path: Path) -> None:
    with run_pyftpdlib(tmp_path) as peer, Client(peer.url) as client:
        assert client.list() == []
        assert "anonymous" in repr(client)


def test_ipv6(tmp_path: Path) -> None:
    try:
        running = run_pyftpdlib(tmp_path, host="::1")
        with running as peer, Client(peer.url, user=peer.user, password=peer.password) as client:
            client.upload(b"six", "f")
            assert client.read("f") == b"six"
    except OSError:
        pytest.skip("no IPv6 here")


def test_progress_and_hooks_tell_what_happens(tmp_path: Path) -> None:
    events: list[tuple[Any, ...]] = []

    async def on_download(path: str, target: object) -> None:
        events.append(("download", path))

    hooks = {
        "connect": lambda server, banner: events.append(("connect", banner)),
        "upload": lambda source, path: events.append(("upload", path)),
        "download": on_download,
        "error": lambda error: events.append(("error", type(error).__name__)),
    }
    with scripted_server() as server:

        async def body(client: AsyncClient) -> None:
            up, down = Progress(), Progress()
            await client.upload(bytes(1_000_000), "a", progress=up)
            assert (up.transferred, up.total, up.done) == (1_000_000, 1_000_000, True)
            await client.download("a", tmp_path / "a", progress=down)
            assert (down.transferred, down.total, down.done) == (1_000_000, 1_000_000, True)
            calls: list[int] = []
            await client.download("a", tmp_path / "a", progress=lambda progress: calls.append(progress.transferred))
            assert calls[-1] == 1_000_000
            with pytest.raises(FTPError):
                await client.read("missing")

        run_scripted(server, body, hooks=hooks)
    assert events == [
        ("connect", "scripted server"),
        ("upload", "a"),
        ("download", "a"),
        ("download", "a"),
        ("download", "missing"),
        ("error", "NotFoundError"),
    ]


@pytest.mark.parametrize("option", [{"hooks": {"conect": print}}, {"timeut": 3}, {"tls": "ssl"}, {"connections": 0}])
def test_settings_that_do_not_exist_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        AsyncClient("ftp://localhost", **option)


def test_the_directory_of_a_url_may_hold_any_character(tmp_path: Path) -> None:
    with run_pyftpdlib(tmp_path) as peer:
        (peer.root / "a?b#c;d%41").mkdir()
        with Client(f"{peer.url}/a?b#c;d%2541", user=peer.user, password=peer.password) as client:
            client.upload(b"x", "f")
        assert (peer.root / "a?b#c;d%41" / "f").read_bytes() == b"x"


def test_a_rate_limit_holds_transfers_back(tmp_path: Path, certificates: Certificates) -> None:
    for certificate in (None, certificates):
        with run_pyftpdlib(tmp_path, certificate) as peer:

            async def body(client: AsyncClient) -> float:
                began = time.monotonic()
                await client.upload(bytes(150_000), "f")
                return time.monotonic() - began

            async def session(peer: FTPPeer = peer) -> float:
                async with AsyncClient(
                    peer.url,
                    user=peer.user,
                    password=peer.password,
                    tls_settings=TLSSettings(ca_file=peer.ca_file),
                    upload_rate=500_000,
                ) as client:
                    return await body(client)

            assert asyncio.run(session()) > 0.1


HASHES = {
    "XCRC": "0D4A1185",
    "XMD5": "5eb63bbbe01eeed093cb22bb8f5acdc3",
    "XSHA1": "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed",
    "XSHA256": "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
}


@pytest.mark.parametrize("command", HASHES)
def test_contents_are_compared_by_the_servers_checksum(tmp_path: Path, command: str) -> None:
    with scripted_server() as server:
        server.features.append(command)
        server.handlers[command] = lambda control, argument: control.reply(f"250 {HASHES[command]}")

        async def body(client: AsyncClient) -> None:
            result = await client.upload(b"hello world", "a", verify=True)
            assert result.verified == client.checksums()[0]
            with pytest.raises(VerificationError):
                await client.upload(b"hello w0rld", "b", verify=True)
            server.files["/c"] = b"hello wxrld"
            with pytest.raises(VerificationError):
                await client.download("c", tmp_path / "c", verify=True)
            await client.download("a", tmp_path / "a", verify=client.checksums()[0])

        run_scripted(server, body)
        assert set(server.files) == {"/a", "/c"}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_hash_is_asked_for_with_the_algorithm_wanted() -> None:
    with scripted_server() as server:
        server.features.append("HASH SHA-256*;SHA-1;MD5;CRC32")
        server.handlers["HASH"] = lambda control, argument: control.reply(f"213 SHA-1 0-11 {HASHES['XSHA1']} deadbeef")
        digits = run_scripted(server, lambda client: client.checksum("a", "sha1"))
        assert digits == ("sha1", HASHES["XSHA1"])
        assert "OPTS HASH SHA-1" in server.commands


def test_a_checksum_that_nobody_computes_is_unsupported() -> None:
    with scripted_server() as server, pytest.raises(UnsupportedError):
        run_scripted(server, lambda client: client.checksum("a"))


def test_verification_by_size_catches_a_server_that_loses_bytes() -> None:
    def stor(control: Control, argument: str) -> None:
        server.do_stor(control, argument)
        path = f"/{argument}"
        server.files[path] = server.files[path][:-1]

    with scripted_server() as server:
        server.handlers["STOR"] = stor
        with pytest.raises(VerificationError):
            run_scripted(server, lambda client: client.upload(b"hello", "a", verify="size"))
        assert server.files == {}


def test_names_that_are_not_valid_in_the_encoding_survive(tmp_path: Path) -> None:
    with scripted_server() as server:

        async def body(client: AsyncClient) -> None:
            await client.upload(b"x", "caf\udce9")
            assert [entry.name for entry in await client.list()] == ["caf\udce9"]

        run_scripted(server, body)
        assert "RNTO caf\udce9" in server.commands

        async def latin(client: AsyncClient) -> None:
            assert "café" in [entry.name for entry in await client.list()]
            with pytest.raises(InvalidArgumentError):
                await client.read("日本")

        run_scripted(server, latin, encoding="latin-1")


@pytest.mark.parametrize("path", [None, b"name", 5])
def test_what_is_no_path_is_refused_instead_of_being_a_name(path: Any) -> None:
    async def body(client: AsyncClient) -> None:
        for call in (client.remove, client.mkdir, client.list, client.stat, client.exists, client.remove_tree):
            with pytest.raises(InvalidArgumentError, match="must be a str"):
                await call(path)
        with pytest.raises(InvalidArgumentError, match="must be a str"):
            await client.upload(b"content", path)

    with scripted_server() as server:
        run_scripted(server, body)
        assert not any(line.startswith(("DELE", "MKD", "STOR", "MLS")) for line in server.commands)
