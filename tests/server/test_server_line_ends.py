"""Names that hold what Unicode takes for the end of a line: nowhere do they begin one."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.server import LogConfig, TimeoutsConfig
from fastxfer.server.usersfile import change_entry, parse_users
from tests.server.dialogue import Dialogue, Running, reset, wait_for

LINE_ENDS = ["\x85", "\u2028", "\u2029"]
"""Those of str.splitlines that a path may hold; the others are control characters, which it may not."""


@pytest.fixture(params=LINE_ENDS, ids=ascii)
def name(request: pytest.FixtureRequest) -> str:
    return f"a{request.param}213 forged"


def test_stat_shows_a_name_in_one_line(client: Dialogue, root: Path, name: str) -> None:
    (root / name).touch()
    for command in ("STAT /", f"STAT {name}"):
        reply = client.say(command)
        assert len(reply.lines) == 3
        assert reply.lines[1].endswith(name)


def test_single_replies_stay_single(client: Dialogue, root: Path, name: str) -> None:
    client.expect(257, f"MKD {name}")
    client.expect(250, f"CWD {name}")
    assert client.expect(257, "PWD").lines == [f'257 "/{name}" is the current directory.']
    client.expect(250, "CDUP")
    assert len(client.expect(250, f"MLST {name}").lines) == 3
    assert len(client.expect(213, f"MFMT 20200101000000 {name}").lines) == 1
    client.expect(501, f"HELP {name}")


def test_logs_show_a_name_in_one_line(
    serve: Callable[..., Running], root: Path, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "fastxfer.server")
    xferlog, log = tmp_path / "xferlog", tmp_path / "log.json"
    server = serve(
        log=LogConfig(xferlog=str(xferlog), json=str(log)), timeouts=TimeoutsConfig(data_stall=5, shutdown=1)
    )
    with Dialogue(server.address) as client:
        client.login()
        assert client.put(f"STOR {name}", b"x").code == 226
        reset(client.data_after(f"STOR {name}"))
        assert client.read().code == 426
    wait_for(lambda: log.read_text().count("\n") == 2 and xferlog.read_text().count("\n") == 2)
    assert [json.loads(line)["path"] for line in log.read_text().splitlines()] == [f"/{name}"] * 2
    assert len(xferlog.read_text().splitlines()) == 2
    messages = [record.getMessage() for record in caplog.records if "failed" in record.getMessage()]
    assert messages
    assert all(len(message.splitlines()) == 1 for message in messages)


@pytest.mark.parametrize("separator", LINE_ENDS, ids=ascii)
def test_a_users_file_has_no_more_lines_than_line_feeds(tmp_path: Path, separator: str) -> None:
    file = tmp_path / "users"
    change_entry(file, "bob", "$hash", [f"root=/a{separator}evil:$hash"])
    change_entry(file, f"al{separator}ice", "$hash")
    users = parse_users(file.read_text(encoding="utf-8"))
    assert list(users) == ["bob", f"al{separator}ice"]
    assert users["bob"].user.root == f"/a{separator}evil:$hash"
    change_entry(file, "bob", None)
    assert list(parse_users(file.read_text(encoding="utf-8"))) == [f"al{separator}ice"]


@pytest.mark.parametrize("end", ["\n", "\r"], ids=ascii)
def test_no_option_of_a_user_begins_a_line_of_the_users_file(tmp_path: Path, end: str) -> None:
    with pytest.raises(ValueError, match="line"):
        change_entry(tmp_path / "users", "bob", "$hash", [f"root=/a{end}evil"])
    assert not (tmp_path / "users").exists()


def test_a_users_file_may_have_windows_line_ends() -> None:
    assert list(parse_users("# all\r\nbob:$hash:require-tls\r\n\r\nalice:$hash\r\n")) == ["bob", "alice"]
