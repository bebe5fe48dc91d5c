"""Permissions by path: what is locked stays locked, whatever way is tried."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastxfer.server import Permissions, User
from tests.server.dialogue import (
    PASSWORD,
    USER,
    Dialogue,
    Running,
)


def test_a_directory_without_permission_is_an_error_and_not_the_end(serve: Callable[..., Running], root: Path) -> None:
    (root / "locked").mkdir()
    server = serve(users=[(User(name=USER, permissions=Permissions("all", {"/locked": "none"})), PASSWORD)])
    with Dialogue(server.address) as client:
        client.login()
        for command in ("CWD locked", "MLST locked/x", "SIZE locked/x", "DELE locked/x", "RMD locked", "RNFR locked"):
            client.expect(550, command)
        client.passive()
        client.expect(550, "LIST locked")
        client.expect(550, "STOR locked/x")
        client.expect(200, "NOOP")


def test_moving_a_directory_does_not_free_what_is_locked_inside(serve: Callable[..., Running], root: Path) -> None:
    (root / "open" / "locked").mkdir(parents=True)
    (root / "open" / "locked" / "file").write_text("x")
    permissions = Permissions("all", {"/open/locked": "list"})
    server = serve(users=[(User(name=USER, permissions=permissions), PASSWORD)])
    with Dialogue(server.address) as client:
        client.login()
        assert client.say("RNFR open").code == 550 or client.say("RNTO elsewhere").code == 550
    assert (root / "open" / "locked" / "file").exists()


def test_a_drop_box_takes_files_and_shows_none(serve: Callable[..., Running], root: Path) -> None:
    (root / "drop").mkdir()
    permissions = Permissions("list", {"/drop": "upload-only"})
    server = serve(users=[(User(name=USER, permissions=permissions), PASSWORD)])
    with Dialogue(server.address) as client:
        client.login()
        assert client.put("STOR drop/mine", b"first").code == 226
        client.passive()
        client.expect(553, "STOR drop/mine")
        for command in ("LIST drop", "RETR drop/mine", "NLST drop/*x", "APPE drop/mine"):
            client.expect(550, command)
        for command in ("SIZE drop/mine", "DELE drop/mine", "MLST drop/mine", "RNFR drop/mine", "MKD drop/d"):
            client.expect(550, command)
    assert (root / "drop" / "mine").read_bytes() == b"first"


def test_site_copies_need_permission_at_both_ends(serve: Callable[..., Running], root: Path) -> None:
    (root / "in").mkdir()
    (root / "out").mkdir()
    (root / "in" / "file").write_text("x")
    permissions = Permissions("list", {"/in": "upload-only", "/out": "read-only"})
    server = serve(users=[(User(name=USER, permissions=permissions), PASSWORD)])
    with Dialogue(server.address) as client:
        client.expect(530, "SITE CPFR in/file")
        client.login()
        client.expect(550, "SITE CPFR in/file")
        (root / "out" / "file").write_text("y")
        client.expect(350, "SITE CPFR out/file")
        client.expect(550, "SITE CPTO out/copy")
        client.expect(350, "SITE CPFR out/file")
        client.expect(250, "SITE CPTO in/copy")
