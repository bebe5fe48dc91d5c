"""Data connections that misbehave while they are opened: who may be connected to, and who may connect."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from fastxfer.ftp import (
    AsyncClient,
    ConnectionFailedError,
    FTPError,
    TimedOutError,
)
from tests.ftp.hostile import run
from tests.support.scripted_ftp import Control, scripted_server


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
