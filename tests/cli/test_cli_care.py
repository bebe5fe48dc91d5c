"""The commands do no harm: to terminals, to files that happen to share a name, to what they cannot see."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastxfer.cli import _app
from fastxfer.cli._exit_codes import ExitCode
from fastxfer.cli._output import harmless
from fastxfer.fdfs.node import Fault, Node

UPLOAD = 11
STEERING = "\x1b]0;owned\x07\x9b2J\u202e\nfake"
pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")


def run(*arguments: object) -> int:
    return _app.run([str(argument) for argument in arguments])


def on_a_terminal(*arguments: object) -> str:
    """What a person sees of a command, standard error included."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-W", "ignore", "-m", "fastxfer", *map(str, arguments)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        pieces = []
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:
                # This is how Linux tells that nobody has the terminal open any more.
                break
            if not piece:
                break
            pieces.append(piece)
        process.wait(60)
    os.close(ours)
    return b"".join(pieces).decode()


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    with Node(tmp_path / "node") as node:
        monkeypatch.setenv("FASTXFER_TRACKERS", node.tracker_addrs[0])
        yield node


# Names that steer terminals


@pytest.mark.parametrize("command", [("ls",), ("ls", "-l"), ("tree",)])
def test_names_cannot_steer_a_terminal(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / STEERING).touch()
    shown = on_a_terminal(*command, tmp_path)
    # The colours are our own.
    for steering in ("\x1b]", "\x07", "\x9b", "\u202e", "\nfake"):
        assert steering not in shown
    assert "owned" in shown


def test_what_is_piped_gets_names_as_they_are(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / STEERING).touch()
    assert run("ls", tmp_path) == ExitCode.OK
    assert capfd.readouterr().out == STEERING + "\n"


def test_errors_cannot_steer_a_terminal(tmp_path: Path, node: Node, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list").write_text("group1/M00/00/00/\x1b[2Jnonsense\tname\x1b[2J\n")
    assert run("fdfs", "get", tmp_path / "list", "-d", tmp_path / "out") != ExitCode.OK
    shown = capfd.readouterr().err
    assert "\x1b" not in shown
    assert "\\x1b[2J" in shown


def test_harmless_names_stay_what_they_are() -> None:
    assert harmless("ünï côdé 文件 🙂 a\\b") == "ünï côdé 文件 🙂 a\\b"
    assert harmless("a\r\tb\x7f\u2028\u2066") == "a\\x0d\\x09b\\x7f\\u2028\\u2066"


# Files of the same name


def test_files_of_one_name_do_not_replace_each_other(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same").write_text(folder)
    out = tmp_path / "out"
    out.mkdir()
    for command in (("get", "-d", out), ("put",)):
        files = [tmp_path / "a" / "same", tmp_path / "b" / "same", *([out] if command == ("put",) else [])]
        assert run(*command, *files) == ExitCode.USAGE
        assert "2 of the files would be saved as 'same'" in capfd.readouterr().err
    assert list(out.iterdir()) == []


def test_downloads_of_one_name_do_not_replace_each_other(
    tmp_path: Path, node: Node, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run("fdfs", "download", "group1/M00/00/00/x.txt", "group2/M00/00/00/x.txt", "-d", tmp_path / "out")
    assert code == ExitCode.USAGE
    assert "would be saved as 'x.txt'" in capfd.readouterr().err


# Local trees


def test_links_into_the_directory_they_lie_in_are_followed_once(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").write_text("x")
    (source / "self").symlink_to(source)
    (source / "sub" / "up").symlink_to(source)
    (source / "beside").symlink_to(source / "sub")
    assert run("sync", source, tmp_path / "target", "--follow-links") == ExitCode.OK
    found = {str(path.relative_to(tmp_path / "target")) for path in (tmp_path / "target").rglob("*")}
    assert found == {"sub", "sub/file", "beside", "beside/file"}
    assert run("verify", source, tmp_path / "target") == ExitCode.OK


def test_a_directory_is_not_copied_into_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("x")
    for target in (source / "backup", source, tmp_path):
        assert run("mirror", source, target) == ExitCode.USAGE
        assert "lies in the other" in capfd.readouterr().err
    assert [path.name for path in source.iterdir()] == ["file"]


def test_what_cannot_be_listed_fails_and_nothing_is_deleted_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source, target):
        (folder / "closed").mkdir(parents=True)
        (folder / "closed" / "kept").write_text("x")
    (source / "new").write_text("x")
    (target / "extra").write_text("x")
    scandir = os.scandir

    def refused(path: str | os.PathLike[str]) -> object:
        if os.fspath(path) == str(source / "closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert run("mirror", source, target) != ExitCode.OK
    assert f"{source / 'closed'}: Permission denied" in capfd.readouterr().err
    monkeypatch.undo()
    assert (target / "new").exists()
    assert (target / "closed" / "kept").exists()
    assert (target / "extra").exists(), "a failure came before"


@pytest.mark.skipif(os.name == "nt", reason="permissions are another thing there")
def test_local_copies_have_the_permissions_they_should(tmp_path: Path) -> None:
    for name in ("new", "old"):
        (tmp_path / name).write_text(name)
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").touch()
    (target / "old").chmod(0o640)
    before = os.umask(0o077)
    try:
        assert run("put", tmp_path / "new", tmp_path / "old", target) == ExitCode.OK
    finally:
        os.umask(before)
    assert stat.S_IMODE((target / "new").stat().st_mode) == 0o600
    assert stat.S_IMODE((target / "old").stat().st_mode) == 0o640
    assert (target / "old").read_text() == "old"


def test_a_name_as_long_as_names_can_be_is_copied(tmp_path: Path) -> None:
    name = "n" * 255
    (tmp_path / name).write_text("x")
    assert run("get", tmp_path / name, "-d", tmp_path / "out") == ExitCode.OK
    assert (tmp_path / "out" / name).read_text() == "x"


# FastDFS


def test_the_list_has_each_file_id_as_soon_as_its_file_is_stored(tmp_path: Path, node: Node) -> None:
    """A process that is killed must not take file IDs with it that nobody else knows."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        (source / f"{number}").write_text(f"{number}")
    listed = tmp_path / "list"
    stalled = node.inject(Fault(command=UPLOAD, skip=2, times=None, stall=True))
    command = [sys.executable, "-m", "fastxfer", "fdfs", "put", str(source), "--list", str(listed), "-j", "1"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 60
        while not stalled.hits and time.monotonic() < end:
            time.sleep(0.02)
        lines = listed.read_text().splitlines()
        process.kill()
    assert [line.partition("\t")[2] for line in lines] == ["0", "1"]


def test_standard_input_is_appended_written_over_and_made_a_slave_of(tmp_path: Path, node: Node) -> None:
    def piped(*arguments: str, data: bytes) -> str:
        command = [sys.executable, "-W", "ignore", "-m", "fastxfer", "fdfs", *arguments]
        done = subprocess.run(command, input=data, capture_output=True, timeout=60, check=True)
        return done.stdout.decode().strip()

    appender = piped("upload", "-", "--appender", data=b"begin ")
    piped("append", appender, "-", data=b"end")
    piped("modify", appender, "0", "-", data=b"BEGIN")
    slave = piped("upload", "-", "--slave-of", piped("upload", "-", data=b"master"), "--prefix", "_s", data=b"slave")
    for file_id, content in ((appender, b"BEGIN end"), (slave, b"slave")):
        assert run("fdfs", "download", file_id, "-o", tmp_path / "out") == ExitCode.OK
        assert (tmp_path / "out").read_bytes() == content
