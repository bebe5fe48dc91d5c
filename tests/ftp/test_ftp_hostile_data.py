"""Servers whose data connections misbehave: a clear error or a correct retry, and never a short file called whole."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import threading
import time
from pathlib import Path

import pytest

from fastxfer.ftp import (
    AsyncClient,
    ConnectionFailedError,
    ConnectionLostError,
    FTPError,
    Limits,
    LocalFileError,
    PermanentError,
    RetryPolicy,
    TimedOutError,
    TransferError,
    TruncatedError,
    VerificationError,
)
from tests.ftp.hostile import run
from tests.support.scripted_ftp import Control, ScriptedServer, end_data, reset, scripted_server


def contents(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_address_in_a_pasv_reply_is_not_believed() -> None:
    def pasv(control: Control, argument: str) -> None:
        port = control.listen()
        control.reply(f"227 go to (192,0,2,1,{port >> 8},{port & 255})")

    with scripted_server() as server:
        server.files["/a"] = b"content"
        server.handlers["PASV"] = pasv
        assert run(server, lambda client: client.read("a"), extended=False) == b"content"


def test_the_address_in_a_pasv_reply_is_believed_on_demand() -> None:
    with socket.create_server(("127.0.0.2", 0)) as elsewhere:
        port = elsewhere.getsockname()[1]

        def pasv(control: Control, argument: str) -> None:
            control.reply(f"227 go to (127,0,0,2,{port >> 8},{port & 255})")

        def retr(control: Control, argument: str) -> None:
            control.reply("150 from there")
            data, _ = elsewhere.accept()
            data.sendall(b"from elsewhere")
            data.close()
            control.reply("226 done")

        with scripted_server() as server:
            server.handlers |= {"PASV": pasv, "RETR": retr, "SIZE": lambda control, argument: control.reply("550 no")}
            content = run(server, lambda client: client.read("a"), extended=False, trust_passive_address=True)
            assert content == b"from elsewhere"


def test_epsv_refused_falls_back_to_pasv_once_and_for_all() -> None:
    with scripted_server() as server:
        server.files["/a"] = b"content"
        del server.handlers["EPSV"]

        async def body(client: AsyncClient) -> None:
            for _ in range(3):
                assert await client.read("a") == b"content"

        run(server, body)
        assert (server.count("EPSV"), server.count("PASV")) == (1, 3)


def test_a_data_port_where_nobody_listens_is_an_error(tmp_path: Path) -> None:
    with scripted_server() as server:
        server.files["/a"] = b"content"

        def epsv(control: Control, argument: str) -> None:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = probe.getsockname()[1]
            control.reply(f"229 not really (|||{port}|)")

        server.handlers |= {"EPSV": epsv, "RETR": lambda control, argument: None}
        with pytest.raises((ConnectionFailedError, TimedOutError)):
            run(server, lambda client: client.download("a", tmp_path / "a"), timeout=0.5)
    assert contents(tmp_path) == []


def test_a_data_connection_on_which_nothing_comes_is_given_up(tmp_path: Path) -> None:
    waiting = threading.Event()

    def retr(control: Control, argument: str) -> None:
        control.reply("150 any moment now")
        data = control.data()
        waiting.wait(20)
        data.close()

    with scripted_server() as server:
        server.files["/a"] = b"content"
        server.handlers["RETR"] = retr
        try:
            with pytest.raises(TimedOutError):
                run(server, lambda client: client.download("a", tmp_path / "a"), timeout=0.3)
        finally:
            waiting.set()
    assert contents(tmp_path) == []


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


def test_a_missing_preliminary_reply_is_no_error() -> None:
    def retr(control: Control, argument: str) -> None:
        data = control.data()
        data.sendall(server.files["/a"])
        data.close()
        control.reply("226 there you have it")

    with scripted_server() as server:
        server.files["/a"] = b"content"
        server.handlers["RETR"] = retr

        async def body(client: AsyncClient) -> None:
            assert await client.read("a") == b"content"
            await client.noop()

        run(server, body)


def test_a_second_preliminary_reply_is_no_error() -> None:
    def retr(control: Control, argument: str) -> None:
        control.reply("125 opening", "150 sending")
        data = control.data()
        data.sendall(server.files["/a"])
        data.close()
        control.reply("226 done")

    with scripted_server() as server:
        server.files["/a"] = b"content"
        server.handlers["RETR"] = retr
        assert run(server, lambda client: client.read("a")) == b"content"


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


def test_a_download_that_ends_early_and_without_a_verdict_is_soon_gone_on_with(tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000

    def retr(control: Control, argument: str) -> None:
        start, control.restart = control.restart, 0
        if server.count("RETR") > 1:
            control.send_file(content[start:])
            return
        control.reply("150 opening")
        data = control.data()
        data.sendall(content[:100_000])
        end_data(data)
        # As Pure-FTPd does when its data connection broke.
        control.reply("150 0.1 seconds (measured here)")

    async def body(client: AsyncClient) -> None:
        # The reply itself would be waited for much longer.
        await asyncio.wait_for(client.download("a", tmp_path / "a"), 60)

    with scripted_server() as server:
        server.files["/a"] = content
        server.handlers["RETR"] = retr
        run(server, body, timeout=3600.0)
    assert (tmp_path / "a").read_bytes() == content


@pytest.mark.parametrize("kind", ["reset both", "end data"])
@pytest.mark.parametrize("restart", [True, False], ids=["REST", "APPE"])
def test_an_upload_cut_ten_times_ends_whole(tmp_path: Path, restart: bool, kind: str) -> None:
    chance = random.Random(6)
    content = chance.randbytes(2_000_000)
    (tmp_path / "a").write_bytes(content)
    cuts = iter([chance.randrange(50_000, 180_000) for _ in range(10)])

    with scripted_server() as server:

        def store(control: Control, argument: str, *, appending: bool) -> None:
            cut = next(cuts, None)
            if cut is not None and kind == "end data":
                keep_only(server, control, argument, cut, appending=appending)
            else:
                server.store(control, argument, appending=appending, limit=cut)

        server.handlers["STOR"] = lambda control, argument: store(control, argument, appending=False)
        server.handlers["APPE"] = lambda control, argument: store(control, argument, appending=True)
        if not restart:
            server.features.remove("REST STREAM")
        result = run(server, lambda client: client.upload(tmp_path / "a", "a"))
        assert result.attempts == 11
        assert server.files == {"/a": content}


def keep_only(server: ScriptedServer, control: Control, argument: str, count: int, *, appending: bool) -> None:
    """As if something on the way had ended the connection in good order: the server calls complete what came."""
    start = len(server.files.get(f"/{argument}", b"")) if appending else control.restart
    server.store(control, argument, appending=appending, silent=True)
    server.files[f"/{argument}"] = server.files[f"/{argument}"][: start + count]
    control.reply("226 stored")


def test_a_file_that_a_server_calls_complete_and_has_not_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(200_000))
    with scripted_server() as server:
        server.files["/a"] = b"old"
        server.handlers["STOR"] = lambda control, argument: keep_only(server, control, argument, 0, appending=False)
        with pytest.raises(TruncatedError, match="0 bytes there, 200000 here"):
            run(server, lambda client: client.upload(tmp_path / "a", "a"))
        assert server.files == {"/a": b"old"}


def test_the_reason_of_a_refused_upload_is_told_and_no_half_file_stays(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(5_000_000))

    def stor(control: Control, argument: str) -> None:
        control.reply("150 send it")
        data = control.data()
        server.files[f"/{argument}"] = data.recv(1000)
        reset(data)
        control.reply("552 quota exceeded")

    with scripted_server() as server:
        server.handlers["STOR"] = stor
        with pytest.raises(PermanentError) as caught:
            run(server, lambda client: client.upload(tmp_path / "a", "a"))
        assert caught.value.code == 552
        assert "quota" in str(caught.value)
        assert caught.value.bytes_done > 0
        assert server.files == {}


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


def test_a_source_that_can_be_had_only_once_is_not_sent_twice() -> None:
    def pieces() -> object:
        yield b"a" * 100_000
        yield b"b" * 100_000

    with scripted_server() as server:
        server.handlers["STOR"] = lambda control, argument: server.store(control, argument, appending=False, limit=1000)
        with pytest.raises(ConnectionLostError):
            run(server, lambda client: client.upload(pieces(), "a"))
        assert server.count("STOR") == 1


def test_an_append_is_not_repeated_once_it_has_begun() -> None:
    with scripted_server() as server:
        server.files["/a"] = b"first"
        server.handlers["APPE"] = lambda control, argument: server.store(control, argument, appending=True, limit=1000)
        with pytest.raises(ConnectionLostError):
            run(server, lambda client: client.upload(bytes(1_000_000), "a", append=True))
        assert server.count("APPE") == 1


def test_an_append_adds() -> None:
    with scripted_server() as server:
        server.files["/a"] = b"first"
        run(server, lambda client: client.upload(b" second", "a", append=True))
        assert server.files == {"/a": b"first second"}


def test_a_server_that_forbids_renaming_gets_the_file_under_its_own_name() -> None:
    with scripted_server() as server:
        server.handlers["RNFR"] = lambda control, argument: control.reply("550 not allowed")

        async def body(client: AsyncClient) -> None:
            await client.upload(b"one", "a")
            await client.upload(b"two", "b")

        run(server, body)
        assert server.files == {"/a": b"one", "/b": b"two"}
        assert server.count("RNFR") == 1


def test_a_server_that_does_not_rename_onto_files_has_the_old_one_removed() -> None:
    def rnto(control: Control, argument: str) -> None:
        if f"/{argument}" in server.files:
            control.reply("553 exists")
        else:
            server.do_rnto(control, argument)

    with scripted_server() as server:
        server.files["/a"] = b"old"
        server.handlers["RNTO"] = rnto
        run(server, lambda client: client.upload(b"new", "a"))
        assert server.files == {"/a": b"new"}


def test_a_failed_upload_leaves_the_old_file_alone() -> None:
    def stor(control: Control, argument: str) -> None:
        server.store(control, argument, appending=False, limit=10)

    with scripted_server() as server:
        server.files["/a"] = b"old"
        server.handlers["STOR"] = stor
        with pytest.raises(FTPError):
            run(server, lambda client: client.upload(bytes(100_000), "a"))
        assert server.files == {"/a": b"old"}


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


def test_an_interrupted_upload_is_taken_up_by_a_later_call(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(content)
    with scripted_server() as server:
        server.handlers["STOR"] = lambda control, argument: server.store(
            control, argument, appending=False, limit=40_000
        )
        with pytest.raises(ConnectionLostError):
            run(
                server,
                lambda client: client.upload(tmp_path / "a", "a", resume=True),
                retry=RetryPolicy(attempts=1),
            )
        assert list(server.files) == ["/.a.part"]
        server.handlers["STOR"] = server.do_stor
        result = run(server, lambda client: client.upload(tmp_path / "a", "a", resume=True))
        assert result.resumed_at == 40_000
        assert server.files == {"/a": content}


def test_in_active_mode_a_stranger_on_the_data_port_is_turned_away() -> None:
    def retr(control: Control, argument: str) -> None:
        assert control.active is not None
        stranger = socket.create_connection(control.active, 5, source_address=("127.0.0.3", 0))
        stranger.sendall(b"poison")
        time.sleep(0.1)
        control.send_file(server.files["/a"])
        stranger.close()

    with scripted_server() as server:
        server.files["/a"] = b"content"
        server.handlers["RETR"] = retr
        assert run(server, lambda client: client.read("a"), passive=False) == b"content"
        assert server.count("EPRT") == 1


@pytest.mark.parametrize("extended", [True, False])
def test_active_mode_goes_both_ways_within_its_port_range(extended: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    with scripted_server() as server:

        async def body(client: AsyncClient) -> None:
            await client.upload(b"content" * 1000, "a")
            assert await client.read("a") == b"content" * 1000
            assert [entry.name for entry in await client.list()] == ["a"]

        first = max(1024, min(free, 65000))
        run(server, body, passive=False, extended=extended, active_ports=(first, first + 200))
        assert server.count("EPRT" if extended else "PORT") == 3


def test_in_active_mode_a_server_that_does_not_connect_is_given_up() -> None:
    with scripted_server() as server:
        server.files["/a"] = b"content"
        server.handlers["RETR"] = lambda control, argument: control.reply("150 connecting", "425 no way through")
        with pytest.raises(FTPError, match="no way through"):
            run(server, lambda client: client.read("a"), passive=False)


def test_a_file_that_grew_or_shrank_since_it_was_listed_is_fetched_as_it_is_now(tmp_path: Path) -> None:
    with scripted_server() as server:
        server.files |= {"/grown": b"more than listed", "/shrunk": b"less"}

        async def body(client: AsyncClient) -> None:
            await client.download("grown", tmp_path / "grown", size=4)
            await client.download("shrunk", tmp_path / "shrunk", size=9)

        run(server, body)
    assert (tmp_path / "grown").read_bytes() == b"more than listed"
    assert (tmp_path / "shrunk").read_bytes() == b"less"


def test_a_small_upload_goes_out_with_its_command_and_a_refusal_is_understood(tmp_path: Path) -> None:
    with scripted_server() as server:

        async def body(client: AsyncClient) -> None:
            await client.upload(b"one", "a")
            server.handlers["STOR"] = lambda control, argument: control.reply("452 disk full")
            with pytest.raises(FTPError, match="disk full"):
                await client.upload(b"two", "b")
            server.handlers["STOR"] = server.do_stor
            await client.upload(b"three", "c")
            assert client.stats()["connections"] == 1

        run(server, body)
        assert server.files == {"/a": b"one", "/c": b"three"}


def test_pipes_are_sent_to_their_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"through a pipe" * 1000,))
    writer.start()
    with scripted_server() as server:
        run(server, lambda client: client.upload(tmp_path / "pipe", "a"))
        writer.join()
        assert server.files == {"/a": b"through a pipe" * 1000}
