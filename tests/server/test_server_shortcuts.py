"""Small files one after the other, which native code serves alone, amid everything else that may be wanted."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastxfer.server import (
    Hooks,
    LimitsConfig,
    LogConfig,
    Permissions,
    RatesConfig,
    TransferInfo,
    User,
    service,
)
from fastxfer.server.commands import transfer
from tests.server.dialogue import DEADLINE, PASSWORD, USER, Dialogue, Running, read_all, visible, wait_for

CONTENT = b"content" * 500


@pytest.fixture
def ordinary(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the transfers that went the ordinary way."""
    seen: list[str] = []
    for name in "send_quickly", "receive_quickly":
        inner = getattr(transfer, name)

        def spy(session: Any, path: str, *rest: Any, inner: Any = inner) -> Any:
            seen.append(path)
            return inner(session, path, *rest)

        monkeypatch.setattr(transfer, name, spy)
    return seen


def test_only_the_first_file_goes_the_ordinary_way(client: Dialogue, root: Path, ordinary: list[str]) -> None:
    for number in range(100):
        assert client.put(f"STOR ünï {number}", CONTENT + b"%d" % number).code == 226
        assert client.fetch(f"RETR ünï {number}") == CONTENT + b"%d" % number
    assert len(visible(root)) == len(os.listdir(root)) == 100
    # A port serves so many transfers, and the first one on the next port is an ordinary one again.
    assert 0 < len(ordinary) < 100


@pytest.mark.parametrize("command", ["EPSV", "PASV"])
def test_other_commands_in_between_mean_what_they_always_mean(client: Dialogue, root: Path, command: str) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "file").write_bytes(b"one\ntwo\n")
    (root / "a" / "b" / "file").write_bytes(b"deep")

    def fetched(name: str) -> bytes:
        with client.data(command) as data:
            client.expect(150, f"RETR {name}")
            body = read_all(data)
        assert client.read().code == 226
        return body

    for _ in range(3):
        assert fetched("file") == fetched("/file") == b"one\ntwo\n"
        client.expect(200, "TYPE A")
        assert fetched("file") == b"one\r\ntwo\r\n"
        client.expect(200, "TYPE I")
        assert fetched("file") == b"one\ntwo\n"
        client.expect(350, "REST 4")
        assert fetched("file") == b"two\n"
        assert fetched("file") == b"one\ntwo\n"
        client.expect(250, "CWD a/b")
        assert fetched("file") == fetched("file") == b"deep"
        assert fetched("/file") == b"one\ntwo\n"
        client.expect(250, "CDUP")
        assert fetched("b/file") == fetched("b/file") == b"deep"
        client.expect(250, "CWD /")
        client.expect(350, "RNFR file")
        assert fetched("file") == b"one\ntwo\n"
        client.expect(503, "RNTO elsewhere")
        client.expect(213, "SIZE file")


@pytest.mark.parametrize("together", [False, True])
def test_what_clients_say_around_each_file_keeps_none_from_the_short_way(
    client: Dialogue, root: Path, ordinary: list[str], together: bool
) -> None:
    """As graphical clients and our own do: ask for the size, rename at the end."""

    def say(*lines: str) -> None:
        if together:
            client.send("".join(f"{line}\r\n" for line in lines).encode())
        else:
            for line in lines[:-1]:
                client.say(line)
            client.send(f"{lines[-1]}\r\n".encode())

    for number in range(40):
        name = f"ünï {number}"
        assert client.put(f"STOR {name}.part", CONTENT + b"%d" % number).code == 226
        say(f"RNFR {name}.part", f"RNTO {name}", "NOOP")
        if together:
            assert [client.read().code, client.read().code] == [350, 250]
        assert client.read().code == 200
        with client.data() as data:
            say(f"MDTM {name}", f"SIZE {name}", f"RETR {name}")
            if together:
                assert [client.read().code, client.read().code] == [213, 213]
            assert [client.read().code, client.read().code] == [150, 226]
            assert read_all(data) == CONTENT + b"%d" % number
    assert sorted(os.listdir(root)) == sorted(f"ünï {number}" for number in range(40))
    assert len(ordinary) < 20


def test_one_piece_asks_for_a_file_and_the_next_port(client: Dialogue, root: Path, ordinary: list[str]) -> None:
    (root / "file").write_bytes(CONTENT)
    assert client.fetch("RETR file") == client.fetch("RETR file") == CONTENT
    address = client.passive()
    ordinary.clear()
    for number in range(20):
        with socket.create_connection(address, timeout=DEADLINE) as data:
            client.send(
                b"SIZE file\r\nRETR file\r\nEPSV\r\nRETR missing\r\n"
                if number == 10
                else b"SIZE file\r\nRETR file\r\nEPSV\r\n"
            )
            assert [client.read().code for _ in range(4)] == [213, 150, 226, 229]
            assert read_all(data) == CONTENT
            if number == 10:
                assert client.read().code == 550
    assert len(ordinary) < 5


