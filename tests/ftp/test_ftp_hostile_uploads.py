"""Servers and networks that misbehave during uploads: an error or a correct retry, and no half file under its name."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest

from fastxfer.ftp import (
    AsyncClient,
    ConnectionLostError,
    FTPError,
    PermanentError,
    Progress,
    RetryPolicy,
    TruncatedError,
)
from tests.ftp.hostile import run
from tests.support.scripted_ftp import Control, ScriptedServer, reset, scripted_server


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


@pytest.mark.parametrize("restart", [True, False], ids=["REST", "APPE"])
def test_progress_counts_what_arrived_and_not_what_was_sent_in_vain(tmp_path: Path, restart: bool) -> None:
    (tmp_path / "a").write_bytes(bytes(2_000_000))
    kept = iter([700_000, 0, 900_000])

    with scripted_server() as server:

        def store(control: Control, argument: str, *, appending: bool) -> None:
            count = next(kept, None)
            if count is None:
                server.store(control, argument, appending=appending)
            else:
                keep_only(server, control, argument, count, appending=appending)

        server.handlers["STOR"] = lambda control, argument: store(control, argument, appending=False)
        server.handlers["APPE"] = lambda control, argument: store(control, argument, appending=True)
        if not restart:
            server.features.remove("REST STREAM")
        progress = Progress()
        result = run(server, lambda client: client.upload(tmp_path / "a", "a", progress=progress))
        assert result.attempts == 4
        assert (progress.transferred, progress.total) == (2_000_000, 2_000_000)


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
        progress = Progress()
        result = run(server, lambda client: client.upload(tmp_path / "a", "a", resume=True, progress=progress))
        assert result.resumed_at == 40_000
        assert (progress.transferred, progress.total) == (2_960_000, 2_960_000)
        assert server.files == {"/a": content}


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
