"""Directories, renaming, deleting, times, modes, links, copies and hashes."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.server import Hooks, SessionInfo
from tests.server.dialogue import Dialogue, Running


def test_directories_are_made_entered_left_and_removed(client: Dialogue, root: Path) -> None:
    assert client.expect(257, "MKD new dir") == '257 "/new dir" created.'
    client.expect(250, "CWD new dir")
    assert client.expect(257, "PWD") == '257 "/new dir" is the current directory.'
    client.expect(257, "XMKD inner")
    client.expect(250, "CWD inner")
    client.expect(250, "CDUP")
    assert '"/new dir"' in client.expect(257, "XPWD")
    client.expect(550, "RMD /new dir")
    client.expect(250, "RMD inner")
    client.expect(250, "XRMD /new dir")
    assert '"/"' in client.expect(257, "PWD"), "the removed directory was left"
    assert list(root.iterdir()) == []


def test_cdup_stops_at_the_root(client: Dialogue) -> None:
    for _ in range(3):
        client.expect(250, "CDUP")
    assert '"/"' in client.expect(257, "PWD")


def test_what_is_no_directory_is_not_entered(client: Dialogue, root: Path) -> None:
    (root / "file").write_text("")
    client.expect(550, "CWD file")
    client.expect(550, "CWD nothing")
    client.expect(550, "CWD file/below")


def test_existing_names_are_not_made_again(client: Dialogue, root: Path) -> None:
    (root / "file").write_text("")
    client.expect(550, "MKD file")
    client.expect(550, "MKD /")


def test_files_are_renamed_and_moved(client: Dialogue, root: Path) -> None:
    (root / "dir").mkdir()
    (root / "old").write_text("x")
    client.expect(350, "RNFR old")
    client.expect(250, "RNTO dir/new")
    assert (root / "dir" / "new").read_text() == "x"
    client.expect(350, "RNFR dir")
    client.expect(250, "RNTO moved")
    assert (root / "moved" / "new").exists()


def test_renaming_takes_two_commands_in_a_row(client: Dialogue, root: Path) -> None:
    (root / "old").write_text("x")
    client.expect(503, "RNTO new")
    client.expect(550, "RNFR nothing")
    client.expect(503, "RNTO new")
    client.expect(350, "RNFR old")
    client.expect(200, "NOOP")
    client.expect(503, "RNTO new")
    assert (root / "old").exists()


def test_renaming_replaces_a_file_but_no_directory(client: Dialogue, root: Path) -> None:
    (root / "a").write_text("a")
    (root / "b").write_text("b")
    (root / "dir").mkdir()
    (root / "dir2").mkdir()
    client.expect(350, "RNFR a")
    client.expect(250, "RNTO b")
    assert (root / "b").read_text() == "a"
    client.expect(350, "RNFR dir")
    client.expect(550, "RNTO dir2")
    client.expect(350, "RNFR dir")
    client.expect(550, "RNTO dir/inside")
    client.expect(350, "RNFR b")
    assert client.say("RNTO dir").code == 550


def test_files_are_deleted_and_directories_are_not(client: Dialogue, root: Path) -> None:
    (root / "file").write_text("")
    (root / "dir").mkdir()
    client.expect(250, "DELE file")
    client.expect(550, "DELE file")
    client.expect(550, "DELE dir")
    client.expect(550, "RMD nothing")


def test_times_are_told_and_set(client: Dialogue, root: Path) -> None:
    (root / "file").write_text("")
    client.expect(213, "MFMT 20200229123456 file")
    assert client.expect(213, "MDTM file") == "213 20200229123456"
    assert (root / "file").stat().st_mtime == 1582979696
    client.expect(200, "SITE UTIME 202102030405 file")
    assert client.expect(213, "MDTM file") == "213 20210203040500"
    client.expect(200, "SITE UTIME file 20220101000000 20220203040506 20220101000000 UTC")
    assert client.expect(213, "MDTM file") == "213 20220203040506"
    client.expect(550, "MDTM nothing")


@pytest.mark.parametrize("stamp", ["0", "99999999999999", "20201301000000", "2020010100000x", "-0200101000000", ""])
def test_impossible_times_are_refused(client: Dialogue, root: Path, stamp: str) -> None:
    (root / "file").write_text("")
    before = (root / "file").stat().st_mtime
    assert client.say(f"MFMT {stamp} file").code in (501, 550)
    assert (root / "file").stat().st_mtime == before


def test_modes_are_set_without_the_special_bits(client: Dialogue, root: Path) -> None:
    (root / "file").write_text("")
    client.expect(200, "SITE CHMOD 640 file")
    assert (root / "file").stat().st_mode & 0o7777 == 0o640
    for mode in ("4755", "2755", "1777", "7777"):
        client.expect(550, f"SITE CHMOD {mode} file")
    for mode in ("888", "77777", "-1", "u+x", ""):
        client.expect(501, f"SITE CHMOD {mode} file")
    assert (root / "file").stat().st_mode & 0o7777 == 0o640


def test_new_files_and_directories_obey_the_umask(client: Dialogue, root: Path) -> None:
    assert client.put("STOR file", b"").code == 226
    client.expect(257, "MKD dir")
    assert (root / "file").stat().st_mode & 0o777 == 0o644
    assert (root / "dir").stat().st_mode & 0o777 == 0o755


def test_copies_are_made_on_the_server(client: Dialogue, root: Path) -> None:
    content = os.urandom(3_000_000)
    (root / "source").write_bytes(content)
    (root / "dir").mkdir()
    client.expect(503, "SITE CPTO target")
    client.expect(550, "SITE CPFR nothing")
    client.expect(350, "SITE CPFR source")
    client.expect(250, "SITE CPTO dir/target")
    assert (root / "dir" / "target").read_bytes() == content
    client.expect(350, "SITE CPFR dir")
    client.expect(550, "SITE CPTO dir2")


def test_links_stay_inside(client: Dialogue, root: Path) -> None:
    (root / "dir").mkdir()
    (root / "file").write_text("content")
    client.expect(200, "SITE SYMLINK /file dir/link")
    assert os.readlink(root / "dir" / "link") == "../file"
    assert client.fetch("RETR dir/link") == b"content"
    client.expect(200, 'SITE SYMLINK "/file" "/dir/with space"')
    client.expect(200, "SITE SYMLINK ../../../etc/passwd escape")
    client.passive()
    client.expect(550, "RETR escape")
    client.expect(250, "DELE dir/link")
    assert (root / "file").exists()


def test_a_link_made_where_a_link_leads_finds_its_target(client: Dialogue, root: Path) -> None:
    (root / "deep" / "down").mkdir(parents=True)
    (root / "file").write_text("content")
    (root / "short").symlink_to("deep/down")
    (root / "deep" / "up").symlink_to("..")
    client.expect(200, "SITE SYMLINK /file /short/link")
    assert os.readlink(root / "deep" / "down" / "link") == "../../file"
    assert client.fetch("RETR short/link") == b"content"
    client.expect(200, "SITE SYMLINK /file /deep/up/beside")
    assert os.readlink(root / "beside") == "file"


def test_writing_through_a_link_writes_to_the_file(client: Dialogue, root: Path) -> None:
    (root / "file").write_text("content")
    (root / "link").symlink_to("file")
    assert client.put("STOR link", b"new").code == 226
    assert (root / "file").read_text() == "new"
    assert (root / "link").is_symlink()


def test_hashes(client: Dialogue, root: Path) -> None:
    content = os.urandom(200_000)
    (root / "a file").write_bytes(content)
    assert client.expect(250, "XCRC a file") == f"250 {zlib.crc32(content):08X}"
    assert client.expect(250, 'XCRC "a file" 10 20') == f"250 {zlib.crc32(content[10:20]):08X}"
    assert client.expect(250, "XMD5 a file") == f"250 {hashlib.md5(content).hexdigest()}"
    assert client.expect(250, "XSHA1 a file") == f"250 {hashlib.sha1(content).hexdigest()}"
    assert client.expect(250, "XSHA256 a file") == f"250 {hashlib.sha256(content).hexdigest()}"
    assert client.expect(213, "HASH a file") == f"213 SHA-256 0-199999 {hashlib.sha256(content).hexdigest()} a file"
    client.expect(200, "OPTS HASH SHA-1")
    client.expect(350, "RANG 5 9")
    assert client.expect(213, "HASH a file") == f"213 SHA-1 5-9 {hashlib.sha1(content[5:10]).hexdigest()} a file"
    assert client.expect(213, "HASH a file").split()[2] == "0-199999", "RANG holds for one HASH"
    client.expect(350, "RANG 200000 200009")
    client.expect(501, "HASH a file")
    client.expect(501, "OPTS HASH WHIRLPOOL")
    client.expect(501, "XCRC a file 20 10")
    client.expect(501, "XCRC a file 0 200001")
    client.expect(550, "HASH nothing")


def test_room_is_told(client: Dialogue) -> None:
    assert int(client.expect(213, "AVBL").split()[1]) > 0
    client.expect(200, "ALLO 1000")
    client.expect(552, "ALLO 9999999999999999999")
    client.expect(501, "ALLO many")


def test_help_and_features_agree_with_the_table(client: Dialogue) -> None:
    verbs = {word for line in client.expect(214, "HELP").lines[1:-1] for word in line.split()}
    for verb in verbs:
        lines = client.expect(214, f"HELP {verb}").lines
        assert lines[0].startswith(f"214-Syntax: {verb}")
        assert lines[1].strip(), f"HELP {verb} says nothing"
    features = {line.split()[0] for line in client.expect(211, "FEAT").lines[1:-1]}
    assert {"EPRT", "EPSV", "MDTM", "MFMT", "MLST", "REST", "SIZE", "TVFS", "UTF8", "HOST", "HASH", "MODE"} <= features
    assert "AUTH" not in features, "there is no certificate"


def test_odds_and_ends(client: Dialogue) -> None:
    client.expect(215, "SYST")
    client.expect(200, "OPTS UTF8 ON")
    client.expect(504, "OPTS UTF8 OFF")
    client.expect(200, "STRU F")
    client.expect(504, "STRU R")
    client.expect(504, "MODE B")
    client.expect(504, "TYPE E")
    client.expect(200, "TYPE L 8")
    client.expect(202, "ACCT x")
    client.expect(502, "SMNT x")
    client.expect(200, "CLNT tests")
    client.expect(200, "LANG en-US")
    client.expect(504, "LANG tlh")
    client.expect(214, "SITE HELP")
    client.expect(504, "SITE EXEC rm -rf /")
    client.expect(500, "XYZZY")
    client.expect(501, "CWD")
    client.expect(501, "PWD now")
    client.expect(500, "")


class _Witness(Hooks):
    def __init__(self) -> None:
        self.seen: list[tuple[str, ...]] = []

    async def on_rename(self, session: SessionInfo, source: str, target: str) -> None:
        self.seen.append(("rename", session.user, source, target))

    async def on_delete(self, session: SessionInfo, path: str) -> None:
        self.seen.append(("delete", session.user, path))
        raise RuntimeError("a hook that fails changes nothing")


def test_hooks_are_told_of_renames_and_deletions(serve: Callable[..., Running], root: Path) -> None:
    (root / "file").write_text("")
    (root / "dir").mkdir()
    witness = _Witness()
    server = serve(hooks=witness)
    with Dialogue(server.address) as client:
        client.login()
        client.expect(350, "RNFR file")
        client.expect(250, "RNTO other")
        client.expect(250, "DELE other")
        client.expect(250, "RMD dir")
        client.expect(550, "DELE other")
    assert witness.seen == [
        ("rename", "alice", "/file", "/other"),
        ("delete", "alice", "/other"),
        ("delete", "alice", "/dir"),
    ]
