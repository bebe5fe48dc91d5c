"""Ways round what a user may do, by means that are each allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from fastxfer.server import (
    Authenticator,
    Credentials,
    LimitsConfig,
    LocalFilesystem,
    Permissions,
    ServerConfig,
    Service,
    SessionInfo,
    User,
)
from fastxfer.server.guard import LoginRefusedError
from tests.server.dialogue import Dialogue, running


def test_no_link_lends_a_file_the_permissions_of_another_folder(tmp_path: Path) -> None:
    (tmp_path / "readable").mkdir()
    (tmp_path / "writable").mkdir()
    (tmp_path / "readable" / "file").write_text("precious")
    user = User(name="alice", permissions=Permissions("all", {"/readable": "list read"}))
    with running(tmp_path, users=[(user, "wonderland")]) as server, Dialogue(server.address) as client:
        client.login()
        client.expect(550, "SITE SYMLINK /readable/file /writable/link")
        client.put("STOR /writable/link", b"other")
    assert (tmp_path / "readable" / "file").read_text() == "precious"


def test_a_file_copied_onto_itself_by_a_link_keeps_its_bytes(tmp_path: Path) -> None:
    with running(tmp_path) as server, Dialogue(server.address) as client:
        client.login()
        client.put("STOR file", b"precious")
        client.expect(200, "SITE SYMLINK /file /link")
        client.expect(350, "SITE CPFR file")
        assert client.say("SITE CPTO link").code >= 500
    assert (tmp_path / "file").read_bytes() == b"precious"


def test_a_listing_goes_on_after_very_many_unfinished_uploads(tmp_path: Path) -> None:
    for index in range(6000):
        (tmp_path / f".x{index:0100}.fxpart").touch()
    for index in range(40):
        (tmp_path / f"file{index}").touch()
    with running(tmp_path) as server, Dialogue(server.address) as client:
        client.login()
        listed = client.fetch("MLSD").decode().splitlines()
    assert sum(line.rpartition(" ")[2].startswith("file") for line in listed) == 40
    assert not any("fxpart" in line for line in listed)


def test_anonymous_logins_between_guesses_do_not_keep_off_the_ban(tmp_path: Path) -> None:
    limits = LimitsConfig(ban_after=3, login_delay=0.0, login_attempts=100)
    users = [(User(name="alice"), "wonderland")]
    with (
        running(tmp_path, users=users, anonymous=True, limits=limits) as server,
        Dialogue(server.address) as client,
    ):
        for number in range(3):
            client.say("USER alice")
            assert client.say(f"PASS guess{number}").code == 530
            if number < 2:
                client.say("USER anonymous")
                assert client.say("PASS me").code == 230
        client.say("USER alice")
        assert client.say("PASS wonderland").code != 230


class Slow(Authenticator):
    """Takes a while over each password, of which one is right."""

    def __init__(self) -> None:
        self.judged = 0

    async def authenticate(self, credentials: Credentials) -> User | None:
        self.judged += 1
        for _ in range(5):
            await asyncio.sleep(0)
        return User(name=credentials.name) if credentials.password == "right" else None


def with_slow_logins(
    root: Path, go: Callable[[Slow, Callable[[str], Coroutine[Any, Any, str]]], Coroutine[Any, Any, None]]
) -> None:
    """Do *go* with the authenticator, and with what logs in by a password and says what came of it."""

    async def run() -> None:
        judge = Slow()
        limits = LimitsConfig(ban_after=3, login_delay=0.0)
        service = Service(ServerConfig(limits=limits), LocalFilesystem(root), judge)

        async def login(password: str) -> str:
            credentials = Credentials(name="alice", password=password, address="192.0.2.1")
            try:
                await service.authenticate(credentials, SessionInfo(id=1, address="192.0.2.1"))
            except LoginRefusedError as error:
                return error.reason
            return "in"

        try:
            await go(judge, login)
        finally:
            await service.close()

    asyncio.run(run())


def test_guesses_made_at_once_do_not_pass_the_ban(tmp_path: Path) -> None:
    async def go(judge: Slow, login: Callable[[str], Coroutine[Any, Any, str]]) -> None:
        results = await asyncio.gather(*(login("wrong") for _ in range(50)))
        assert judge.judged == 3
        assert sorted(results) == ["banned"] * 47 + ["credentials"] * 3
        assert await login("right") == "banned"

    with_slow_logins(tmp_path, go)


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_logins_made_at_once_all_come_in(tmp_path: Path, failures: int) -> None:
    async def go(_: Slow, login: Callable[[str], Coroutine[Any, Any, str]]) -> None:
        for _number in range(failures):
            assert await login("wrong") == "credentials"
        assert await asyncio.gather(*(login("right") for _ in range(50))) == ["in"] * 50

    with_slow_logins(tmp_path, go)


def test_those_who_leave_while_they_wait_hold_nobody_up(tmp_path: Path) -> None:
    async def go(_: Slow, login: Callable[[str], Coroutine[Any, Any, str]]) -> None:
        tasks = [asyncio.ensure_future(login("right")) for _ in range(30)]
        for turn in range(30):
            await asyncio.sleep(0)
            if turn % 3:
                tasks[turn].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[::3] == ["in"] * 10
        assert all(isinstance(result, asyncio.CancelledError) or result == "in" for result in results)

    with_slow_logins(tmp_path, go)
