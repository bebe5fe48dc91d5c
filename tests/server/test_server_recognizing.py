"""Logins that can be judged at once take a shorter way, which lets nobody in whom the longer one would not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.server import (
    Anonymous,
    Authenticator,
    Chain,
    Credentials,
    LimitsConfig,
    LocalFilesystem,
    ServerConfig,
    Service,
    User,
    UserTable,
)
from fastxfer.server.users import may_welcome
from tests.server.dialogue import PASSWORD, USER, Dialogue, Running

ALICE = User(name="alice")
TABLE = ((ALICE, "wonderland"),)


class Stricter(UserTable):
    """A table of users that lets in one fewer than it has."""

    async def authenticate(self, credentials: Credentials) -> User | None:
        return None if credentials.name == "alice" else await super().authenticate(credentials)


class Curfew(Authenticator):
    async def authenticate(self, credentials: Credentials) -> User | None:
        return None


class TableUnderCurfew(Curfew, UserTable):
    """Judged by a class that stands before the table's."""


class Heir(Stricter):
    """Changes nothing."""


class Waiting(Authenticator):
    async def authenticate(self, credentials: Credentials) -> User | None:
        return User(name="alice", home="/elsewhere") if credentials.name == "alice" else None


def test_a_table_recognizes_its_users_by_name_and_password() -> None:
    table = UserTable(TABLE)
    assert table.recognize("alice", "wonderland") is ALICE
    assert table.recognize("alice", "looking glass") is None
    assert table.recognize("bob", "wonderland") is None
    table.remove("alice")
    assert table.recognize("alice", "wonderland") is None


@pytest.mark.parametrize("kind", [Stricter, TableUnderCurfew, Heir])
def test_who_judges_in_a_way_of_his_own_is_asked_that_way(kind: type[UserTable]) -> None:
    table = kind(TABLE)
    assert table.recognize("alice", "wonderland") is None
    assert not table.complete


def test_a_chain_does_not_pass_over_whoever_has_to_be_waited_for() -> None:
    table = UserTable(TABLE)
    guests = Anonymous()
    assert Chain([guests, table]).recognize("alice", "wonderland") is ALICE
    assert Chain([table, guests]).recognize("ftp", "") is guests.user
    assert Chain([Waiting(), table]).recognize("alice", "wonderland") is None
    assert Chain([guests, Chain([Waiting()]), table]).recognize("alice", "wonderland") is None
    assert Chain([table, Waiting()]).recognize("alice", "wonderland") is ALICE
    assert [Chain(parts).complete for parts in ([table, guests], [table, Waiting()])] == [True, False]


class StricterChain(Chain):
    """A chain that lets in one fewer than its parts would."""

    async def authenticate(self, credentials: Credentials) -> User | None:
        return None if credentials.name == "alice" else await super().authenticate(credentials)


def test_a_chain_that_judges_in_a_way_of_its_own_is_waited_for() -> None:
    stricter = StricterChain([UserTable(TABLE)])
    assert stricter.recognize("alice", "wonderland") is None
    assert not stricter.complete
    assert Chain([stricter, UserTable(TABLE)]).recognize("alice", "wonderland") is None


class Welcoming(Curfew):
    def welcomes(self, credentials: Credentials) -> bool:
        return credentials.name == "guest"


def test_who_may_need_no_password_is_known_beforehand() -> None:
    assert may_welcome(Welcoming())
    assert may_welcome(Chain([UserTable(), Chain([Welcoming()])]))
    assert not may_welcome(Chain([UserTable(), Anonymous()]))
    assert Chain([UserTable(), Welcoming()]).welcomes(Credentials(name="guest"))


def test_the_longer_way_decides_where_the_shorter_one_does_not(serve: Callable[..., Running]) -> None:
    server = serve(
        authenticator=Chain([Stricter([(User(name="bob"), PASSWORD), *TABLE]), Anonymous()]),
        limits=LimitsConfig(login_delay=0.0),
    )
    with Dialogue(server.address) as client:
        client.expect(331, "USER alice")
        client.expect(530, "PASS wonderland")
        client.login("bob", PASSWORD)
    with Dialogue(server.address) as client:
        client.login("ftp", "guest@example.org")


@pytest.mark.parametrize(
    "user",
    [
        User(name="alice", enabled=False),
        User(name="alice", networks=("192.0.2.0/24",)),
        User(name="alice", require_tls=True),
    ],
)
def test_the_right_password_is_not_enough(serve: Callable[..., Running], user: User) -> None:
    server = serve(authenticator=UserTable([(user, "wonderland")]), limits=LimitsConfig(login_delay=0.0))
    with Dialogue(server.address) as client:
        client.expect(331, "USER alice")
        assert client.say("PASS wonderland").code == (550 if user.require_tls else 530)
        client.expect(530, "PWD")


def test_a_user_who_was_replaced_has_what_he_is_given_now(serve: Callable[..., Running], root: Path) -> None:
    table = UserTable(TABLE)
    server = serve(authenticator=table)
    for name in ("first", "second"):
        (root / name).mkdir()
    for name in ("first", "second", "first"):
        table.add(User(name="alice", root=f"/{name}", home="/"), name)
        with Dialogue(server.address) as client:
            client.login("alice", name)
            client.expect(257, "MKD here")
            client.expect(250, "RMD here")
            client.expect(257, f"MKD {name}'s")
        assert (root / name / f"{name}'s").is_dir()
        (root / name / f"{name}'s").rmdir()


def test_sessions_of_one_user_share_an_account_only_where_nothing_is_his_own() -> None:
    plain, limited = User(name="alice"), User(name="bob", download_rate=1000)
    table = UserTable([(plain, "a"), (limited, "b")])
    service = Service(ServerConfig(), LocalFilesystem("/"), table)
    one, other = (service.admit("alice", "a", "192.0.2.1", tls=False) for _ in range(2))
    assert one is not None
    assert one is other
    first, second = (service.admit("bob", "b", "192.0.2.1", tls=False) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first is not second
    assert first.download_limits == second.download_limits


def test_an_address_that_has_failed_is_judged_the_longer_way() -> None:
    service = Service(ServerConfig(), LocalFilesystem("/"), UserTable(TABLE))
    assert service.admit("alice", "wonderland", "192.0.2.1", tls=False) is not None
    service.guard.failed("192.0.2.1")
    assert service.admit("alice", "wonderland", "192.0.2.1", tls=False) is None
    assert service.admit("alice", "wonderland", "192.0.2.2", tls=False) is not None
    service.guard.succeeded("192.0.2.1")
    assert service.admit("alice", "wonderland", "192.0.2.1", tls=False) is not None


def test_a_server_asks_for_the_password_of_a_name_that_is_not_welcome(serve: Callable[..., Running]) -> None:
    server = serve(authenticator=Chain([Welcoming(), UserTable([(User(name=USER), PASSWORD)])]))
    with Dialogue(server.address) as client:
        client.expect(331, f"USER {USER}")
        client.expect(230, f"PASS {PASSWORD}")
