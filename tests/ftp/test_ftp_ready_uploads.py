"""Small uploads one after the other on one connection: the short way, and all that may happen on it."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastxfer.core.ftpexchange import AVAILABLE
from fastxfer.ftp import (
    AsyncClient,
    Client,
    ConnectionLostError,
    LocalFileError,
    PermanentError,
    RetryPolicy,
    TLSSettings,
    TransferResult,
)
from fastxfer.ftp.upload import UploadOperations
from tests.ftp.successive import WAIT, Move, commands, going_away, mover, once, server_of, watch, without_a_word
from tests.support.ftp_servers import FTPPeer
from tests.support.scripted_ftp import Control, ScriptedServer, end_data, reset

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="files are moved in one go where the system can do it")

CONTENT = bytes(range(256)) * 16


@pytest.fixture(params=["prompt", "late"])
def server(request: pytest.FixtureRequest) -> Iterator[ScriptedServer]:
    with server_of({"/there": b"it was"}, late=request.param == "late") as found:
        yield found


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return watch(monkeypatch, UploadOperations, "_upload_at_once")


@pytest.fixture(params=["asyncio", "blocking"])
def send(request: pytest.FixtureRequest, server: ScriptedServer, ways: list[str]) -> Iterator[Move]:
    """Uploads with a client whose next upload can go the short way."""
    with mover(server.url, "upload", blocking=request.param == "blocking") as upload:
        warm_up(upload, ways)
        yield upload


def warm_up(upload: Move, ways: list[str]) -> None:
    """The first upload shows that passive connections work, the second opens the connection of the next."""
    for name in ("first", "second", "third"):
        upload(name.encode(), name)
    assert ways[0] == "other"
    assert ways[-1] == "short"
    ways.clear()


def partial_names(lines: list[str], name: str) -> set[str]:
    """The temporary names that *name* was stored under."""
    return {line[5:] for line in lines if line.startswith(f"STOR .{name}.") and line.endswith(".part")}


def test_files_go_the_short_way_in_two_pieces_each(
    server: ScriptedServer, send: Move, tmp_path: Path, ways: list[str]
) -> None:
    (tmp_path / "local").write_bytes(CONTENT)
    commands(server)
    sources: dict[str, tuple[object, bytes]] = {
        "memory": (b"some bytes", b"some bytes"),
        "buffer": (memoryview(b"others"), b"others"),
        "path": (tmp_path / "local", CONTENT),
        "text": (str(tmp_path / "local"), CONTENT),
    }
    for name, (source, content) in sources.items():
        result = send(source, name)
        assert result.size == result.transferred == len(content)
        assert result.path == name
        assert result.attempts == 1
        assert server.files[f"/{name}"] == content
        lines = commands(server)
        (written,) = partial_names(lines, name)
        assert lines == [f"STOR {written}", f"RNFR {written}", f"RNTO {name}", "EPSV"]
    assert ways == ["short"] * 4
    assert set(server.files) == {"/there", "/first", "/second", "/third", *(f"/{name}" for name in sources)}


def test_an_open_file_is_sent_from_where_it_stands(
    server: ScriptedServer, send: Move, tmp_path: Path, ways: list[str]
) -> None:
    (tmp_path / "local").write_bytes(CONTENT)
    with open(tmp_path / "local", "rb") as file:
        file.seek(100)
        assert send(file, "rest").size == len(CONTENT) - 100
    assert server.files["/rest"] == CONTENT[100:]
    assert ways == ["short"]


def test_one_that_keeps_its_name_takes_one_piece(server: ScriptedServer, send: Move, ways: list[str]) -> None:
    commands(server)
    for name in ("one", "two"):
        send(CONTENT, name, atomic=False)
    assert commands(server) == ["STOR one", "EPSV", "STOR two", "EPSV"]
    assert server.files["/one"] == server.files["/two"] == CONTENT
    assert ways == ["short", "short"]


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("size", [0, 1, 32_768, 1_000_000])
def test_any_length(server: ScriptedServer, send: Move, ways: list[str], size: int, atomic: bool) -> None:
    content = os.urandom(size)
    for name in ("odd", "again"):
        assert send(content, name, atomic=atomic).size == size
        assert server.files[f"/{name}"] == content
    assert ways[0] == ("short" if size <= 32_768 else "other")


def test_what_is_not_ascii_or_looks_like_a_telnet_command_is_sent_as_it_has_to_be(
    server: ScriptedServer, send: Move, ways: list[str]
) -> None:
    send(b"wide", "größe")
    assert server.files["/größe"] == b"wide"
    # The byte 255 is doubled, as Telnet wants it.
    send(b"twice", "\udcff")
    assert server.files["/\udcff\udcff"] == b"twice"
    assert ways == ["short", "short"]


def test_the_name_is_asked_for_when_the_server_has_confirmed_the_bytes_and_no_sooner(
    server: ScriptedServer, send: Move, ways: list[str]
) -> None:
    seen = []

    def slow(control: Control, argument: str) -> None:
        control.reply("150 send it")
        data = control.data()
        server.files[f"/{argument}"] = b"".join(iter(lambda: data.recv(65536), b""))
        end_data(data)
        time.sleep(0.05)
        try:
            seen.append(control.sock.recv(1000, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            seen.append(b"")
        control.reply("226 now")

    once(server, "STOR", slow)
    send(CONTENT, "odd")
    assert seen == [b""]
    assert ways == ["short"]
    assert server.files["/odd"] == CONTENT


def taking(*, verdict: str = "226 done", most: int | None = None) -> Callable[[Control, str], None]:
    """STOR that takes all, or the first *most* bytes and then breaks the connection."""

    def stor(control: Control, argument: str) -> None:
        control.reply("150 send it")
        data = control.data()
        if most is None:
            content = b"".join(iter(lambda: data.recv(65536), b""))
            end_data(data)
        else:
            content = data.recv(most)
            reset(data)
        control.server.files[f"/{argument}"] = content
        control.reply(verdict)

    return stor


def slowly(usual: str) -> Callable[[Control, str], None]:
    """A handler that does what is usual for the command, longer than an exchange is patient."""

    def handle(control: Control, argument: str) -> None:
        time.sleep(0.4)
        getattr(control.server, f"do_{usual}")(control, argument)

    return handle


def saying(reply: str) -> Callable[[Control, str], None]:
    return lambda control, argument: control.reply(reply)


@pytest.mark.parametrize(
    ("verb", "handler", "most_connections"),
    [
        ("STOR", taking(most=1000, verdict="426 broken"), 1),
        ("STOR", taking(verdict="450 say it again"), 1),
        ("STOR", taking(verdict="226-done\r\n226 after all"), 1),
        ("STOR", taking(verdict="226 done\r\n226 and again"), 2),
        ("STOR", taking(verdict="226 done\r\n226 and again\r\n226 once more"), 2),
        ("STOR", taking(verdict="150 not yet\r\n226 now"), 1),
        ("STOR", saying("450 not now"), 1),
        ("STOR", slowly("stor"), 1),
        ("STOR", without_a_word, 2),
        ("STOR", going_away, 2),
        ("RNFR", saying("450 not now"), 1),
        ("RNFR", saying("550 what file?"), 1),
        ("RNFR", saying("200 never mind"), 2),
        ("RNFR", slowly("rnfr"), 1),
        ("RNFR", without_a_word, 2),
        ("RNFR", going_away, 2),
        ("RNTO", saying("553 there is one"), 1),
        ("RNTO", slowly("rnto"), 1),
        ("RNTO", without_a_word, 2),
        ("RNTO", going_away, 2),
        ("EPSV", saying("425 not now"), 1),
        ("EPSV", saying("229 (|||0|)"), 2),
        ("EPSV", going_away, 2),
    ],
)
def test_a_file_arrives_whole_whatever_happens(
    server: ScriptedServer,
    send: Move,
    ways: list[str],
    verb: str,
    handler: Callable[[Control, str], None],
    most_connections: int,
) -> None:
    once(server, verb, handler)
    send(CONTENT, "there")
    assert server.files["/there"] == CONTENT
    assert send(b"end", "last").size == 3
    assert server.files["/last"] == b"end"
    assert send(b"more", "more").size == 4
    assert set(server.files) >= {"/there", "/last", "/more"}
    # Answers to nothing may be mixed up with others, when these are late.
    assert server.connections <= most_connections + 1


@pytest.mark.parametrize(
    ("stor", "error"),
    [
        (saying("553 not that name"), PermanentError),
        (taking(verdict="552 the disk is full"), PermanentError),
        (taking(most=1000, verdict="551 disk trouble"), PermanentError),
    ],
)
def test_an_error_leaves_what_was_there_and_the_client_as_it_was(
    server: ScriptedServer,
    send: Move,
    ways: list[str],
    stor: Callable[[Control, str], None],
    error: type[Exception],
) -> None:
    usual, server.handlers["STOR"] = server.handlers["STOR"], stor
    commands(server)
    with pytest.raises(error) as caught:
        send(CONTENT, "there")
    assert getattr(caught.value, "path", "") == "there"
    assert ways == ["left"]
    assert server.files["/there"] == b"it was"
    assert not [name for name in server.files if name.endswith(".part")]
    assert server.count("RNTO") == 0
    server.handlers["STOR"] = usual
    send(CONTENT, "there")
    assert server.files["/there"] == CONTENT


def test_a_name_that_may_not_be_given_makes_it_go_under_its_own(
    server: ScriptedServer, send: Move, ways: list[str]
) -> None:
    for verb in ("RNFR", "RNTO"):
        server.handlers[verb] = saying("502 no renaming here")
    commands(server)
    send(CONTENT, "odd")
    assert server.files["/odd"] == CONTENT
    assert server.commands[-1] != "RNTO odd"
    server.commands.clear()
    send(CONTENT, "other")
    send(CONTENT, "another")
    assert server.count("RNFR") == 0
    assert not [name for name in server.files if name.endswith(".part")]


def test_a_system_that_does_not_rename_onto_a_file(server: ScriptedServer, send: Move, ways: list[str]) -> None:
    def rnto(control: Control, argument: str) -> None:
        if f"/{argument}" in server.files:
            control.reply("553 there is one")
        else:
            server.do_rnto(control, argument)

    server.handlers["RNTO"] = rnto
    send(CONTENT, "there")
    assert ways == ["left"]
    assert server.files["/there"] == CONTENT
    assert server.count("DELE") == 1
    assert server.connections == 1


def test_a_source_that_can_not_be_read_is_seen_before_anything_is_sent(
    server: ScriptedServer, send: Move, tmp_path: Path
) -> None:
    commands(server)
    for source in (tmp_path, tmp_path / "missing"):
        with pytest.raises(LocalFileError):
            send(source, "odd")
    assert server.commands == []
    send(b"all is well", "odd")
    assert server.connections == 1


def test_a_connection_that_has_gone_meanwhile_costs_no_attempt(server: ScriptedServer, ways: list[str]) -> None:
    """It can not have stored anything, as no address of a data connection came over it."""
    with mover(server.url, "upload", blocking=True, retry=RetryPolicy(attempts=1)) as upload:
        warm_up(upload, ways)
        once(server, "EPSV", without_a_word)
        upload(b"the next one's address never comes", "odd")
        upload(CONTENT, "there")
    assert server.files["/there"] == CONTENT
    assert server.connections == 2


def test_a_missing_directory_is_made(server: ScriptedServer, send: Move, ways: list[str]) -> None:
    usual = server.handlers["STOR"]

    def stor(control: Control, argument: str) -> None:
        if "/new" in server.directories:
            usual(control, argument)
        else:
            control.reply("550 no such directory")

    server.handlers["STOR"] = stor
    send(CONTENT, "new/odd", make_directories=True)
    assert server.files["/new/odd"] == CONTENT
    assert ways == ["left"]
    send(CONTENT, "new/other", make_directories=True)
    assert server.files["/new/other"] == CONTENT


def test_anything_else_may_come_between(server: ScriptedServer, tmp_path: Path, ways: list[str]) -> None:
    async def body() -> None:
        async with AsyncClient(server.url, timeout=WAIT, preopen=True) as client:
            for _ in range(2):
                for name in ("first", "second", "odd"):
                    await client.upload(CONTENT, name)
                assert await client.size("odd") == len(CONTENT)
                await client.upload(b"new", "new")
                await client.download("odd", tmp_path / "odd")
                await client.upload(b"newer", "new")
                assert {entry.name for entry in await client.list("/")} >= {"odd", "new"}
                await client.upload(b"newest", "new")
                await client.chdir("/")
                await client.upload(b"of all", "new")
                await client.noop()
                await client.upload(b"of all these", "new")
                await client.rename("new", "newly")
                assert await client.read("newly") == b"of all these"
                await client.upload(bytes(100_000), "large")
                await client.upload(b"small", "small")

    asyncio.run(body())
    assert server.connections == 1
    assert ways.count("left") == 0
    assert ways.count("short") > 6
    assert not [name for name in server.files if name.endswith(".part")]


def test_another_thread_or_loop_may_take_the_connection_over(
    server: ScriptedServer, tmp_path: Path, ways: list[str]
) -> None:
    (tmp_path / "local").write_bytes(CONTENT)
    with Client(server.url, timeout=WAIT, preopen=True, connections=1) as client:
        for _ in range(2):
            for name in ("first", "second", "odd"):
                client.upload(CONTENT, name)
            report = client.batch([(tmp_path / "local", "last"), (tmp_path / "local", "other")])
            assert report.ok
            assert server.files["/last"] == server.files["/other"] == CONTENT
    assert server.connections == 1
    assert "left" not in ways


def test_a_connection_that_rested_is_asked_whether_it_lives(
    server: ScriptedServer, ways: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with mover(server.url, "upload", blocking=True, keepalive=0.001) as upload:
        warm_up(upload, ways)
        monkeypatch.setattr("fastxfer.ftp.ready_transfer.BURST", 0.0)
        server.commands.clear()
        time.sleep(0.01)
        upload(CONTENT, "odd")
        assert ways == ["other"]
        assert "NOOP" in server.commands
    assert server.connections == 1
    assert server.files["/odd"] == CONTENT


def test_an_answer_that_is_very_late_is_waited_for(server: ScriptedServer, send: Move, ways: list[str]) -> None:
    once(server, "EPSV", slowly("epsv"))
    for name in ("odd", "other", "another"):
        send(CONTENT, name)
        assert server.files[f"/{name}"] == CONTENT
    assert server.connections == 1


def test_what_lies_unread_on_the_connection_is_not_taken_for_an_answer(server: ScriptedServer, send: Move) -> None:
    def chatty(control: Control, argument: str) -> None:
        server.do_epsv(control, argument)
        control.reply("226 what a nice day")

    once(server, "EPSV", chatty)
    for name in ("odd", "other", "another", "last"):
        send(CONTENT, name)
        assert server.files[f"/{name}"] == CONTENT
    assert server.connections <= 2


def test_a_cancelled_upload_costs_its_connection_and_nothing_else(server: ScriptedServer, ways: list[str]) -> None:
    async def body() -> None:
        arrived = asyncio.Event()
        loop = asyncio.get_running_loop()

        def stuck(control: Control, argument: str) -> None:
            control.reply("150 send it")
            loop.call_soon_threadsafe(arrived.set)
            control.sock.recv(1, socket.MSG_PEEK)
            control.hang_up()

        async with AsyncClient(server.url, timeout=WAIT, preopen=True) as client:
            for name in ("first", "second", "third"):
                await client.upload(CONTENT, name)
            once(server, "STOR", stuck)
            task = asyncio.create_task(client.upload(b"never", "there"))
            await asyncio.wait_for(arrived.wait(), WAIT)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert server.files["/there"] == b"it was"
            await client.upload(CONTENT, "there")
            assert client.stats()["active"] == 0

    asyncio.run(body())
    assert server.files["/there"] == CONTENT
    assert server.connections == 2


def test_a_closed_client_ends_an_upload(server: ScriptedServer) -> None:
    async def body() -> None:
        arrived = asyncio.Event()
        loop = asyncio.get_running_loop()

        def stuck(control: Control, argument: str) -> None:
            loop.call_soon_threadsafe(arrived.set)
            control.sock.recv(1, socket.MSG_PEEK)
            control.hang_up()

        async with AsyncClient(server.url, timeout=WAIT, preopen=True, retry=RetryPolicy(attempts=1)) as client:
            for name in ("first", "second", "third"):
                await client.upload(CONTENT, name)
            once(server, "RNTO", stuck)
            task = asyncio.create_task(client.upload(b"never", "there"))
            await asyncio.wait_for(arrived.wait(), WAIT)
            await client.aclose()
            with pytest.raises(ConnectionLostError):
                await task

    asyncio.run(body())
    assert server.files["/there"] == b"it was"


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "asyncio"])
@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "plain"])
def test_real_servers_take_many_small_files(
    peer: FTPPeer, local: Path, ways: list[str], blocking: bool, atomic: bool
) -> None:
    contents = {f"file {number}": os.urandom(number * 331) for number in range(30)}
    for name, content in contents.items():
        (local / name).write_bytes(content)
    options: dict[str, Any] = {
        "user": peer.user,
        "password": peer.password,
        "tls_settings": TLSSettings(ca_file=peer.ca_file),
        "preopen": None,
        "connections": 1,
        "timeout": WAIT,
    }
    with mover(peer.url, "upload", blocking=blocking, **options) as upload:
        for name, content in contents.items():
            result: TransferResult = upload(local / name, name, atomic=atomic)
            assert result.size == len(content)
    assert {path.name: path.read_bytes() for path in peer.root.iterdir()} == contents
    assert "left" not in ways
