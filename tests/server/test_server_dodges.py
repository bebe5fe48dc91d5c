"""Ways round what a user may do, by means that are each allowed."""

from __future__ import annotations

from pathlib import Path

from fastxfer.server import LimitsConfig, Permissions, User
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
