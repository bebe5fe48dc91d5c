"""Other ways for the bytes: several connections, proxies, compression, from server to server."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest

from fastxfer.core.transforms import Chain, Deflate, FromNetworkLines, ToNetworkLines
from fastxfer.ftp import (
    AsyncClient,
    Client,
    ConnectionFailedError,
    FTPError,
    InvalidArgumentError,
    Limits,
    PermanentError,
    Progress,
    RetryPolicy,
    TLSSettings,
    TransferError,
    TruncatedError,
    UnsupportedError,
)
from fastxfer.ftp.compression import Inflate
from tests.ftp.conftest import run
from tests.ftp.hostile import run as run_scripted
from tests.support.ftp_servers import Certificates, FTPPeer, run_pyftpdlib
from tests.support.proxies import run_proxy
from tests.support.scripted_ftp import Control, ScriptedServer, reset, scripted_server

BIG = 17 << 20


def test_a_big_file_comes_in_segments(peer: FTPPeer, local: Path) -> None:
    content = os.urandom(BIG)
    (peer.root / "big").write_bytes(content)
    os.utime(peer.root / "big", (1_700_000_000, 1_700_000_000))

    async def body(client: AsyncClient) -> None:
        progress = Progress()
        result = await client.download_segmented(
            "big", local / "big", segments=3, preserve_time=True, progress=progress
        )
        assert (result.size, result.attempts) == (BIG, 3)
        assert progress.transferred == BIG
        assert (local / "big").read_bytes() == content
        assert (local / "big").stat().st_mtime == 1_700_000_000
        assert [path.name for path in local.iterdir()] == ["big"]
        await client.noop()

    run(peer, body)


def test_a_small_file_is_not_worth_segments(tmp_path: Path) -> None:
    with scripted_server() as server:
        server.files["/a"] = b"content"
        run_scripted(server, lambda client: client.download_segmented("a", tmp_path / "a", segments=8))
        assert server.count("RETR") == 1
        assert server.connections == 1
    assert (tmp_path / "a").read_bytes() == b"content"


def test_segments_whose_connections_break_are_taken_up(tmp_path: Path) -> None:
    content = os.urandom(BIG)
    lock = threading.Lock()
    cuts = [100_000, 2_000_000, 1_000_000, 50_000]

    def retr(control: Control, argument: str) -> None:
        start, control.restart = control.restart, 0
        with lock:
            cut = cuts.pop() if cuts else None
        if cut is None:
            control.send_file(content[start:])
            return
        control.reply("150 opening")
        data = control.data()
        data.sendall(content[start : start + cut])
        data.close()
        reset(control.sock)
        control.hang_up()

    with scripted_server() as server:
        server.files["/a"] = content
        server.handlers["RETR"] = retr
        result = run_scripted(server, lambda client: client.download_segmented("a", tmp_path / "a", segments=2))
        assert result.attempts == 6
    assert (tmp_path / "a").read_bytes() == content


def test_a_segment_that_fails_for_good_leaves_nothing(tmp_path: Path) -> None:
    content = bytes(BIG)

    def retr(control: Control, argument: str) -> None:
        if control.restart:
            control.reply("550 not the end, please")
        else:
            control.send_file(content)

    with scripted_server() as server:
        server.files["/a"] = content
        server.handlers["RETR"] = retr
        with pytest.raises(FTPError, match="not the end"):
            run_scripted(server, lambda client: client.download_segmented("a", tmp_path / "a"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("kind", ["socks5", "http"])
@pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])
def test_through_a_proxy(tmp_path: Path, certificates: Certificates, kind: str, secure: bool, blocking: bool) -> None:
    pytest.importorskip("python_socks")
    with run_pyftpdlib(tmp_path, certificates if secure else None) as peer, run_proxy(kind) as proxy:
        url = f"{kind}://127.0.0.1:{proxy.port}"
        settings = TLSSettings(ca_file=peer.ca_file)

        async def session() -> None:
            async with AsyncClient(
                peer.url, user=peer.user, password=peer.password, tls_settings=settings, proxy=url
            ) as client:
                await client.upload(b"content" * 1000, "a")
                assert await client.read("a") == b"content" * 1000
                assert [entry.name for entry in await client.list()] == ["a"]

        if blocking:
            with Client(peer.url, user=peer.user, password=peer.password, tls_settings=settings, proxy=url) as client:
                client.upload(b"content" * 1000, "a")
                assert client.read("a") == b"content" * 1000
                client.list()
        else:
            asyncio.run(session())
        assert len(proxy.targets) == 4
        assert proxy.targets[0] == ("127.0.0.1", peer.port)


@pytest.mark.parametrize("kind", ["socks5", "http"])
def test_a_proxy_that_refuses_or_is_not_there_is_an_error(kind: str) -> None:
    pytest.importorskip("python_socks")
    with scripted_server() as server:
        with run_proxy(kind) as proxy:
            proxy.refuse = True
            with pytest.raises(ConnectionFailedError):
                run_scripted(server, lambda client: client.noop(), proxy=f"{kind}://127.0.0.1:{proxy.port}")
            port = proxy.port
        with pytest.raises(ConnectionFailedError):
            run_scripted(server, lambda client: client.noop(), proxy=f"{kind}://127.0.0.1:{port}")
        with pytest.raises(InvalidArgumentError):
            run_scripted(server, lambda client: client.noop(), proxy="gopher://127.0.0.1:70")
        assert server.connections == 0
    with pytest.raises(InvalidArgumentError):
        AsyncClient("ftp://localhost", proxy="socks5://localhost", passive=False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://127.0.0.1:x", "http://[::1", "socks5://[::1"])
def test_the_url_of_a_proxy_that_makes_no_sense_is_a_wrong_argument(url: str) -> None:
    with scripted_server() as server, pytest.raises(InvalidArgumentError, match="proxy's URL"):
        run_scripted(server, lambda client: client.noop(), proxy=url)


def test_an_http_proxy_is_given_international_names_as_dns_has_them() -> None:
    with run_proxy("http") as proxy:
        proxy.refuse = True
        settings: dict[str, Any] = {"proxy": f"http://127.0.0.1:{proxy.port}", "retry": RetryPolicy(attempts=1)}
        with pytest.raises(ConnectionFailedError, match="the proxy refused"):
            Client("ftp://bücher.invalid", **settings).connect()
        with pytest.raises(InvalidArgumentError, match="not a host name"):
            Client("ftp://" + "ü" * 70 + ".invalid", **settings).connect()


def compressing(server: ScriptedServer) -> None:
    """Teach a scripted server MODE Z."""
    server.features.append("MODE Z")
    plain_send = Control.send_file
    plain_handlers = dict(server.handlers)

    def mode(control: Control, argument: str) -> None:
        control.reply("200 MODE Z it is")

    def retr(control: Control, argument: str) -> None:
        start, control.restart = control.restart, 0
        plain_send(control, zlib.compress(server.files[f"/{argument}"][start:]))

    def mlsd(control: Control, argument: str) -> None:
        control.send_file = lambda content: plain_send(control, zlib.compress(content))  # type: ignore[method-assign]
        plain_handlers["MLSD"](control, argument)

    def stor(control: Control, argument: str) -> None:
        server.do_stor(control, argument)
        server.files[f"/{argument}"] = zlib.decompress(server.files[f"/{argument}"])

    server.handlers |= {"MODE": mode, "RETR": retr, "MLSD": mlsd, "STOR": stor}


def test_what_is_compressed_on_the_way_is_the_same_at_the_end(tmp_path: Path) -> None:
    content = b"a line of text\n" * 100_000
    (tmp_path / "source").write_bytes(content)
    with scripted_server() as server:
        compressing(server)

        async def body(client: AsyncClient) -> None:
            await client.upload(tmp_path / "source", "a")
            await client.upload(iter([content]), "b")
            assert server.files == {"/a": content, "/b": content}
            result = await client.download("a", tmp_path / "target")
            assert result.size == len(content)
            assert (tmp_path / "target").read_bytes() == content
            assert await client.read("a") == content
            assert b"".join([piece async for piece in client.stream("b")]) == content
            assert {entry.name for entry in await client.list()} == {"a", "b"}
            assert {entry.name async for entry in client.iterate()} == {"a", "b"}

        run_scripted(server, body, compress=True)
        assert "MODE Z" in server.commands
        server.commands.clear()
        server.handlers["MODE"] = lambda control, argument: control.reply("504 no")
        server.handlers["RETR"] = server.do_retr
        assert run_scripted(server, lambda client: client.read("a"), compress=True) == content


def test_a_compressed_stream_that_is_cut_or_broken_is_an_error(tmp_path: Path) -> None:
    content = os.urandom(100_000)
    packed = zlib.compress(content)
    with scripted_server() as server:
        compressing(server)
        server.features.remove("SIZE")
        server.files["/a"] = content
        for bad in (packed[: len(packed) // 2], b"not zlib at all" * 1000):
            server.handlers["RETR"] = lambda control, argument, bad=bad: control.send_file(bad)
            with pytest.raises((TruncatedError, ConnectionFailedError)):
                run_scripted(server, lambda client: client.download("a", tmp_path / "a"), compress=True)
    assert list(tmp_path.iterdir()) == []


def test_a_decompression_bomb_is_stopped_at_the_limit() -> None:
    bomb = zlib.compress(bytes(30 << 20))
    with scripted_server() as server:
        compressing(server)
        server.handlers["RETR"] = lambda control, argument: control.send_file(bomb)
        server.files["/a"] = b"x" * 10
        with pytest.raises(TransferError, match="more than 10 bytes"):
            run_scripted(server, lambda client: client.read("a"), compress=True)
        server.features.remove("SIZE")
        with pytest.raises(TransferError, match="more than 100000 bytes"):
            run_scripted(server, lambda client: client.read("a"), compress=True, limits=Limits(body=100_000))


def test_what_is_compressed_much_is_handed_out_in_pieces_all_the_same() -> None:
    size = 48 << 20
    with scripted_server() as server:
        compressing(server)
        packed = zlib.compress(bytes(size))
        server.handlers["RETR"] = lambda control, argument: control.send_file(packed)

        async def sizes(client: AsyncClient) -> list[int]:
            return [len(piece) async for piece in client.stream("a")]

        seen = run_scripted(server, sizes, compress=True)
    assert sum(seen) == size
    assert max(seen) < 18 << 20


def test_transformations_do_not_depend_on_how_the_bytes_come() -> None:
    text = b"one\r\ntwo\nthree\r\r\nfour\r"
    for size in range(1, len(text) + 1):
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        down, up = FromNetworkLines(b"\n"), ToNetworkLines()
        assert b"".join(map(down.update, pieces)) + down.finish() == b"one\ntwo\nthree\r\nfour\r"
        assert b"".join(map(up.update, pieces)) + up.finish() == b"one\r\ntwo\r\nthree\r\r\nfour\r"
        there = Chain(ToNetworkLines(), Deflate())
        back = Chain(Inflate(), FromNetworkLines(b"\n"))
        packed = b"".join(map(there.update, pieces)) + there.finish()
        assert back.update(packed) + back.finish() == b"one\ntwo\nthree\r\nfour\r"


def test_from_server_to_server(tmp_path: Path) -> None:
    content = os.urandom(500_000)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "one" / "a").write_bytes(content)
    with run_pyftpdlib(tmp_path / "one") as first, run_pyftpdlib(tmp_path / "two") as second:

        async def session() -> None:
            async with (
                AsyncClient(first.url, user=first.user, password=first.password) as here,
                AsyncClient(second.url, user=second.user, password=second.password) as there,
            ):
                assert await here.transfer_to("a", there, "b") == 500_000
                assert (tmp_path / "two" / "b").read_bytes() == content
                with pytest.raises(PermanentError):
                    await here.transfer_to("missing", there, "c")
                with pytest.raises(FTPError):
                    await here.transfer_to("a", there, "no such directory/c")
                with pytest.raises(FTPError):
                    await here.transfer_to("a", there, "b", overwrite=False)
                with pytest.raises(InvalidArgumentError):
                    await here.transfer_to("a", here, "c")
                await here.noop()
                await there.noop()
            with (
                Client(first.url, user=first.user, password=first.password) as blocking,
                Client(second.url, user=second.user, password=second.password) as other,
            ):
                await asyncio.to_thread(blocking.transfer_to, "a", other, "c")

        asyncio.run(session())
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["b", "c"]


def test_from_server_to_server_in_the_clear_is_refused_to_who_asked_for_tls(
    tmp_path: Path, certificates: Certificates
) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with run_pyftpdlib(tmp_path, certificates) as first, run_pyftpdlib(tmp_path) as second:

        async def session() -> None:
            settings = TLSSettings(ca_file=first.ca_file)
            async with (
                AsyncClient(first.url, user=first.user, password=first.password, tls_settings=settings) as here,
                AsyncClient(second.url, user=second.user, password=second.password) as there,
            ):
                with pytest.raises(UnsupportedError):
                    await here.transfer_to("a", there, "b")

        asyncio.run(session())
    assert [path.name for path in tmp_path.iterdir() if "pem" not in path.name] == ["a"]


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_two_hundred_downloads_at_once(tmp_path: Path, certificates: Certificates, secure: bool) -> None:
    """Threads and connections stay bounded, every file is whole."""
    (tmp_path / "root").mkdir()
    (tmp_path / "local").mkdir()
    contents = {f"f{number}": os.urandom(20_000 + number) for number in range(200)}
    for name, content in contents.items():
        (tmp_path / "root" / name).write_bytes(content)
    with run_pyftpdlib(tmp_path / "root", certificates if secure else None) as peer:

        async def session() -> None:
            before = threading.active_count()
            async with AsyncClient(
                peer.url,
                user=peer.user,
                password=peer.password,
                tls_settings=TLSSettings(ca_file=peer.ca_file),
                connections=20,
            ) as client:
                await asyncio.gather(*(client.download(name, tmp_path / "local" / name) for name in contents))
                assert client.stats()["connections"] <= 20
                assert threading.active_count() - before <= 36

        asyncio.run(session())
    assert {path.name: path.read_bytes() for path in (tmp_path / "local").iterdir()} == contents


def test_leaving_tls_on_the_control_connection_only(certificates: Certificates) -> None:
    """CCC: commands go in the clear again, data stays encrypted."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server_file)

    def ccc(control: Control, argument: str) -> None:
        control.reply("200 in the clear from now on")
        control.sock = control.sock.unwrap()

    with scripted_server(context) as server:
        server.files["/a"] = b"content"
        server.handlers["CCC"] = ccc
        url = server.url.replace("ftp://", "ftpes://")
        settings = TLSSettings(ca_file=certificates.ca_file)

        async def body(client: AsyncClient) -> None:
            assert await client.read("a") == b"content"
            await client.noop()

        run_scripted(server, body, url=url, tls_settings=settings, clear_control=True)
        assert server.commands.index("CCC") < server.commands.index("RETR a")
