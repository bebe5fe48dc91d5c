"""USER, PASS, REIN, QUIT, HOST and who gets in (RFC 959 section 4.1.1, RFC 7151)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.server import (
    Anonymous,
    Authenticator,
    Chain,
    Credentials,
    Hooks,
    LimitsConfig,
    Permissions,
    SessionInfo,
    TimeoutsConfig,
    TlsConfig,
    User,
    UserTable,
)
from tests.server.conftest import Tls
from tests.server.dialogue import PASSWORD, USER, Dialogue, Running, wait_for


def test_the_right_password_logs_in(server: Running) -> None:
    with Dialogue(server.address) as client:
        assert client.welcome is not None
        assert client.welcome.code == 220
        client.expect(331, f"USER {USER}")
        client.expect(230, f"PASS {PASSWORD}")
        client.expect(257, "PWD")


def test_wrong_password_and_unknown_user_get_the_same_reply(serve: Callable[..., Running]) -> None:
    server = serve(limits=LimitsConfig(login_delay=0.0, login_attempts=5))
    with Dialogue(server.address) as client:
        client.expect(331, f"USER {USER}")
        wrong = client.expect(530, "PASS nonsense")
        client.expect(331, "USER nobody-of-that-name")
        assert client.expect(530, "PASS nonsense") == wrong


def test_pass_without_user_is_out_of_sequence(server: Running) -> None:
    with Dialogue(server.address) as client:
        client.expect(503, "PASS x")


@pytest.mark.parametrize(
    "command", ["PWD", "PASV", "EPSV", "LIST", "RETR x", "STOR x", "CWD /", "SITE HELP", "STAT", "REST 1", "MKD x"]
)
def test_commands_before_login_are_refused(server: Running, command: str) -> None:
    with Dialogue(server.address) as client:
        client.expect(530, command)


@pytest.mark.parametrize("command", ["NOOP", "SYST", "FEAT", "HELP", "QUIT", "OPTS UTF8 ON"])
def test_harmless_commands_need_no_login(server: Running, command: str) -> None:
    with Dialogue(server.address) as client:
        assert client.say(command).code < 400


def test_a_new_user_command_logs_the_old_user_out_at_once(client: Dialogue) -> None:
    client.expect(331, "USER somebody")
    client.expect(530, "PWD")


def test_rein_forgets_user_and_parameters(client: Dialogue) -> None:
    client.expect(257, "MKD /sub")
    client.expect(250, "CWD /sub")
    client.expect(350, "REST 10")
    client.expect(350, "RNFR /sub")
    client.expect(220, "REIN")
    client.expect(530, "PWD")
    client.login()
    assert '"/"' in client.expect(257, "PWD")
    client.expect(503, "RNTO /other")


def test_quit_says_goodbye_and_closes(client: Dialogue) -> None:
    client.expect(221, "QUIT")
    assert client.closed()


def test_three_failures_end_the_connection(serve: Callable[..., Running]) -> None:
    server = serve(limits=LimitsConfig(login_delay=0.0, login_attempts=3))
    with Dialogue(server.address) as client:
        for _ in range(2):
            client.expect(331, f"USER {USER}")
            client.expect(530, "PASS x")
        client.expect(331, f"USER {USER}")
        client.expect(530, "PASS x")
        assert client.closed()


def test_an_address_that_keeps_failing_is_banned(serve: Callable[..., Running]) -> None:
    server = serve(limits=LimitsConfig(login_delay=0.0, login_attempts=3, ban_after=3))
    with Dialogue(server.address) as client:
        for _ in range(3):
            client.expect(331, f"USER {USER}")
            client.expect(530, "PASS x")
    with Dialogue(server.address, greet=False) as client:
        assert client.read().code == 421
        assert client.closed()


def test_a_failed_login_is_answered_late(serve: Callable[..., Running]) -> None:
    server = serve(limits=LimitsConfig(login_delay=0.2))
    with Dialogue(server.address) as client:
        client.expect(331, f"USER {USER}")
        began = time.monotonic()
        client.expect(530, "PASS x")
        assert time.monotonic() - began >= 0.2


def test_others_are_served_while_a_failed_login_waits(serve: Callable[..., Running]) -> None:
    server = serve(limits=LimitsConfig(login_delay=30.0))
    with Dialogue(server.address) as slow, Dialogue(server.address) as other:
        slow.expect(331, f"USER {USER}")
        slow.send(b"PASS x\r\n")
        other.login().expect(257, "PWD")


def test_anonymous_may_read_and_nothing_else(serve: Callable[..., Running], root: Path) -> None:
    (root / "file").write_bytes(b"content")
    server = serve(authenticator=Anonymous())
    with Dialogue(server.address) as client:
        client.login("anonymous", "guest@example.org")
        assert client.fetch("RETR file") == b"content"
        client.expect(550, "DELE file")
        client.expect(550, "MKD new")
        client.passive()
        client.expect(550, "STOR new")
    assert [entry.name for entry in root.iterdir()] == ["file"]


def test_connections_are_limited_in_all_and_by_address(serve: Callable[..., Running]) -> None:
    server = serve(limits=LimitsConfig(sessions=2))
    with Dialogue(server.address), Dialogue(server.address), Dialogue(server.address, greet=False) as third:
        assert third.read().code == 421
    server = serve(limits=LimitsConfig(sessions_per_ip=1))
    with Dialogue(server.address), Dialogue(server.address, greet=False) as second:
        assert second.read().code == 421
        with Dialogue(server.address, source="127.0.0.2") as elsewhere:
            assert elsewhere.welcome is not None
            assert elsewhere.welcome.code == 220


def test_sessions_of_a_user_are_limited(serve: Callable[..., Running]) -> None:
    server = serve(users=[(User(name=USER, max_sessions=1), PASSWORD)])
    with Dialogue(server.address) as first, Dialogue(server.address) as second:
        first.login()
        second.expect(331, f"USER {USER}")
        second.expect(421, f"PASS {PASSWORD}")
    with Dialogue(server.address) as third:
        third.login()


def test_a_user_may_be_tied_to_networks(serve: Callable[..., Running]) -> None:
    server = serve(users=[(User(name=USER, networks=("127.0.0.2/32",)), PASSWORD)])
    with Dialogue(server.address) as client:
        client.expect(331, f"USER {USER}")
        client.expect(530, f"PASS {PASSWORD}")
    with Dialogue(server.address, source="127.0.0.2") as client:
        client.login()


def test_from_elsewhere_the_right_password_is_as_wrong_as_any(serve: Callable[..., Running]) -> None:
    server = serve(
        users=[(User(name=USER, networks=("127.0.0.2/32",)), PASSWORD)],
        limits=LimitsConfig(login_delay=0.0, ban_after=2),
    )
    for _ in range(2):
        with Dialogue(server.address) as client:
            client.expect(331, f"USER {USER}")
            client.expect(530, f"PASS {PASSWORD}")
    with Dialogue(server.address, greet=False) as client:
        assert client.read().code == 421


def test_a_connection_that_does_not_log_in_is_closed(serve: Callable[..., Running]) -> None:
    server = serve(timeouts=TimeoutsConfig(login=0.3, shutdown=1.0))
    with Dialogue(server.address) as client:
        assert client.read().code == 421
        assert client.closed()


def test_commands_before_login_do_not_keep_the_connection(serve: Callable[..., Running]) -> None:
    server = serve(timeouts=TimeoutsConfig(login=0.5, shutdown=1.0))
    with Dialogue(server.address) as client:
        wait_for(lambda: client.say("NOOP").code == 421)


def test_an_idle_session_is_closed_and_told_why(serve: Callable[..., Running]) -> None:
    server = serve(timeouts=TimeoutsConfig(idle=0.4, shutdown=1.0))
    with Dialogue(server.address) as client:
        client.login()
        assert client.read().code == 421
        assert client.closed()


def test_a_users_root_is_all_that_he_sees(serve: Callable[..., Running], root: Path) -> None:
    (root / "alice").mkdir()
    (root / "alice" / "hers").write_text("")
    (root / "secret").write_text("")
    server = serve(users=[(User(name=USER, root="/alice"), PASSWORD)])
    with Dialogue(server.address) as client:
        client.login()
        assert client.fetch("NLST") == b"hers\r\n"
        assert client.fetch("NLST /../..") == b"/../../hers\r\n"
        client.expect(550, "SIZE /../secret")


def test_home_is_where_the_session_begins(serve: Callable[..., Running], root: Path) -> None:
    (root / "in" / "box").mkdir(parents=True)
    server = serve(users=[(User(name=USER, home="/in/box"), PASSWORD)])
    with Dialogue(server.address) as client:
        assert '"/in/box"' in client.login().expect(257, "PWD")


def test_virtual_hosts_have_roots_of_their_own(serve: Callable[..., Running], root: Path) -> None:
    for name in ("one", "two"):
        (root / name).mkdir()
        (root / name / f"file-{name}").write_text("")
    server = serve(hosts={"one.example": "/one", "two.example": "/two"})
    with Dialogue(server.address) as client:
        client.expect(504, "HOST three.example")
        client.expect(220, "HOST TWO.example")
        client.login()
        assert client.fetch("NLST") == b"file-two\r\n"
        client.expect(503, "HOST one.example")


def test_rein_takes_the_host_back(serve: Callable[..., Running], root: Path) -> None:
    for name in ("one", "other"):
        (root / name).mkdir()
        (root / name / name).touch()
    server = serve(hosts={"one.example": "/one", "": "/other"})
    with Dialogue(server.address) as client:
        client.expect(220, "HOST one.example")
        assert client.login().fetch("NLST") == b"one\r\n"
        client.expect(220, "REIN")
        assert client.login().fetch("NLST") == b"other\r\n"
        client.expect(220, "REIN")
        client.expect(220, "HOST one.example")
        assert client.login().fetch("NLST") == b"one\r\n"


def test_rein_leaves_the_host_that_the_handshake_named(serve: Callable[..., Running], root: Path, tls: Tls) -> None:
    for name in ("one", "two"):
        (root / name).mkdir()
        (root / name / name).touch()
    server = serve(hosts={"localhost": "/one", "two.example": "/two"}, tls=TlsConfig(cert=tls.cert))
    with Dialogue(server.address) as client:
        client.starttls(tls.context(), protect=False)
        client.expect(220, "HOST two.example")
        assert client.login().fetch("NLST") == b"two\r\n"
        client.expect(220, "REIN")
        assert client.login().fetch("NLST") == b"one\r\n"


def test_clients_without_a_host_see_what_the_empty_name_stands_for(serve: Callable[..., Running], root: Path) -> None:
    for name in ("one", "other"):
        (root / name).mkdir()
        (root / name / name).touch()
    server = serve(hosts={"one.example": "/one", "": "/other"})
    for host, listed in (("", b"other\r\n"), ("one.example", b"one\r\n"), ("[]", b"other\r\n")):
        with Dialogue(server.address) as client:
            if host:
                client.expect(220, f"HOST {host}")
            assert client.login().fetch("NLST") == listed
    with Dialogue(server.address) as client:
        client.expect(504, "HOST unknown.example")


class _Slow(Authenticator):
    async def authenticate(self, credentials: Credentials) -> User | None:
        import asyncio

        await asyncio.sleep(0.05)
        return User(name=credentials.name) if credentials.password == credentials.name[::-1] else None


def test_an_authenticator_of_ones_own_may_wait(serve: Callable[..., Running]) -> None:
    server = serve(
        authenticator=Chain([UserTable([(User(name=USER), PASSWORD)]), _Slow()]), limits=LimitsConfig(login_delay=0.0)
    )
    with Dialogue(server.address) as client:
        client.login("bob", "bob"[::-1])
    with Dialogue(server.address) as client:
        client.expect(331, "USER bob")
        client.expect(530, "PASS bobby")


class _Faulty(Authenticator):
    async def authenticate(self, credentials: Credentials) -> User | None:
        raise RuntimeError("the directory service is down")


def test_a_fault_of_the_authenticator_lets_nobody_in(serve: Callable[..., Running]) -> None:
    server = serve(authenticator=_Faulty())
    with Dialogue(server.address) as client:
        client.expect(331, f"USER {USER}")
        client.expect(451, f"PASS {PASSWORD}")
        client.expect(530, "PWD")


class _Doorman(Hooks):
    def __init__(self) -> None:
        self.seen: list[str] = []

    async def on_connect(self, session: SessionInfo) -> None:
        self.seen.append(f"connect {session.address}")
        if session.address == "127.0.0.2":
            raise PermissionError("not from there")

    async def on_login(self, session: SessionInfo) -> None:
        self.seen.append(f"login {session.user}")
        if session.user == "mallory":
            raise PermissionError("not him")

    async def on_login_failed(self, session: SessionInfo, name: str) -> None:
        self.seen.append(f"failed {name}")

    async def on_disconnect(self, session: SessionInfo) -> None:
        self.seen.append(f"disconnect {session.user}")


def test_hooks_are_told_of_connections_and_logins_and_may_refuse(serve: Callable[..., Running]) -> None:
    doorman = _Doorman()
    server = serve(
        hooks=doorman,
        limits=LimitsConfig(login_delay=0.0),
        users=[(User(name=USER), PASSWORD), (User(name="mallory"), PASSWORD)],
    )
    with Dialogue(server.address, source="127.0.0.2", greet=False) as client:
        assert client.read().code == 421
        assert client.closed()
    with Dialogue(server.address) as client:
        client.expect(331, "USER mallory")
        client.expect(530, f"PASS {PASSWORD}")
        client.expect(331, "USER nobody")
        client.expect(530, "PASS x")
        client.login()
        client.expect(221, "QUIT")
        assert client.closed()
    server.stop()
    assert doorman.seen == [
        "connect 127.0.0.2",
        "disconnect ",
        "connect 127.0.0.1",
        "login mallory",
        "failed nobody",
        f"login {USER}",
        f"disconnect {USER}",
    ]


def test_a_session_of_a_read_only_server_writes_nothing(serve: Callable[..., Running], root: Path) -> None:
    (root / "file").write_text("x")
    server = serve(read_only=True)
    with Dialogue(server.address) as client:
        client.login()
        for command in ("DELE file", "MKD d", "RNFR file", "SITE CHMOD 600 file", "MFMT 20200101000000 file"):
            client.expect(550, command)


def test_permissions_differ_by_path(serve: Callable[..., Running], root: Path) -> None:
    (root / "pub").mkdir()
    (root / "incoming").mkdir()
    (root / "pub" / "file").write_text("x")
    permissions = Permissions("read-only", {"/incoming": "upload-only"})
    server = serve(users=[(User(name=USER, permissions=permissions), PASSWORD)])
    with Dialogue(server.address) as client:
        client.login()
        assert client.fetch("RETR /pub/file") == b"x"
        client.passive()
        client.expect(550, "STOR /pub/new")
        assert client.put("STOR /incoming/new", b"y").code == 226
        client.passive()
        client.expect(550, "RETR /incoming/new")
        client.expect(550, "LIST /incoming")
        client.expect(553, "STOR /incoming/new")
