"""Small files one after the other on one connection: the short way, and all that may happen on it."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastxfer.core.ftpexchange import AVAILABLE
from fastxfer.ftp import (
    AsyncClient,
    Client,
    LocalFileError,
    NotFoundError,
    PermanentError,
    TransferResult,
    TruncatedError,
    VerificationError,
)
from fastxfer.ftp.download import DownloadOperations
from tests.ftp.successive import WAIT, commands, going_away, left_over, mover, once, server_of, watch, without_a_word
from tests.support.scripted_ftp import Control, ScriptedServer, reset

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="files are moved in one go where the system can do it")

CONTENT = bytes(range(256)) * 16
Fetch = Callable[..., TransferResult]


@pytest.fixture(params=["prompt", "late"])
def server(request: pytest.FixtureRequest) -> Iterator[ScriptedServer]:
    files = {"/first": b"one", "/second": b"two", "/odd": CONTENT, "/last": b"end"}
    with server_of(files, late=request.param == "late") as found:
        yield found


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return watch(monkeypatch, DownloadOperations, "_download_at_once")


@pytest.fixture(params=["asyncio", "blocking"])
def fetch(request: pytest.FixtureRequest, server: ScriptedServer, tmp_path: Path, ways: list[str]) -> Iterator[Fetch]:
    """Downloads a file into *tmp_path* with a client whose next download can go the short way."""
    with mover(server.url, "download", blocking=request.param == "blocking", timeout=5.0) as download:

        def fetch(name: str, **named: Any) -> TransferResult:
            return download(name, named.pop("target", tmp_path / name), **named)

        warm_up(fetch, ways)
        yield fetch


def warm_up(fetch: Fetch, ways: list[str]) -> None:
    """The first download shows that passive connections work, the second opens the connection of the next."""
    for name in ("first", "second", "first"):
        fetch(name)
    assert ways[0] == "other"
    assert ways[-1] == "short"
    ways.clear()


def sending(*pieces: bytes, verdict: str = "226 done", cut: bool = False) -> Callable[[Control, str], None]:
    def retr(control: Control, argument: str) -> None:
        control.restart = 0
        control.reply("150 here it comes")
        data = control.data()
        for piece in pieces:
            data.sendall(piece)
        if cut:
            reset(data)
        else:
            data.close()
        control.reply(verdict)

    return retr


def test_files_come_the_short_way_and_one_round_trip_each(
    server: ScriptedServer, fetch: Fetch, tmp_path: Path, ways: list[str]
) -> None:
    commands(server)
    for name in ("second", "odd", "last"):
        result = fetch(name)
        assert result.size == result.transferred == len(server.files[f"/{name}"])
        assert result.verified == "size"
        assert (tmp_path / name).read_bytes() == server.files[f"/{name}"]
    assert ways == ["short"] * 3
    assert commands(server) == [
        line for name in ("second", "odd", "last") for line in (f"SIZE {name}", f"RETR {name}", "EPSV")
    ]
    assert left_over(tmp_path) == ["first", "last", "odd", "second"]


def test_a_size_that_is_known_is_not_asked_for_and_compared_all_the_same(
    server: ScriptedServer, fetch: Fetch, tmp_path: Path, ways: list[str]
) -> None:
    commands(server)
    assert fetch("odd", size=len(CONTENT), mtime=1_000_000.0).verified == ""
    assert commands(server) == ["RETR odd", "EPSV"]
    assert (tmp_path / "odd").stat().st_mtime == 1_000_000.0
    assert fetch("odd", size=3).size == len(CONTENT)
    assert ways == ["short", "left"]


def test_what_is_not_ascii_or_looks_like_a_telnet_command_is_sent_as_it_has_to_be(
    server: ScriptedServer, fetch: Fetch, tmp_path: Path, ways: list[str]
) -> None:
    server.files["/größe"] = b"wide"
    fetch("größe")
    assert (tmp_path / "größe").read_bytes() == b"wide"
    # The byte 255 is doubled, as Telnet wants it.
    server.files["/\udcff\udcff"] = b"twice"
    fetch("\udcff", target=tmp_path / "doubled")
    assert (tmp_path / "doubled").read_bytes() == b"twice"
    assert ways == ["short", "short"]


def slowly(control: Control, argument: str) -> None:
    time.sleep(0.4)
    control.send_file(CONTENT)


@pytest.mark.parametrize(
    ("verb", "handler", "connections"),
    [
        ("RETR", sending(CONTENT[:1000], cut=True, verdict="426 broken"), 2),
        ("RETR", sending(CONTENT, verdict="450 say it again"), 1),
        ("RETR", sending(CONTENT[:1000]), 1),
        ("RETR", sending(CONTENT, verdict="226 done\r\n226 and again"), 1),
        ("RETR", sending(CONTENT, verdict="226-done\r\n226 after all"), 1),
        ("RETR", sending(CONTENT, verdict="150 not yet\r\n226 now"), 1),
        ("RETR", slowly, 1),
        ("RETR", without_a_word, 2),
        ("RETR", going_away, 2),
        ("SIZE", going_away, 2),
        ("SIZE", lambda control, argument: control.reply("550 who knows"), 1),
        ("SIZE", lambda control, argument: control.reply("213 many"), 1),
        ("SIZE", lambda control, argument: control.reply("502 not here"), 1),
        ("EPSV", lambda control, argument: control.reply("425 not now"), 1),
        ("EPSV", lambda control, argument: control.reply("229 (|||0|)"), 2),
        ("EPSV", going_away, 2),
    ],
)
def test_a_file_comes_whole_whatever_happens(
    server: ScriptedServer,
    fetch: Fetch,
    tmp_path: Path,
    ways: list[str],
    verb: str,
    handler: Callable[[Control, str], None],
    connections: int,
) -> None:
    once(server, verb, handler)
    fetch("odd")
    assert (tmp_path / "odd").read_bytes() == CONTENT
    assert fetch("last").size == 3
    assert (tmp_path / "last").read_bytes() == b"end"
    assert left_over(tmp_path) == ["first", "last", "odd", "second"]
    # Answers to nothing may be mixed up with others, when these are late.
    assert connections <= server.connections <= connections + 1


@pytest.mark.parametrize(
    ("retr", "error"),
    [
        (lambda control, argument: control.reply("550 no such file"), NotFoundError),
        (sending(CONTENT[:1000]), TruncatedError),
        (sending(CONTENT, b"more"), VerificationError),
        (sending(CONTENT, verdict="551 disk trouble"), PermanentError),
    ],
)
def test_an_error_leaves_nothing_behind_and_the_client_as_it_was(
    server: ScriptedServer,
    fetch: Fetch,
    tmp_path: Path,
    ways: list[str],
    retr: Callable[[Control, str], None],
    error: type[Exception],
) -> None:
    usual, server.handlers["RETR"] = server.handlers["RETR"], retr
    with pytest.raises(error) as caught:
        fetch("odd")
    assert getattr(caught.value, "path", "") == "odd"
    assert ways == ["left"]
    assert left_over(tmp_path) == ["first", "second"]
    server.handlers["RETR"] = usual
    fetch("odd")
    assert (tmp_path / "odd").read_bytes() == CONTENT


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_000])
def test_any_length(server: ScriptedServer, fetch: Fetch, tmp_path: Path, ways: list[str], size: int) -> None:
    content = server.files["/odd"] = os.urandom(size)
    for _ in range(2):
        assert fetch("odd").size == size
        assert (tmp_path / "odd").read_bytes() == content
    assert ways[0] == ("short" if size <= 65_536 else "left")


def test_a_full_disk_is_the_local_files_error(server: ScriptedServer, fetch: Fetch, ways: list[str]) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    with pytest.raises(LocalFileError) as caught:
        fetch("odd", target="/dev/full", atomic=False)
    assert caught.value.errno == errno.ENOSPC
    assert ways == ["left"]
    assert fetch("last").size == 3


def test_a_directory_in_the_way_is_seen_before_anything_is_sent(
    server: ScriptedServer, fetch: Fetch, tmp_path: Path
) -> None:
    (tmp_path / "odd").mkdir()
    commands(server)
    with pytest.raises(LocalFileError, match="directory"):
        fetch("odd")
    assert server.commands == []


def test_anything_else_may_come_between(server: ScriptedServer, tmp_path: Path, ways: list[str]) -> None:
    async def body() -> None:
        async with AsyncClient(server.url, timeout=WAIT, preopen=True) as client:
            for _ in range(2):
                for name in ("first", "second", "odd"):
                    await client.download(name, tmp_path / name)
                assert await client.size("odd") == len(CONTENT)
                await client.upload(b"new", "new")
                await client.download("odd", tmp_path / "odd")
                assert {entry.name for entry in await client.list("/")} >= {"odd", "new"}
                await client.download("odd", tmp_path / "odd")
                assert await client.read("odd") == CONTENT
                assert (tmp_path / "odd").read_bytes() == CONTENT

    asyncio.run(body())
    assert server.connections == 1
    assert ways.count("left") == 0
    assert "short" in ways


def test_another_thread_or_loop_may_take_the_connection_over(
    server: ScriptedServer, tmp_path: Path, ways: list[str]
) -> None:
    with Client(server.url, timeout=WAIT, preopen=True, connections=1) as client:
        for _ in range(2):
            for name in ("first", "second", "odd"):
                client.download(name, tmp_path / name)
            report = client.fetch([("last", tmp_path / "last"), ("odd", tmp_path / "odd")])
            assert report.ok
            assert (tmp_path / "odd").read_bytes() == CONTENT
    assert server.connections == 1
    assert "left" not in ways


def test_an_answer_that_is_very_late_is_waited_for(
    server: ScriptedServer, fetch: Fetch, tmp_path: Path, ways: list[str]
) -> None:
    def very_late(control: Control, argument: str) -> None:
        time.sleep(0.4)
        server.do_epsv(control, argument)

    once(server, "EPSV", very_late)
    for _ in range(3):
        fetch("odd")
        assert (tmp_path / "odd").read_bytes() == CONTENT
    assert server.connections == 1


def test_what_lies_unread_on_the_connection_is_not_taken_for_an_answer(
    server: ScriptedServer, fetch: Fetch, tmp_path: Path
) -> None:
    def chatty(control: Control, argument: str) -> None:
        server.do_epsv(control, argument)
        control.reply("226 what a nice day")

    once(server, "EPSV", chatty)
    fetch("last")
    for _ in range(3):
        fetch("odd")
        assert (tmp_path / "odd").read_bytes() == CONTENT
    assert server.connections <= 2
