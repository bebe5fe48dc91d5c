"""Servers whose control connection misbehaves: each ends in a clear error or a correct retry, never in a hang."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fastxfer.ftp import (
    AsyncClient,
    Client,
    ConnectionLostError,
    FTPError,
    InvalidArgumentError,
    LoginError,
    ProtocolError,
    RetryPolicy,
    ServiceUnavailableError,
    TimedOutError,
    Timeouts,
)
from fastxfer.ftp._asyncio import AsyncDriver
from fastxfer.net.tls_channel import TLSChannel
from tests.ftp.hostile import run
from tests.support.scripted_ftp import Control, ScriptedServer, scripted_server


async def nothing(client: AsyncClient) -> None:
    """Connecting is enough."""


@pytest.mark.parametrize(
    "banner",
    [b"x" * 100_000, b"220-" + b"y" * 60 + b"\r\n" + b" more\r\n" * 200_000, b"hello there\r\n", b"\x00\xff\xfe\r\n"],
    ids=["endless line", "endless lines", "no code", "binary"],
)
def test_a_greeting_that_is_none_is_a_protocol_error(banner: bytes) -> None:
    with scripted_server() as server:
        server.greet = lambda control: control.raw(banner)
        with pytest.raises((ProtocolError, ConnectionLostError)):
            run(server, nothing)


def test_a_silent_server_is_given_up_after_the_timeout() -> None:
    with scripted_server() as server:
        server.greet = lambda control: None
        with pytest.raises(TimedOutError):
            run(server, nothing, timeout=0.2)


def test_preliminary_replies_without_end_are_given_up() -> None:
    with scripted_server() as server:
        server.handlers["NOOP"] = lambda control, argument: control.reply(*["150 wait"] * 500)
        with pytest.raises(ProtocolError, match="without end"):
            run(server, lambda client: client.noop(), retry=RetryPolicy(attempts=1))


@pytest.mark.parametrize("count", [60, 5000])
def test_preliminary_replies_to_a_transfer_without_end_are_given_up(count: int) -> None:
    def retr(control: Control, argument: str) -> None:
        if argument != "b":
            server.do_retr(control, argument)
            return
        control.reply("150 here it comes")
        with control.data() as data:
            data.sendall(b"content")
        control.reply(*["150 wait"] * count)

    async def body(client: AsyncClient) -> None:
        # From the second file on the replies are fetched along with the data.
        assert await client.read("a") == b"content"
        with pytest.raises(ProtocolError, match=r"without end|more replies than commands"):
            await client.read("b")

    with scripted_server() as server:
        server.files |= {"/a": b"content", "/b": b"content"}
        server.handlers["RETR"] = retr
        run(server, body, retry=RetryPolicy(attempts=1), timeout=20.0)


def test_a_reply_that_comes_byte_by_byte_is_given_up_after_the_timeout() -> None:
    def drip(control: Control) -> None:
        # Each byte alone comes in time. The client hangs up.
        control.raw(b"220 ")
        while True:
            control.raw(b"x")
            time.sleep(0.02)

    with scripted_server() as server:
        server.greet = drip
        with pytest.raises(TimedOutError):
            run(server, nothing, timeout=0.2)


def test_a_tls_record_that_comes_byte_by_byte_is_given_up_after_the_timeout() -> None:
    async def fetch() -> None:
        # A record of 16 KiB of which the head is here, and a byte now and then.
        here, there = socket.socketpair()
        with here, there:
            there.sendall(b"\x16\x03\x03\x40\x00")
            stream = AsyncDriver().stream(here)
            stream.channel = TLSChannel(ssl.create_default_context(), "example.org")
            dripping = asyncio.create_task(drip(there))
            try:
                with pytest.raises(TimeoutError):
                    await stream.receive(0.2)
            finally:
                dripping.cancel()
                stream.close()

    async def drip(there: socket.socket) -> None:
        while True:
            there.send(b"x")
            await asyncio.sleep(0.02)

    asyncio.run(fetch())


def test_service_not_available_in_the_greeting_is_tried_again() -> None:
    def greet(control: Control) -> None:
        control.reply("220 hello" if control.number == 3 else "421 come back later")

    with scripted_server() as server:
        server.greet = greet
        run(server, nothing)
        assert server.connections == 3


def test_service_not_available_in_mid_command_is_tried_again_on_another_connection() -> None:
    def retr(control: Control, argument: str) -> None:
        if control.number == 1:
            control.reply("421 closing down")
            control.hang_up()
        server.do_retr(control, argument)

    with scripted_server() as server:
        server.files["/a"] = b"content"
        server.handlers["RETR"] = retr
        assert run(server, lambda client: client.read("a")) == b"content"
        assert server.connections == 2


def test_a_server_that_stays_unavailable_says_so_in_the_end() -> None:
    with scripted_server() as server:
        server.greet = lambda control: control.reply("421 too many users")
        with pytest.raises(ServiceUnavailableError) as caught:
            run(server, nothing)
        assert caught.value.code == 421
        assert "too many users" in str(caught.value)


def test_a_wrong_password_is_not_tried_again() -> None:
    with scripted_server() as server:
        server.handlers["PASS"] = lambda control, argument: control.reply("530 login incorrect")
        with pytest.raises(LoginError):
            run(server, nothing)
        assert server.connections == 1


def test_the_password_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="fastxfer")
    with scripted_server() as server:
        server.handlers["PASS"] = lambda control, argument: control.reply("530 login incorrect")
        client = AsyncClient(server.url)
        with pytest.raises(LoginError) as caught:
            asyncio.run(client.connect())
        assert server.count("PASS") == 1
    shown = caplog.text + repr(caught.value) + str(caught.value) + repr(client) + repr(client.config)
    assert "hunter2" not in shown
    assert "PASS ***" in caplog.text


def test_replies_to_nothing_are_dropped_and_the_session_stays_in_step() -> None:
    def noop(control: Control, argument: str) -> None:
        control.reply("200 yes", "226 surprise", "550 and another")

    with scripted_server() as server:
        server.files["/a"] = b"content"
        server.handlers["NOOP"] = noop

        async def body(client: AsyncClient) -> bytes:
            await client.noop()
            await asyncio.sleep(0.05)
            assert await client.size("a") == 7
            return await client.read("a")

        assert run(server, body) == b"content"


def test_a_reply_that_can_not_be_the_answer_costs_the_connection_only() -> None:
    def epsv(control: Control, argument: str) -> None:
        if control.number == 1:
            control.reply("229 no port in here")
        else:
            server.do_epsv(control, argument)

    with scripted_server() as server:
        server.files["/a"] = b"content"
        server.handlers["EPSV"] = epsv
        assert run(server, lambda client: client.read("a")) == b"content"
        assert server.connections == 2


def test_a_connection_that_died_while_idle_costs_nothing_but_a_new_one() -> None:
    with scripted_server() as server:
        server.files["/a"] = b"content"

        def size(control: Control, argument: str) -> None:
            server.do_size(control, argument)
            if control.number == 1:
                control.hang_up()

        server.handlers["SIZE"] = size

        async def body(client: AsyncClient) -> None:
            await client.size("a")
            await asyncio.sleep(0.05)
            assert await client.read("a") == b"content"
            assert client.stats()["retries"] == 0

        run(server, body)
        assert server.connections == 2


def test_multi_line_replies_end_where_they_say() -> None:
    def noop(control: Control, argument: str) -> None:
        control.reply("200-first", "200-again", " 550 not the end", "550 nor this", "200 end")

    with scripted_server() as server:
        server.handlers["NOOP"] = noop

        async def body(client: AsyncClient) -> None:
            reply = await client.command("NOOP")
            assert reply.lines == ["first", "again", " 550 not the end", "550 nor this", "end"]
            await client.command("PWD")

        run(server, body)


@pytest.mark.parametrize("bad", ["a\rb", "a\nDELE x", "a\0b", "\r\n"])
def test_control_characters_are_refused_before_anything_is_sent(bad: str, tmp_path: Path) -> None:
    with scripted_server() as server:

        async def body(client: AsyncClient) -> None:
            before = list(server.commands)
            for attempt in (
                client.read(bad),
                client.download(bad, tmp_path / "x"),
                client.upload(b"x", bad),
                client.list(bad),
                client.stat(bad),
                client.mkdir(bad, parents=True),
                client.rmdir(bad),
                client.remove(bad),
                client.rename(bad, "x"),
                client.rename("x", bad),
                client.chmod(bad, 0o644),
                client.set_modified(bad, 0.0),
                client.chdir(bad),
                client.copy(bad, "x"),
                client.command(f"NOOP {bad}"),
                client.remove_tree(bad),
                client.checksum(bad),
                client.symlink(bad, "x"),
            ):
                with pytest.raises(InvalidArgumentError):
                    await attempt
            assert server.commands == before

        run(server, body)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", ["user", "password", "account"])
def test_control_characters_in_credentials_are_refused(part: str) -> None:
    with pytest.raises(InvalidArgumentError):
        AsyncClient("ftp://127.0.0.1", **{"user": "a", part: "a\r\nDELE x"})


@pytest.mark.parametrize(
    "url", ["ftp://a%0d%0aDELE:x@host", "ftp://host/%0aDELE", "http://host", "ftp://", "ftp://h:99999"]
)
def test_urls_that_can_not_be_are_refused(url: str) -> None:
    with pytest.raises(InvalidArgumentError):
        AsyncClient(url)


def test_too_many_connections_for_the_server_are_not_too_many_for_the_client() -> None:
    """The server takes two; eight tasks still all get their files."""

    def greet(control: Control) -> None:
        control.reply("220 hello" if control.number <= 2 else "421 too many connections")

    with scripted_server() as server:
        server.greet = greet
        for number in range(8):
            server.files[f"/{number}"] = b"%d" % number

        async def body(client: AsyncClient) -> None:
            contents = await asyncio.gather(*(client.read(f"{number}") for number in range(8)))
            assert contents == [b"%d" % number for number in range(8)]
            assert client.stats()["connections"] in (1, 2)

        run(server, body)


def test_no_more_connections_are_opened_than_allowed() -> None:
    with scripted_server() as server:
        for number in range(12):
            server.files[f"/{number}"] = b"x"

        async def body(client: AsyncClient) -> None:
            await asyncio.gather(*(client.read(f"{number}") for number in range(12)))

        run(server, body, connections=3)
        assert server.connections <= 3


def test_waiting_for_a_connection_ends_after_its_timeout() -> None:
    with scripted_server() as server:
        server.handlers["NOOP"] = lambda control, argument: None

        async def body(client: AsyncClient) -> None:
            slow = asyncio.create_task(client.noop())
            await asyncio.sleep(0.05)
            with pytest.raises(TimedOutError, match="became free"):
                await client.size("x")
            slow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await slow

        run(
            server,
            body,
            connections=1,
            timeouts=Timeouts(lease=0.2, reply=30),
            timeout=30,
            retry=RetryPolicy(attempts=1),
        )


def test_what_must_not_be_done_twice_is_not_tried_twice() -> None:
    def rnto(control: Control, argument: str) -> None:
        control.hang_up()

    with scripted_server() as server:
        server.files["/a"] = b"x"
        server.handlers["RNTO"] = rnto
        with pytest.raises(ConnectionLostError):
            run(server, lambda client: client.rename("a", "b"))
        assert server.count("RNTO") == 1


@pytest.mark.parametrize("verb", ["DELE", "RMD", "RNFR", "RNTO", "NOOP"])
def test_what_was_refused_for_the_moment_was_not_done_and_is_tried_again(verb: str) -> None:
    operations: dict[str, Callable[[AsyncClient], Awaitable[object]]] = {
        "DELE": lambda client: client.remove("a"),
        "RMD": lambda client: client.rmdir("d"),
        "RNFR": lambda client: client.rename("a", "b"),
        "RNTO": lambda client: client.rename("a", "b"),
        "NOOP": lambda client: client.command("NOOP"),
    }

    with scripted_server() as server:
        server.files["/a"] = b"x"
        server.directories.add("/d")
        decent = server.handlers[verb]

        def busy_once(control: Control, argument: str) -> None:
            if server.count(verb) == 1:
                control.reply("450 busy")
            else:
                decent(control, argument)

        server.handlers[verb] = busy_once
        run(server, operations[verb])
        assert server.count(verb) == 2


def test_a_unique_upload_that_was_broken_off_is_not_tried_again() -> None:
    def stou(control: Control, argument: str) -> None:
        control.reply("150 FILE: one")
        control.data().close()
        control.reply("426 broken off")

    with scripted_server() as server:
        server.handlers["STOU"] = stou
        with pytest.raises(FTPError):
            run(server, lambda client: client.upload_unique(b"content"))
        assert server.count("STOU") == 1


def test_the_blocking_client_meets_the_same_errors() -> None:
    with scripted_server() as server:
        server.files["/a"] = b"content"
        with Client(server.url, timeout=5.0) as client:
            assert client.read("a") == b"content"
            with pytest.raises(InvalidArgumentError):
                client.read("a\nb")
            with pytest.raises(FTPError):
                client.read("b")
            assert client.read("a") == b"content"
        assert server.connections == 1


def test_a_server_that_takes_one_command_at_a_time_is_given_one_at_a_time() -> None:
    """Whatever follows the first line of a piece is thrown away by it."""
    with scripted_server() as server:
        server.files["/a"] = b"content"
        plain = Control.read_line

        def read_line(control: Control) -> bytes | None:
            line = plain(control)
            control.buffer = b""
            return line

        Control.read_line = read_line  # type: ignore[method-assign]
        try:

            async def body(client: AsyncClient) -> bytes:
                return await client.read("a")

            assert run(server, body, timeout=0.4) == b"content"
        finally:
            Control.read_line = plain  # type: ignore[method-assign]


def test_scripted_server_itself_is_decent() -> None:
    with scripted_server() as server:
        assert isinstance(server, ScriptedServer)

        async def body(client: AsyncClient) -> None:
            await client.upload(b"abc", "dir/file", make_directories=True)
            assert [entry.name for entry in await client.list("dir")] == ["file"]
            assert await client.read("dir/file", offset=1) == b"bc"

        run(server, body)
        assert server.files == {"/dir/file": b"abc"}


def test_a_server_without_feat_is_given_one_command_at_a_time() -> None:
    with scripted_server() as server:
        server.files["/a"] = b"content"
        del server.handlers["FEAT"]
        pieces: list[int] = []
        plain = Control.read_line

        def read_line(control: Control) -> bytes | None:
            line = plain(control)
            pieces.append(control.buffer.count(b"\n"))
            return line

        Control.read_line = read_line  # type: ignore[method-assign]
        try:

            async def body(client: AsyncClient) -> None:
                for _ in range(3):
                    assert await client.read("a") == b"content"
                assert [entry.name for entry in await client.list()] == ["a"]

            run(server, body)
        finally:
            Control.read_line = plain  # type: ignore[method-assign]
        assert max(pieces[pieces.index(0, 5) :]) == 0
