"""Paths and links that would lead out of the root."""

from __future__ import annotations

import os
import threading
import zlib
from pathlib import Path

import pytest

from tests.server.dialogue import (
    DEADLINE,
    Dialogue,
    Running,
)

SECRET = b"nobody may see this"


@pytest.fixture
def outside(root: Path) -> Path:
    """Files beside the root, one of them in a directory whose name begins like the root's."""
    for directory in (root.parent, root.parent / (root.name + "-evil")):
        directory.mkdir(exist_ok=True)
        (directory / "secret").write_bytes(SECRET)
    return root.parent


TRAVERSALS = [
    "../secret",
    "/../secret",
    "/../../../../secret",
    "dir/../../secret",
    "./../secret",
    "//../secret",
    "/./.././secret",
    "../root-evil/secret",
    "/../root-evil/secret",
]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_traversal_stays_inside(client: Dialogue, outside: Path, root: Path, path: str) -> None:
    (root / "dir").mkdir()
    client.passive()
    for command in ("RETR", "SIZE", "MDTM", "DELE", "RNFR", "HASH", "SITE CPFR", "MLST"):
        client.expect(550, f"{command} {path}")
    assert (outside / "secret").read_bytes() == SECRET


@pytest.mark.parametrize("path", ["..\\secret", "%2e%2e/secret", "..%2fsecret", "....//secret", ". ./secret"])
def test_other_spellings_of_the_parent_are_just_names(client: Dialogue, outside: Path, path: str) -> None:
    client.passive()
    client.expect(550, f"RETR {path}")


def test_writing_commands_cannot_leave_the_root(client: Dialogue, outside: Path, root: Path) -> None:
    (root / "file").write_text("x")
    assert client.put("STOR ../up", b"x").code == 226
    client.expect(257, "MKD ../../made")
    client.expect(350, "RNFR file")
    client.expect(250, "RNTO ../moved")
    assert sorted(entry.name for entry in root.iterdir()) == ["made", "moved", "up"]
    assert not (outside / "up").exists()
    assert not (outside / "made").exists()


def test_very_long_paths_are_refused(client: Dialogue) -> None:
    client.passive()
    assert client.say("RETR " + "a/" * 1900).code in (550, 553)
    assert client.say("MKD " + "d" * 256).code == 553
    assert client.say("CWD " + "../" * 1300).code == 250


def test_the_root_itself_cannot_be_changed(client: Dialogue, root: Path) -> None:
    for command in ("RMD /", "DELE /", "RNFR .", "RMD ..", "SITE CHMOD 777 /", "MKD /."):
        if client.say(command).code == 350:
            client.expect(550, "RNTO elsewhere")
    (root / "dir").mkdir()
    client.expect(350, "RNFR dir")
    client.expect(550, "RNTO /")
    assert root.is_dir()


def test_links_that_lead_out_are_refused(client: Dialogue, outside: Path, root: Path, resolution: str) -> None:
    (root / "absolute").symlink_to(outside / "secret")
    (root / "relative").symlink_to("../secret")
    (root / "up").symlink_to("..")
    (root / "passwd").symlink_to("/etc/passwd")
    (root / "magic").symlink_to("/proc/self/root/etc/passwd")
    (root / "chain").symlink_to("relative")
    client.passive()
    for path in ("absolute", "relative", "up/secret", "passwd", "magic", "chain"):
        for command in ("RETR", "SIZE", "HASH", "APPE", "SITE CHMOD 777"):
            client.expect(550, f"{command} {path}")
        client.expect(550, f"STOR {path}")
    client.expect(550, "CWD up")
    client.expect(550, "LIST up/")
    client.expect(550, "MKD up/made")
    client.expect(550, "STOR up/made")
    assert (outside / "secret").read_bytes() == SECRET
    assert not (outside / "made").exists()
    client.expect(250, "DELE absolute")
    assert (outside / "secret").exists(), "only the link went"


def test_links_that_stay_inside_work(client: Dialogue, root: Path, resolution: str) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_bytes(b"content")
    (root / "short").symlink_to("a/b")
    (root / "a" / "up").symlink_to("../short/file")
    assert client.fetch("RETR short/file") == b"content"
    assert client.fetch("RETR a/up") == b"content"
    client.expect(250, "CWD short")
    client.expect(250, "CDUP")
    assert '"/"' in client.expect(257, "PWD"), ".. after a link leads back the way one came"


def test_link_loops_end(client: Dialogue, root: Path, resolution: str) -> None:
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    (root / "self").symlink_to(".")
    client.passive()
    client.expect(550, "RETR one")
    client.expect(250, "CWD " + "self/" * 20)
    client.expect(550, "SIZE " + "self/" * 60 + "one")
    assert len(client.fetch("LIST -R")) < 10_000


def test_swapping_a_directory_for_a_link_wins_no_race(
    server: Running, outside: Path, root: Path, resolution: str
) -> None:
    (root / "real").mkdir()
    (root / "real" / "secret").write_bytes(b"harmless")
    (root / "link").symlink_to(outside)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for source in ("real", "link"):
                os.rename(root / source, root / "d")
                os.rename(root / "d", root / source)

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen = set()
    try:
        with Dialogue(server.address) as client:
            client.login()
            for _ in range(400):
                reply = client.say("XCRC d/secret")
                seen.add(str(reply))
    finally:
        stop.set()
        swapper.join(DEADLINE)
    assert f"250 {zlib.crc32(SECRET):08X}" not in seen
