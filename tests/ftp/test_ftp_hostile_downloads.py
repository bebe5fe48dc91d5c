"""Servers that misbehave during downloads: a clear error or a correct retry, and never a short file called whole."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastxfer.ftp import (
    AsyncClient,
    Client,
    ConnectionLostError,
    Limits,
    LocalFileError,
    PermanentError,
    RetryPolicy,
    TimedOutError,
    TLSSettings,
    TransferError,
    TruncatedError,
    VerificationError,
)
from tests.ftp.hostile import run
from tests.support.ftp_servers import FTPPeer
from tests.support.scripted_ftp import Control, ScriptedServer, end_data, reset, scripted_server


def contents(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_transfer_that_is_never_called_complete_is_given_up(tmp_path: Path) -> None:
    def retr(control: Control, argument: str) -> None:
        control.reply("150 here it comes")
        data = control.data()
        data.sendall(server.files["/a"])
        data.close()

    with scripted_server() as server:
        server.files["/a"] = b"content"
        server.handlers["RETR"] = retr
        server.handlers["SIZE"] = lambda control, argument: control.reply("550 who knows")
        with pytest.raises(TimedOutError):
            run(server, lambda client: client.download("a", tmp_path / "a"), timeout=0.3)
    assert contents(tmp_path) == []


def test_complete_said_before_the_data_is_drained_loses_nothing() -> None:
    content = os.urandom(3_000_000)

    def retr(control: Control, argument: str) -> None:
        control.reply("150 here it comes", "226 done already")
        data = control.data()
        time.sleep(0.05)
        data.sendall(content)
        data.close()

    with scripted_server() as server:
        server.files["/a"] = content
        server.handlers["RETR"] = retr
        assert run(server, lambda client: client.read("a")) == content


@pytest.mark.parametrize("tell_size", [True, False], ids=["size told by SIZE", "size told by 150"])
def test_a_short_file_called_complete_is_not_taken_for_whole(tmp_path: Path, tell_size: bool) -> None:
    def retr(control: Control, argument: str) -> None:
        start, control.restart = control.restart, 0
        control.reply(f"150 opening ({100_000 - start} bytes)")
        data = control.data()
        data.sendall(bytes(100_000)[start:50_000])
        data.close()
        control.reply("226 complete")

    with scripted_server() as server:
        server.files["/a"] = bytes(100_000)
        server.handlers["RETR"] = retr
        if not tell_size:
            server.features.remove("SIZE")
            del server.handlers["SIZE"]
        with pytest.raises(TruncatedError) as caught:
            run(server, lambda client: client.download("a", tmp_path / "a"))
        assert caught.value.bytes_done == 50_000
    assert contents(tmp_path) == []


def test_a_server_that_ignores_rest_does_not_get_its_bytes_twice_into_the_file(tmp_path: Path) -> None:
    content = os.urandom(100_000)

    def retr(control: Control, argument: str) -> None:
        if server.count("RETR") == 1:
            control.reply("150 opening")
            data = control.data()
            data.sendall(content[:40_000])
            end_data(data)
            control.hang_up()
        control.send_file(content)

    with scripted_server() as server:
        server.files["/a"] = content
        server.handlers["RETR"] = retr

        async def body(client: AsyncClient) -> None:
            with pytest.raises(VerificationError):
                await client.download("a", tmp_path / "a")
            await client.download("a", tmp_path / "a")

        run(server, body)
    assert (tmp_path / "a").read_bytes() == content


def test_a_server_without_rest_is_asked_for_the_whole_again(tmp_path: Path) -> None:
    content = os.urandom(100_000)

    def retr(control: Control, argument: str) -> None:
        if server.count("RETR") == 1:
            control.reply("150 opening")
            data = control.data()
            data.sendall(content[:40_000])
            end_data(data)
            control.hang_up()
        control.send_file(content)

    with scripted_server() as server:
        server.files["/a"] = content
        server.features.remove("REST STREAM")
        server.handlers["RETR"] = retr
        run(server, lambda client: client.download("a", tmp_path / "a"))
        assert server.count("REST") == 0
    assert (tmp_path / "a").read_bytes() == content


def test_a_file_that_changes_between_two_attempts_is_begun_again(tmp_path: Path) -> None:
    old, new = b"o" * 100_000, b"n" * 90_000

    def retr(control: Control, argument: str) -> None:
        if server.count("RETR") == 1:
            control.reply("150 opening")
            data = control.data()
            data.sendall(old[:40_000])
            server.files["/a"] = new
            end_data(data)
            control.hang_up()
        server.do_retr(control, argument)

    with scripted_server() as server:
        server.files["/a"] = old
        server.handlers["RETR"] = retr
        run(server, lambda client: client.download("a", tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == new


@pytest.mark.parametrize("kind", ["cut both", "cut data", "close data"])
def test_a_download_cut_ten_times_ends_whole(tmp_path: Path, kind: str) -> None:
    chance = random.Random(5)
    content = chance.randbytes(2_000_000)

    def retr(control: Control, argument: str) -> None:
        start, control.restart = control.restart, 0
        if server.count("RETR") > 10:
            control.send_file(content[start:])
            return
        end = start + chance.randrange(1, (len(content) - start) // 2)
        control.reply("150 opening")
        data = control.data()
        data.sendall(content[start:end])
        if kind == "close data":
            end_data(data)
            control.reply("426 that was it")
        elif kind == "cut data":
            # A reset throws away what has not been read yet.
            time.sleep(0.05)
            reset(data)
            control.reply("426 that was it")
        else:
            end_data(data)
            reset(control.sock)
            control.hang_up()

    with scripted_server() as server:
        server.files["/a"] = content
        server.handlers["RETR"] = retr
        result = run(server, lambda client: client.download("a", tmp_path / "a"))
        assert server.count("RETR") == 11
        assert result.size == len(content)
        assert result.attempts == 11
    assert (tmp_path / "a").read_bytes() == content
    assert contents(tmp_path) == ["a"]


CONTENT = bytes(range(256)) * 1000
DOWNLOADS = {
    "download": lambda client, path: client.download("a", path),
    "download_segmented": lambda client, path: client.download_segmented("a", path, segments=2),
    "read": lambda client, path: client.read("a", offset=5, length=200_000),
}


def breaking_once(server: ScriptedServer, *last_words: str) -> Callable[[Control, str], None]:
    """A RETR whose first data connection ends early, in good order."""

    def retr(control: Control, argument: str) -> None:
        start, control.restart = control.restart, 0
        if server.count("RETR") > 1:
            control.reply("150 opening")
            data = control.data()
            with contextlib.suppress(OSError):
                data.sendall(server.files["/a"][start:])
            end_data(data)
            control.reply("226 done")
            return
        control.reply("150 opening")
        data = control.data()
        data.sendall(server.files["/a"][start : start + 100_000])
        end_data(data)
        control.reply(*last_words)

    return retr


LAST_WORDS = {
    "silence": (),
    # All that Pure-FTPd says then.
    "preliminary": ("150 0.1 seconds (measured here), 1.00 Mbytes per second",),
}


@pytest.mark.parametrize("last_words", LAST_WORDS)
@pytest.mark.parametrize("way", DOWNLOADS)
def test_a_download_that_ends_early_and_without_a_verdict_is_soon_gone_on_with(
    tmp_path: Path, way: str, last_words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastxfer.ftp.segmented._LEAST", 1000)

    async def body(client: AsyncClient) -> Any:
        # The reply itself would be waited for much longer.
        return await asyncio.wait_for(DOWNLOADS[way](client, tmp_path / "a"), 60)

    with scripted_server() as server:
        server.files["/a"] = CONTENT
        server.handlers["RETR"] = breaking_once(server, *LAST_WORDS[last_words])
        found = run(server, body, timeout=3600.0)
        if last_words == "preliminary" and way != "download_segmented":
            # The session has gone on: nobody logged in again for it.
            assert server.connections == 1
    if way == "read":
        assert found == CONTENT[5:200_005]
    else:
        assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize("clean", [True, False], ids=["closed", "reset"])
def test_a_server_that_closes_down_in_mid_transfer_is_gone_on_with_elsewhere(tmp_path: Path, clean: bool) -> None:
    starts: list[int] = []

    def retr(control: Control, argument: str) -> None:
        start, control.restart = control.restart, 0
        starts.append(start)
        control.reply("150 opening")
        data = control.data()
        if len(starts) == 1:
            data.sendall(CONTENT[:100_000])
            end_data(data) if clean else reset(data)
            control.reply("421 closing down")
            control.hang_up()
        data.sendall(CONTENT[start:])
        end_data(data)
        control.reply("226 done")

    with scripted_server() as server:
        server.files["/a"] = CONTENT
        server.handlers["RETR"] = retr
        run(server, lambda client: client.download("a", tmp_path / "a"))
        assert server.connections == 2
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert starts[0] == 0
    assert len(starts) == 2
    assert starts[1] == 100_000 or not clean


def test_a_piece_beyond_the_end_of_the_file_is_what_there_is_though_no_verdict_comes() -> None:
    def retr(control: Control, argument: str) -> None:
        start, control.restart = control.restart, 0
        control.reply("150 opening")
        data = control.data()
        data.sendall(b"content"[start:])
        end_data(data)

    async def body(client: AsyncClient) -> bytes:
        return await asyncio.wait_for(client.read("a", offset=3, length=100), 60)

    with scripted_server() as server:
        server.files["/a"] = b"content"
        server.handlers["RETR"] = retr
        assert run(server, body, timeout=3600.0) == b"tent"
        assert server.count("RETR") == 1


def test_pieces_of_a_file_cost_no_session_at_real_servers(
    peer: FTPPeer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Servers answer at once, but on a busy machine at once may be later.
    monkeypatch.setattr("fastxfer.ftp.data_port.GRACE", 30.0)
    caplog.set_level(logging.DEBUG, logger="fastxfer.ftp")
    content = os.urandom(3_000_000)
    (peer.root / "big").write_bytes(content)
    (peer.root / "big").chmod(0o644)
    settings = TLSSettings(ca_file=peer.ca_file)
    with Client(peer.url, user=peer.user, password=peer.password, tls_settings=settings) as client:
        for offset in (0, 5, 1_000_000):
            assert client.read("big", offset=offset, length=100_000) == content[offset : offset + 100_000]
        assert client.read("big", offset=2_999_990, length=100_000) == content[-10:]
        # ProFTPD may end the whole session when a data connection with TLS breaks while it writes ("unexpected OpenSSL
        # error, disconnecting"), and others give no reply or two.
        kept = client.server_kind in ("pure-ftpd", "vsftpd") or (client.server_kind == "proftpd" and not client.secure)
    logins = sum("< USER" in line for line in caplog.messages)
    assert logins == 1 or not kept


def test_the_reason_of_a_broken_download_is_told(tmp_path: Path) -> None:
    def retr(control: Control, argument: str) -> None:
        control.reply("150 opening")
        data = control.data()
        data.sendall(b"some")
        reset(data)
        control.reply("551 the disk is broken")

    with scripted_server() as server:
        server.files["/a"] = b"something"
        server.handlers["RETR"] = retr
        with pytest.raises(PermanentError, match="disk is broken"):
            run(server, lambda client: client.download("a", tmp_path / "a"))
    assert contents(tmp_path) == []


def test_an_existing_file_is_not_replaced_against_ones_will(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"mine")
    with scripted_server() as server:
        server.files["/a"] = b"theirs"

        async def body(client: AsyncClient) -> None:
            with pytest.raises(LocalFileError):
                await client.download("a", tmp_path / "a", overwrite=False)
            with pytest.raises(PermanentError):
                await client.upload(b"x", "a", overwrite=False)

        run(server, body)
        assert server.files == {"/a": b"theirs"}
    assert (tmp_path / "a").read_bytes() == b"mine"
    assert contents(tmp_path) == ["a"]


def test_a_file_longer_than_its_size_is_an_error(tmp_path: Path) -> None:
    with scripted_server() as server:
        server.files["/a"] = b"content"
        server.handlers["SIZE"] = lambda control, argument: control.reply("213 3")
        with pytest.raises(VerificationError):
            run(server, lambda client: client.download("a", tmp_path / "a"))
    assert contents(tmp_path) == []


def test_reading_into_memory_is_bounded() -> None:
    with scripted_server() as server:
        server.files["/a"] = bytes(1_000_000)
        with pytest.raises(TransferError, match="longer"):
            run(server, lambda client: client.read("a"), limits=Limits(body=1000))


def test_a_cancelled_download_leaves_nothing_and_the_client_goes_on(tmp_path: Path) -> None:
    release = threading.Event()
    sending = threading.Event()

    def retr(control: Control, argument: str) -> None:
        if server.count("RETR") > 1:
            server.do_retr(control, argument)
            return
        control.reply("150 opening")
        data = control.data()
        data.sendall(b"some")
        sending.set()
        release.wait(20)
        data.close()

    with scripted_server() as server:
        server.files["/a"] = b"something"
        server.handlers["RETR"] = retr

        async def body(client: AsyncClient) -> None:
            task = asyncio.create_task(client.download("a", tmp_path / "a"))
            await asyncio.get_running_loop().run_in_executor(None, sending.wait, 20)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert contents(tmp_path) == []
            assert await client.read("a") == b"something"

        try:
            run(server, body)
        finally:
            release.set()


def test_an_interrupted_download_is_taken_up_by_a_later_call(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    broken = True

    def retr(control: Control, argument: str) -> None:
        start, control.restart = control.restart, 0
        if not broken:
            control.send_file(content[start:])
            return
        control.reply("150 opening")
        data = control.data()
        data.sendall(content[start : start + 30_000])
        end_data(data)
        reset(control.sock)
        control.hang_up()

    with scripted_server() as server:
        server.files["/a"] = content
        server.handlers["RETR"] = retr

        with pytest.raises(ConnectionLostError):
            run(
                server,
                lambda client: client.download("a", tmp_path / "a", resume=True),
                retry=RetryPolicy(attempts=1),
            )
        assert contents(tmp_path) == [".a.part"]
        broken = False
        result = run(server, lambda client: client.download("a", tmp_path / "a", resume=True))
        assert result.resumed_at == 30_000
        assert result.transferred == 270_000
    assert (tmp_path / "a").read_bytes() == content
    assert contents(tmp_path) == ["a"]


def test_a_file_that_grew_or_shrank_since_it_was_listed_is_fetched_as_it_is_now(tmp_path: Path) -> None:
    with scripted_server() as server:
        server.files |= {"/grown": b"more than listed", "/shrunk": b"less"}

        async def body(client: AsyncClient) -> None:
            await client.download("grown", tmp_path / "grown", size=4)
            await client.download("shrunk", tmp_path / "shrunk", size=9)

        run(server, body)
    assert (tmp_path / "grown").read_bytes() == b"more than listed"
    assert (tmp_path / "shrunk").read_bytes() == b"less"
