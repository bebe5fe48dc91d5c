"""The URL commands on local paths."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastxfer.cli._exit_codes import ExitCode
from tests.cli.calling import Cli, files_in


def test_local_paths(cli: Cli, tree: Path, tmp_path: Path) -> None:
    assert cli.ok("ls", tree).splitlines() == ["a.txt", "empty/", "sub/", "zero"]
    assert "4 files" in cli.ok("tree", tree)
    assert cli.json("stat", tree / "a.txt")[0]["size"] == 3
    cli.ok("get", tree / "a.txt", "-d", tmp_path / "copies")
    cli.ok("put", tree / "zero", tmp_path / "copies")
    assert files_in(tmp_path / "copies") == {"a.txt": b"aaa", "zero": b""}
    cli.ok("mkdir", "-p", tmp_path / "m" / "n")
    cli.ok("mv", tmp_path / "copies" / "zero", tmp_path / "m" / "n")
    assert cli.json("rm", "-r", tmp_path / "m")[0]["removed"] == 3
    assert cli.run("rm", tmp_path / "m")[0] == ExitCode.LOCAL
    assert cli.run("ls", tmp_path / "missing")[0] == ExitCode.LOCAL
    assert cli.ok("ls", f"file://{tree}").splitlines()[0] == "a.txt"


def test_a_local_copy_that_cannot_be_finished_leaves_nothing(cli: Cli, tree: Path, tmp_path: Path) -> None:
    assert cli.run("get", tree / "a.txt", "-o", tree / "a.txt")[0] != ExitCode.OK
    assert cli.run("put", tree, tmp_path / "x")[0] == ExitCode.LOCAL
    (tmp_path / "there").write_bytes(b"old")
    assert cli.run("get", "-n", tree / "a.txt", "-o", tmp_path / "there")[0] == ExitCode.LOCAL
    assert (tmp_path / "there").read_bytes() == b"old"
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_local_trees_are_copied_synced_mirrored_and_verified(cli: Cli, tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cli.ok("get", "-r", tree, "-d", out)
    copy = out / "tree"
    assert files_in(copy) == files_in(tree)
    assert (copy / "empty").is_dir()
    cli.ok("verify", tree, copy, "--checksum")
    (copy / "a.txt").write_bytes(b"aaX")
    (copy / "extra").write_bytes(b"x")
    os.utime(copy / "a.txt", (tree / "a.txt").stat()[7:9])
    assert cli.run("verify", tree, copy)[0] == ExitCode.MISMATCH
    assert "extra: only there" in cli.error
    assert cli.ok("sync", tree, copy, "--compare", "checksum", "--dry-run").startswith("would be done: 1 copy, 3 skip")
    [*items, summary] = cli.json("sync", tree, copy, "--compare", "checksum")
    assert [item["local"] for item in items if item["action"] == "copy"] == [str(tree / "a.txt")]
    assert summary["bytes"] == 3
    cli.ok("mirror", tree, copy)
    assert files_in(copy) == files_in(tree)
    (copy / "stale" / "deep").mkdir(parents=True)
    (copy / "stale" / "deep" / "x").write_bytes(b"x")
    cli.ok("mirror", tree, copy, "--exclude", "stale/")
    assert (copy / "stale").exists()
    cli.ok("mirror", tree, copy, "--dry-run")
    assert (copy / "stale").exists()
    assert "delete\t" in cli.ok("mirror", tree, copy, "-v")
    assert files_in(copy) == files_in(tree)
    cli.ok("verify", tree / "a.txt", copy / "a.txt")


@pytest.mark.parametrize(
    ("compare", "moved"),
    [("newer", False), ("exact", True), ("size", False), ("newer-only", False), ("checksum", False), ("always", True)],
)
def test_an_older_local_source_of_the_same_content(cli: Cli, tmp_path: Path, compare: str, moved: bool) -> None:
    for name, moment in (("source", 1_000_000_000), ("target", 1_100_000_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_bytes(b"x")
        os.utime(tmp_path / name / "f", (moment, moment))
    summary = cli.json("sync", tmp_path / "source", tmp_path / "target", "--compare", compare)[-1]
    assert ("copy" in summary["actions"]) == moved


def test_local_links_are_left_alone_unless_followed(cli: Cli, tree: Path, tmp_path: Path) -> None:
    (tree / "link").symlink_to(tree / "a.txt")
    cli.ok("sync", tree, tmp_path / "one")
    assert not (tmp_path / "one" / "link").exists()
    cli.ok("sync", tree, tmp_path / "two", "--follow-links")
    assert (tmp_path / "two" / "link").read_bytes() == b"aaa"


def test_local_errors_in_a_tree_do_not_stop_the_rest(cli: Cli, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "a.txt").mkdir(parents=True)
    code, _ = cli.run("sync", tree, tmp_path / "out")
    assert code == ExitCode.FAILED
    assert "a.txt" in cli.error
    assert (tmp_path / "out" / "zero").exists()
    assert cli.run("sync", tree, tmp_path / "out", "--stop-on-error")[0] == ExitCode.LOCAL
    assert cli.run("sync", tmp_path / "missing", tmp_path / "x")[0] == ExitCode.LOCAL
    assert cli.run("sync", tree, tmp_path / "x", "--both")[0] == ExitCode.USAGE
