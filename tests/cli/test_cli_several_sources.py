"""Commands given several things at once: files and directories, patterns, names that are none; standard input."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fastxfer.cli._exit_codes import ExitCode
from tests.cli.calling import INTERRUPTIBLE, Cli, files_in, piped, wait_until


@pytest.fixture
def odd_names(root: Path) -> list[str]:
    names = ["a", "a#b", "q?x", "st*r", "star", "per%41", "semi;type=i", "m [20].x", "-dash"]
    for name in names:
        (root / name).write_text(name)
    return names


def test_a_question_mark_and_a_hash_belong_to_the_path(cli: Cli, url: str, root: Path, odd_names: list[str]) -> None:
    assert cli.ok("cat", f"{url}/a#b") == "a#b"
    assert cli.ok("cat", f"{url}/q?x", f"{url}/semi;type=i", f"{url}/-dash") == "q?xsemi;type=i-dash"
    assert cli.ok("cat", f"{url}/st?r") == "st*rstar"
    cli.ok("rm", f"{url}/a#b")
    assert set(files_in(root)) == {*odd_names} - {"a#b"}


def test_what_is_encoded_is_no_wildcard_and_what_matches_nothing_may_be_a_name(
    cli: Cli, url: str, root: Path, odd_names: list[str]
) -> None:
    assert cli.ok("cat", f"{url}/st%2Ar", f"{url}/q%3Fx", f"{url}/m%20%5B20].x") == "st*rq?xm [20].x"
    assert cli.ok("cat", f"{url}/m [20].x") == "m [20].x"
    assert cli.run("cat", f"{url}/m [21].x")[0] == ExitCode.NOT_FOUND
    cli.ok("rm", f"{url}/st%2Ar")
    assert set(files_in(root)) == {*odd_names} - {"st*r"}


def test_sources_are_told_as_urls_that_mean_them(cli: Cli, url: str, odd_names: list[str], tmp_path: Path) -> None:
    documents = cli.json("get", f"{url}/*", "-d", tmp_path / "one")
    assert len(documents) == len(odd_names)
    for document in documents:
        assert cli.ok("cat", document["source"]) == Path(document["path"]).name


def test_files_and_directories_are_got_together(cli: Cli, url: str, root: Path, tmp_path: Path) -> None:
    (root / "d").mkdir()
    (root / "d" / "inside").write_bytes(b"1")
    (root / "beside").write_bytes(b"2")
    cli.ok("get", "-r", f"{url}/*", "-d", tmp_path / "all")
    assert files_in(tmp_path / "all") == {"d/inside": b"1", "beside": b"2"}
    sources = [f"{url}/missing", f"{url}/d", f"{url}/missing*", f"{url}/beside"]
    code, _ = cli.run("get", "-r", *sources, "-d", tmp_path / "some")
    assert code == ExitCode.FAILED
    assert files_in(tmp_path / "some") == {"d/inside": b"1", "beside": b"2"}
    assert len(cli.error.splitlines()) == 2
    assert cli.run("get", "-r", f"{url}/missing", "-d", tmp_path)[0] == ExitCode.NOT_FOUND


def test_files_and_directories_are_put_together(cli: Cli, url: str, root: Path, tree: Path) -> None:
    code, _ = cli.run("put", "-r", tree / "sub", tree / "missing", tree / "a.txt", f"{url}/up")
    assert code == ExitCode.FAILED
    assert "missing" in cli.error
    assert set(files_in(root)) == {"up/sub/b.bin", "up/sub/deep/ünï côdé.txt", "up/a.txt"}
    cli.ok("put", "-r", tree / "a.txt", f"{url}/alone")
    assert (root / "alone").read_bytes() == b"aaa"
    (tree / "empty" / "a.txt").mkdir()
    assert cli.run("put", "-r", tree / "empty" / "a.txt", tree / "a.txt", f"{url}/up")[0] == ExitCode.USAGE


def test_what_cannot_be_shown_does_not_stop_the_rest(cli: Cli, url: str, root: Path) -> None:
    (root / "d").mkdir()
    (root / "d" / "f").write_text("text\n")
    code, output = cli.run("ls", f"{url}/missing", f"{url}/x*", f"{url}/d")
    assert (code, output) == (ExitCode.FAILED, "f\n")
    assert len(cli.error.splitlines()) == 2
    assert cli.run("cat", f"{url}/missing", f"{url}/d/f") == (ExitCode.FAILED, "text\n")
    assert cli.run("cat", f"{url}/missing", f"{url}/x*") == (ExitCode.NOT_FOUND, "")


def test_removing_what_no_pattern_finds(cli: Cli, url: str, root: Path) -> None:
    (root / "f").write_bytes(b"x")
    assert cli.run("rm", f"{url}/x*", f"{url}/f")[0] == ExitCode.FAILED
    assert files_in(root) == {}
    cli.ok("rm", "-f", f"{url}/x*", f"{url}/f")


def test_standard_input_is_stored_as_a_file_would_be(url: str, cli: Cli, root: Path) -> None:
    assert piped("put", "-", f"{url}/new/dir/f", stdin=b"1").returncode == 0
    assert (root / "new/dir/f").read_bytes() == b"1"
    assert piped("put", "-n", "-", f"{url}/new/dir/f", stdin=b"2").returncode != 0
    assert (root / "new/dir/f").read_bytes() == b"1"
    assert piped("put", "-c", "-", f"{url}/new/dir/f", stdin=b"2").returncode == ExitCode.USAGE
    local = root / "local"
    assert piped("put", "-", local, stdin=b"3").returncode == 0
    assert piped("put", "-n", "-", local, stdin=b"4").returncode == ExitCode.LOCAL
    assert local.read_bytes() == b"3"


@pytest.mark.skipif(os.name != "posix", reason="pipes have names on POSIX only")
def test_what_takes_bytes_as_they_come_is_written_to(cli: Cli, url: str, root: Path, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    (root / "f").write_bytes(content)
    pipe, null = tmp_path / "pipe", tmp_path / "null"
    os.mkfifo(pipe)
    null.symlink_to(os.devnull)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_bytes)
        [document] = cli.json("get", f"{url}/f", "-o", pipe)
        assert read.result(60) == content
    assert (document["path"], document["size"]) == (str(pipe), len(content))
    cli.ok("get", f"{url}/f", "-o", null)
    assert null.is_symlink()
    assert piped("get", f"{url}/f", "-o", "/dev/fd/1").stdout.startswith(content)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_the_wait_for_standard_input(url: str, cli: Cli, root: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", INTERRUPTIBLE, "put", "-", f"{url}/f"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        try:
            os.write(process.stdin.fileno(), bytes(300))
            wait_until(lambda: any(path.stat().st_size == 300 for path in root.iterdir()))
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == ExitCode.INTERRUPTED
        finally:
            process.kill()