def test_what_was_to_be_renamed_is_forgotten_when_something_else_is_said(client: Dialogue, root: Path) -> None:
    (root / "file").write_bytes(CONTENT)
    assert client.fetch("RETR file") == client.fetch("RETR file") == CONTENT
    for together in (False, True):
        client.expect(350, "RNFR file")
        if together:
            client.send(b"EPSV\r\nRNTO other\r\n")
        else:
            client.expect(229, "EPSV")
            client.send(b"RNTO other\r\n")
        assert [client.read().code for _ in range(1 + together)][-1] == 503
        client.expect(200, "TYPE I")
        assert client.fetch("RETR file") == client.fetch("RETR file") == CONTENT
    assert visible(root) == ["file"]


def test_a_path_names_what_it_names_when_it_comes(client: Dialogue, root: Path) -> None:
    (root / "file").write_bytes(b"first")
    assert client.fetch("RETR file") == client.fetch("RETR file") == b"first"
    (root / "file").write_bytes(b"second")
    assert client.fetch("RETR file") == b"second"
    (root / "file").unlink()
    with client.data():
        client.expect(550, "RETR file")
    (root / "file").mkdir()
    with client.data():
        client.expect(550, "RETR file")
    (root / "large").write_bytes(CONTENT * 100)
    assert client.fetch("RETR large") == CONTENT * 100
    (root / "out").symlink_to("/etc/passwd")
    with client.data():
        assert client.say("RETR out").code == 550
    assert client.put("STOR again", CONTENT).code == 226
    assert client.put("STOR again", b"less").code == 226
    assert (root / "again").read_bytes() == b"less"


def test_commands_that_come_together_are_carried_out_in_order(client: Dialogue, root: Path) -> None:
    (root / "file").write_bytes(CONTENT)
    assert client.fetch("RETR file") == client.fetch("RETR file") == CONTENT
    data = client.data()
    with data:
        client.send(b"RETR file\r\nSIZE file\r\nEPSV\r\n")
        assert [client.read().code for _ in range(4)] == [150, 226, 213, 229]
        assert read_all(data) == CONTENT
    data = client.data()
    with data:
        client.send(b"RETR")
        client.send(b" fi")
        client.send(b"le\r\n")
        assert [client.read().code for _ in range(2)] == [150, 226]
        assert read_all(data) == CONTENT
    assert client.fetch("RETR file") == CONTENT


def test_without_the_right_to_replace_nothing_is_replaced(serve: Callable[..., Running], root: Path) -> None:
    running = serve(users=[(User(name=USER, permissions=Permissions("list read write")), PASSWORD)])
    with Dialogue(running.address) as client:
        client.login()
        for name in "one", "two":
            assert client.put(f"STOR {name}", CONTENT).code == 226
        for _ in range(2):
            with client.data():
                client.expect(553, "STOR one")
        with client.data_after("STOR three") as data:
            data.sendall(CONTENT)
            (root / "three").write_bytes(b"another's")
        assert client.read().code == 550
    assert visible(root) == ["one", "three", "two"]
    assert (root / "three").read_bytes() == b"another's"


def test_without_the_right_to_read_or_write_nothing_is(serve: Callable[..., Running], root: Path) -> None:
    (root / "file").write_bytes(CONTENT)
    users = [
        (User(name="reader", permissions=Permissions("list read")), "r"),
        (User(name="writer", permissions=Permissions("write")), "w"),
    ]
    running = serve(users=users)
    with Dialogue(running.address) as client:
        client.login("reader", "r")
        for _ in range(3):
            assert client.fetch("RETR file") == CONTENT
            with client.data():
                client.expect(550, "STOR new")
    with Dialogue(running.address) as client:
        client.login("writer", "w")
        for number in range(3):
            assert client.put(f"STOR new{number}", CONTENT).code == 226
            with client.data():
                client.expect(550, "RETR file")
    assert visible(root) == ["file", "new0", "new1", "new2"]


def test_the_permissions_of_the_next_user_are_his_own(serve: Callable[..., Running], root: Path) -> None:
    (root / "file").write_bytes(CONTENT)
    running = serve(users=[(User(name=USER), PASSWORD), (User(name="writer", permissions=Permissions("write")), "w")])
    with Dialogue(running.address) as client:
        client.login()
        assert client.fetch("RETR file") == client.fetch("RETR file") == CONTENT
        client.expect(220, "REIN")
        client.login("writer", "w")
        with client.data():
            client.expect(550, "RETR file")


