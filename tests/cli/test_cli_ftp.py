"""The URL commands on FTP servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fastxfer.cli._exit_codes import ExitCode
from tests.cli.calling import INTERRUPTIBLE, Cli, files_in, piped, wait_until


def test_put_and_get_a_file(cli: Cli, url: str, root: Path, tree: Path, tmp_path: Path) -> None:
    assert cli.ok("put", tree / "a.txt", f"{url}/new/dir/b.txt") == "/new/dir/b.txt"
    assert (root / "new/dir/b.txt").read_bytes() == b"aaa"
    target = tmp_path / "back.txt"
    assert cli.ok("get", f"{url}/new/dir/b.txt", "-o", target) == str(target)
    assert target.read_bytes() == b"aaa"


def test_put_into_a_directory(cli: Cli, url: str, root: Path, tree: Path) -> None:
    cli.ok("put", tree / "a.txt", f"{url}/by-slash/")
    (root / "there").mkdir()
    cli.ok("put", tree / "a.txt", f"{url}/there")
    cli.ok("put", tree / "a.txt", tree / "zero", f"{url}/several")
    assert set(files_in(root)) == {"by-slash/a.txt", "there/a.txt", "several/a.txt", "several/zero"}


def test_get_several_by_pattern(cli: Cli, url: str, root: Path, tmp_path: Path) -> None:
    for name in ("one.txt", "two.txt", "three.bin"):
        (root / name).write_bytes(name.encode())
    out = tmp_path / "out"
    documents = cli.json("get", f"{url}/*.txt", "-d", out)
    assert {document["path"] for document in documents} == {str(out / "one.txt"), str(out / "two.txt")}
    assert all(document["size"] == 7 and document["seconds"] >= 0 for document in documents)
    assert files_in(out) == {"one.txt": b"one.txt", "two.txt": b"two.txt"}
    assert cli.run("get", f"{url}/*.nothing", "-d", out)[0] == ExitCode.NOT_FOUND


def test_a_failure_among_several_does_not_stop_the_rest(cli: Cli, url: str, root: Path, tmp_path: Path) -> None:
    (root / "there").write_bytes(b"x")
    code, output = cli.run("get", f"{url}/there", f"{url}/missing", "-d", tmp_path / "out")
    assert code == ExitCode.FAILED
    assert output.splitlines() == [str(tmp_path / "out/there")]
    assert "missing" in cli.error
    assert cli.run("get", f"{url}/missing", "-d", tmp_path / "out")[0] == ExitCode.NOT_FOUND
    assert files_in(tmp_path / "out") == {"there": b"x"}


def test_no_clobber_and_preserve(cli: Cli, url: str, root: Path, tmp_path: Path) -> None:
    (root / "f").write_bytes(b"new")
    os.utime(root / "f", (1_000_000_000, 1_000_000_000))
    target = tmp_path / "f"
    target.write_bytes(b"old")
    assert cli.run("get", f"{url}/f", "-o", target, "-n")[0] != ExitCode.OK
    assert target.read_bytes() == b"old"
    cli.ok("get", f"{url}/f", "-o", target, "-p")
    assert (target.read_bytes(), target.stat().st_mtime) == (b"new", 1_000_000_000)


def test_verified_transfers_tell_what_was_compared(cli: Cli, url: str, tree: Path, tmp_path: Path) -> None:
    [document] = cli.json("put", tree / "sub/b.bin", f"{url}/b.bin", "--verify")
    assert document["verified"] not in ("", "size")
    [document] = cli.json("get", f"{url}/b.bin", "-o", tmp_path / "b", "--verify")
    assert document["verified"] not in ("", "size")


def test_a_tree_goes_up_and_comes_down(cli: Cli, url: str, root: Path, tree: Path, tmp_path: Path) -> None:
    cli.ok("put", "-r", tree, f"{url}/copy")
    assert files_in(root / "copy") == files_in(tree)
    assert (root / "copy" / "empty").is_dir()
    assert "4 download" in cli.ok("get", "-r", f"{url}/copy", "-d", tmp_path / "out")
    assert files_in(tmp_path / "out" / "copy") == files_in(tree)
    documents = cli.json("get", "-r", "-c", f"{url}/copy", "-d", tmp_path / "out")
    assert documents[-1]["summary"]
    assert documents[-1]["failed"] == 0


def test_ls_tree_stat_and_cat(cli: Cli, url: str, root: Path, tree: Path) -> None:
    cli.ok("put", "-r", tree, f"{url}/t")
    assert cli.ok("ls", f"{url}/t").splitlines() == ["a.txt", "empty/", "sub/", "zero"]
    long = cli.ok("ls", "-l", f"{url}/t")
    assert "drwx" in long
    assert " 3 " in long
    listed = {entry["name"]: entry for entry in cli.json("ls", f"{url}/t")}
    assert (listed["a.txt"]["type"], listed["a.txt"]["size"], listed["sub"]["type"]) == ("file", 3, "dir")
    assert [entry["name"] for entry in cli.json("ls", f"{url}/t/a.txt")] == ["a.txt"]
    shown = cli.ok("tree", f"{url}/t")
    assert "ünï côdé.txt" in shown
    assert "3 directories, 4 files" in shown
    paths = [entry["path"] for entry in cli.json("tree", f"{url}/t")]
    assert paths.index("sub") < paths.index("sub/deep/ünï côdé.txt")
    assert "deep" not in " ".join(entry["path"] for entry in cli.json("tree", f"{url}/t", "--depth", 1))
    [told] = cli.json("stat", f"{url}/t/sub/b.bin")
    assert (told["size"], told["type"]) == (100_000, "file")
    assert cli.run("stat", f"{url}/nothing")[0] == ExitCode.NOT_FOUND


def test_rm_mv_and_mkdir(cli: Cli, url: str, root: Path) -> None:
    cli.ok("mkdir", "-p", f"{url}/x/y")
    cli.ok("mkdir", f"{url}/x/z")
    assert cli.run("mkdir", f"{url}/x/z")[0] != ExitCode.OK
    for number in range(3):
        (root / "x" / f"{number}.tmp").write_bytes(b"x")
    cli.ok("mv", f"{url}/x/0.tmp", f"{url}/x/y")
    cli.ok("mv", f"{url}/x/1.tmp", f"{url}/x/renamed")
    assert set(files_in(root)) == {"x/y/0.tmp", "x/renamed", "x/2.tmp"}
    cli.ok("rm", f"{url}/x/*.tmp")
    assert set(files_in(root)) == {"x/y/0.tmp", "x/renamed"}
    assert cli.run("rm", f"{url}/x/missing")[0] == ExitCode.NOT_FOUND
    assert cli.json("rm", "-f", f"{url}/x/missing")[0]["removed"] == 0
    assert cli.run("rm", f"{url}/x")[0] != ExitCode.OK
    cli.ok("rm", "-r", f"{url}/x")
    assert list(root.iterdir()) == []


def test_sync_moves_what_differs_and_can_tell_beforehand(cli: Cli, url: str, root: Path, tree: Path) -> None:
    told = cli.ok("sync", tree, f"{url}/t", "--dry-run")
    assert told.startswith("would be done")
    assert not (root / "t").exists()
    cli.ok("sync", tree, f"{url}/t")
    assert files_in(root / "t") == files_in(tree)
    (tree / "a.txt").write_bytes(b"changed")
    (root / "t" / "extra").write_bytes(b"x")
    [*items, summary] = cli.json("sync", tree, f"{url}/t")
    assert [item["action"] for item in items if item["action"] != "skip"] == ["upload"]
    assert (summary["actions"]["upload"], summary["failed"]) == (1, 0)
    cli.ok("sync", tree, f"{url}/t", "--delete")
    assert files_in(root / "t") == files_in(tree)


def test_mirror_down_with_filters(cli: Cli, url: str, root: Path, tree: Path, tmp_path: Path) -> None:
    cli.ok("mirror", tree, f"{url}/t")
    out = tmp_path / "out"
    out.mkdir()
    (out / "stale").write_bytes(b"x")
    cli.ok("mirror", f"{url}/t", out, "--exclude", "*.bin")
    assert set(files_in(out)) == {"a.txt", "zero", "sub/deep/ünï côdé.txt"}
    assert cli.ok("mirror", f"{url}/t", out, "-v").splitlines()[0].startswith("download\t")


def test_verify_tells_differences_by_its_exit_code(cli: Cli, url: str, root: Path, tree: Path) -> None:
    cli.ok("put", "-r", tree, f"{url}/t")
    cli.ok("verify", tree, f"{url}/t", "--checksum")
    (root / "t" / "a.txt").write_bytes(b"aaX")
    cli.ok("verify", tree, f"{url}/t")
    assert cli.run("verify", tree, f"{url}/t", "--checksum")[0] == ExitCode.MISMATCH
    (root / "t" / "zero").unlink()
    assert cli.run("verify", tree, f"{url}/t")[0] == ExitCode.MISMATCH


def test_standard_input_and_output(cli: Cli, url: str, root: Path) -> None:
    content = bytes(range(256)) * 500
    assert piped("put", "-", f"{url}/piped.bin", stdin=content).returncode == 0
    assert (root / "piped.bin").read_bytes() == content
    assert piped("cat", f"{url}/piped.bin", f"{url}/piped.bin").stdout == content * 2
    assert cli.run("put", "-", f"{url}/")[0] == ExitCode.USAGE
    (root / "text").write_bytes(b"hello\n")
    assert cli.run("get", f"{url}/text", "-o", "-") == (0, "hello\n")


def test_a_rate_limit_is_kept(cli: Cli, url: str, root: Path, tmp_path: Path) -> None:
    (root / "f").write_bytes(bytes(600_000))
    [document] = cli.json("get", f"{url}/f", "-o", tmp_path / "f", "--rate", "400k")
    assert document["seconds"] > 0.4


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("count", [1, 3])
def test_ctrl_c_ends_transfers_and_leaves_nothing(cli: Cli, url: str, root: Path, tmp_path: Path, count: int) -> None:
    for number in range(count):
        (root / f"{number}.big").write_bytes(bytes(8 << 20))
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        INTERRUPTIBLE,
        "get",
        f"{url}/*.big",
        "-d",
        str(out),
        "--rate",
        "100k",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            wait_until(lambda: out.exists() and len(list(out.iterdir())) == count)
            process.send_signal(signal.SIGINT)
            shown, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, shown) == (ExitCode.INTERRUPTED, b"")
    assert error.decode().strip() == "fastxfer: interrupted"
    assert list(out.iterdir()) == []


def test_the_exit_code_tells_which_side_of_a_tree_is_missing(cli: Cli, url: str, root: Path, tree: Path) -> None:
    (root / "there").mkdir()
    (root / "file").write_bytes(b"x")
    for command in ("verify", "sync", "mirror"):
        assert cli.run(command, tree / "missing", f"{url}/there")[0] == ExitCode.LOCAL
    assert cli.run("sync", tree / "a.txt", f"{url}/there")[0] == ExitCode.LOCAL
    assert cli.run("sync", f"{url}/there", tree / "a.txt")[0] == ExitCode.LOCAL
    assert cli.run("verify", tree, f"{url}/missing")[0] == ExitCode.NOT_FOUND
    assert cli.run("tree", f"{url}/missing")[0] == ExitCode.NOT_FOUND
    assert cli.run("tree", f"{url}/file")[0] == ExitCode.FAILED
    assert "not a directory" in cli.error
