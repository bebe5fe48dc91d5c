"""Users files: how they are read, kept and taken up again."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fastxfer.server import LimitsConfig
from tests.server.conftest import Shell
from tests.server.dialogue import Dialogue, Running, wait_for


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    pytest.importorskip("argon2", reason="needs the extra `server`")
    return tmp_path / "users"


def test_passwd_keeps_a_users_file(users_file: Path, serve: Callable[..., Running], root: Path, shell: Shell) -> None:
    (root / "home").mkdir()
    shell("passwd", str(users_file), "bob", "--password-file", "-", "-o", "root=/home", stdin="first\n")
    users_file.write_text("# who may come\n" + users_file.read_text())
    assert users_file.stat().st_mode & 0o777 == 0o600
    shell("passwd", str(users_file), "bob", "--password-file", "-", stdin="second\n")
    text = users_file.read_text()
    assert text.startswith("# who may come\nbob:$argon2id$")
    assert text.endswith(":root=/home\n"), "options stay"
    assert "second" not in text
    shell("passwd", str(users_file), "carol", "--password-file", "-", "-o", "permissions=read-only", stdin="x\n")
    server = serve(users=(), users_file=str(users_file), limits=LimitsConfig(login_delay=0.0))
    with Dialogue(server.address) as client:
        client.login("bob", "second")
        client.expect(257, "MKD inside")
        assert (root / "home" / "inside").is_dir()
        client.expect(331, "USER bob")
        client.expect(530, "PASS first")
        client.login("carol", "x")
        client.expect(550, "MKD d")
    shell("passwd", str(users_file), "carol", "--delete")
    shell("passwd", str(users_file), "carol", "--delete", expect=3)
    assert "carol" not in users_file.read_text()


@pytest.mark.parametrize(
    "line",
    ["bob", "bob:", ":hash", "bob:hash:quota-bytes=lots", "bob:hash:nonsense=1", "bob:hash:root", "a:b\na:c",
     "bob:hash:permissions=fly", "bob:hash:networks=192.0.2.0/24,nowhere"],
)  # fmt: skip
def test_wrong_lines_of_a_users_file_are_named(users_file: Path, root: Path, line: str) -> None:
    from fastxfer.server.usersfile import parse_users

    with pytest.raises(ValueError, match=r"line \d"):
        parse_users("# comment\n" + line)


def test_options_of_a_users_file() -> None:
    from fastxfer.server import Permission
    from fastxfer.server.usersfile import parse_users

    entry = parse_users(
        "bob:$h:root='/my home' quota-bytes=2G max-sessions=3 require-tls networks=10.0.0.0/8,::1 "
        "permissions=list,read path:/in=all path:/in/none=none\n"
    )["bob"]
    user = entry.user
    assert (user.root, user.quota_bytes, user.max_sessions, user.require_tls) == ("/my home", 2 << 30, 3, True)
    assert user.may_come_from("10.1.2.3")
    assert user.may_come_from("::1")
    assert not user.may_come_from("192.0.2.1")
    assert user.permissions.allows("/in/x", Permission.WRITE)
    assert not user.permissions.allows("/in/none/x", Permission.LIST)
    assert not user.permissions.allows("/inn", Permission.WRITE), "directories are compared by whole names"


def test_a_changed_users_file_is_taken_up(users_file: Path, serve: Callable[..., Running]) -> None:
    from fastxfer.server import usersfile

    usersfile.change_entry(users_file, "bob", usersfile.hash_password("x"))
    server = serve(users=(), users_file=str(users_file), limits=LimitsConfig(login_delay=0.0, login_attempts=1000))
    usersfile.change_entry(users_file, "dave", usersfile.hash_password("y"))

    def in_() -> bool:
        with Dialogue(server.address) as client:
            client.expect(331, "USER dave")
            return client.say("PASS y").code == 230

    wait_for(in_)
    users_file.write_text("this is nonsense")
    assert in_(), "the last good users stay"


def test_a_mark_of_byte_order_is_no_part_of_a_name(users_file: Path) -> None:
    from fastxfer.server.usersfile import change_entry

    users_file.write_bytes(b"\xef\xbb\xbfbob:hash\r\n")
    assert change_entry(users_file, "bob", "another"), "the user is known"
    assert users_file.read_text() == "bob:another\n"


def test_a_file_that_is_changed_keeps_its_owner_and_its_place(users_file: Path) -> None:
    from fastxfer.server.usersfile import change_entry

    users_file.write_text("bob:hash\n")
    users_file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(users_file, 12345, 23456)
    before = users_file.stat()
    link = users_file.with_name("link")
    link.symlink_to(users_file.name)
    assert not change_entry(link, "new", "hash")
    assert link.is_symlink()
    after = users_file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert "new:hash" in users_file.read_text()


def test_changes_at_the_same_time_are_all_made(tmp_path: Path) -> None:
    from fastxfer.server.usersfile import change_entry, parse_users

    target = tmp_path / "users"
    names = [f"user{number}" for number in range(16)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: change_entry(target, name, "hash"), names))
    assert sorted(parse_users(target.read_text())) == sorted(names)