def test_a_session_that_ends_in_the_middle_leaves_nothing_open(client: Dialogue, server: Running, root: Path) -> None:
    for number in range(3):
        assert client.put(f"STOR file{number}", CONTENT).code == 226
    host, port = client.passive()
    client.close()

    def refused() -> bool:
        try:
            socket.create_connection((host, port), timeout=DEADLINE).close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:
            # It was closed just now.
            return False
        return False

    wait_for(refused)
    with Dialogue(server.address) as other:
        other.login()
        assert other.put("STOR file", CONTENT).code == 226
        assert other.put("STOR file", CONTENT).code == 226
        data = other.data_after("STOR last")
        data.sendall(CONTENT)
        other.close()
    with Dialogue(server.address) as third:
        third.login()

        def free() -> bool:
            with third.data():
                code = third.say("STOR last").code
            assert code == 450 or (code == 150 and third.read().code == 226)
            return code == 150

        wait_for(free)
    data.close()


def test_a_client_that_says_goodbye_behind_a_file_is_answered(client: Dialogue, root: Path) -> None:
    (root / "file").write_bytes(CONTENT)
    assert client.fetch("RETR file") == client.fetch("RETR file") == CONTENT
    assert client.say("QUIT").code == 221
    assert client.closed()


def test_every_file_is_logged_and_counted(
    serve: Callable[..., Running], root: Path, tmp_path: Path, ordinary: list[str]
) -> None:
    pytest.importorskip("prometheus_client", reason="needs the extra `metrics`")
    log = tmp_path / "log.json"
    running = serve(log=LogConfig(json=str(log)), metrics=True)
    with Dialogue(running.address) as client:
        client.login()
        for number in range(5):
            assert client.put(f"STOR ünï {number}", CONTENT[number:]).code == 226
            assert client.fetch(f"RETR ünï {number}") == CONTENT[number:]
    wait_for(lambda: log.exists() and len(log.read_text().splitlines()) == 10)
    assert len(ordinary) < 10
    seen = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(entry["direction"], entry["path"], entry["bytes"], entry["ok"]) for entry in seen] == [
        (direction, f"/ünï {number}", len(CONTENT) - number, True)
        for number in range(5)
        for direction in ("upload", "download")
    ]
    metrics = running.server.service.metrics
    assert metrics is not None
    text = metrics.text().decode()
    for direction in "upload", "download":
        assert f'fastxfer_transfers_total{{direction="{direction}",protocol="ftp",result="ok"}} 5.0' in text
        assert f'fastxfer_bytes_total{{direction="{direction}",protocol="ftp"}} {5 * len(CONTENT) - 10}.0' in text
        assert f'fastxfer_transfer_seconds_count{{direction="{direction}"}} 5.0' in text


def test_a_log_that_fails_costs_no_transfer(
    serve: Callable[..., Running], root: Path, monkeypatch: pytest.MonkeyPatch, ordinary: list[str]
) -> None:
    running = serve(log=LogConfig(json=os.devnull))

    def fail(**facts: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(service, "TransferInfo", fail)
    with Dialogue(running.address) as client:
        client.login()
        for number in range(3):
            assert client.put(f"STOR file{number}", CONTENT).code == 226
            assert client.fetch(f"RETR file{number}") == CONTENT
    assert len(ordinary) < 6


def test_a_hook_is_told_of_every_file(serve: Callable[..., Running], root: Path) -> None:
    told: list[str] = []

    class Listening(Hooks):
        async def on_transfer_end(self, info: TransferInfo) -> None:
            told.append(info.path)

    running = serve(hooks=Listening())
    with Dialogue(running.address) as client:
        client.login()
        for number in range(5):
            assert client.put(f"STOR file{number}", CONTENT).code == 226
    wait_for(lambda: told == [f"/file{number}" for number in range(5)])


def test_limits_of_the_rate_hold_for_every_file(serve: Callable[..., Running], root: Path, ordinary: list[str]) -> None:
    running = serve(rates=RatesConfig(download=10_000_000, upload=10_000_000))
    with Dialogue(running.address) as client:
        client.login()
        for _ in range(4):
            assert client.put("STOR file", CONTENT).code == 226
            assert client.fetch("RETR file") == CONTENT
    assert len(ordinary) == 8


def test_new_files_have_the_mode_that_is_set_and_old_ones_keep_theirs(client: Dialogue, root: Path) -> None:
    for name in "one", "two", "three":
        assert client.put(f"STOR {name}", CONTENT).code == 226
    modes = {stat.S_IMODE((root / name).stat().st_mode) for name in ("one", "two", "three")}
    assert len(modes) == 1
    (root / "two").chmod(0o600)
    assert client.put("STOR one", CONTENT).code == client.put("STOR two", CONTENT).code == 226
    assert stat.S_IMODE((root / "two").stat().st_mode) == 0o600


def test_a_line_that_is_too_long_is_so_here_too(serve: Callable[..., Running], root: Path) -> None:
    running = serve(limits=LimitsConfig(line=512))
    (root / "file").write_bytes(CONTENT)
    with Dialogue(running.address) as client:
        client.login()
        assert client.fetch("RETR file") == client.fetch("RETR file") == CONTENT
        client.passive()
        assert client.say("RETR " + "x" * 600).code == 500
