"""Whole trees: what is moved, what is left alone, what is removed, and what is told of it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fastxfer.ftp import (
    AsyncClient,
    Filter,
    InvalidArgumentError,
    Item,
    LocalFileError,
    NotFoundError,
    PermanentError,
    TreeProgress,
    TreeReport,
)
from tests.ftp.conftest import TREE, harvest, plant, run
from tests.ftp.hostile import run as run_scripted
from tests.support.ftp_servers import FTPPeer, run_pyftpdlib
from tests.support.scripted_ftp import Control, scripted_server


def test_a_tree_goes_up_and_comes_down_and_then_there_is_nothing_to_do(peer: FTPPeer, local: Path) -> None:
    source, target = plant(local / "source"), local / "target"

    async def body(client: AsyncClient) -> None:
        report = await client.sync(source, "tree", "up")
        assert report.ok
        assert report.actions == {"upload": 5, "mkdir": 5}
        assert harvest(peer.root / "tree") == TREE
        assert (peer.root / "tree" / "nothing in it").is_dir()
        again = await client.sync(source, "tree", "up")
        assert again.actions == {"skip": 5}

        report = await client.sync(target, "tree", "down")
        assert report.actions == {"download": 5, "mkdir": 5}
        assert harvest(target) == TREE
        assert (target / "a.txt").stat().st_mtime == 1_700_000_000
        again = await client.sync(target, "tree", "down")
        assert again.actions == {"skip": 5}
        assert (await client.sync(target, "tree", "both")).actions == {"skip": 5}
        assert (await client.verify(source, "tree", checksum=True)).actions == {"match": 5}

    run(peer, body)


def test_a_mirror_removes_what_the_source_does_not_have_and_nothing_else(peer: FTPPeer, local: Path) -> None:
    source = plant(local / "source")

    async def body(client: AsyncClient) -> None:
        await client.sync(source, "tree")
        await client.upload(b"x", "tree/extra")
        await client.upload(b"x", "tree/more/extra", make_directories=True)
        await client.upload(b"x", "tree/keep.log")
        (source / "a.txt").unlink()
        told: list[Item] = []
        dry = await client.mirror(source, "tree", exclude=["*.log"], dry_run=True, on_item=told.append)
        assert sorted(item.remote for item in told if item.action == "delete") == [
            "tree/a.txt",
            "tree/extra",
            "tree/more",
        ]
        assert dry.dry_run
        assert (peer.root / "tree/extra").exists()
        report = await client.mirror(source, "tree", exclude=["*.log"])
        assert report.actions["delete"] == 3
        expected = {name: content for name, content in TREE.items() if name != "a.txt"}
        assert harvest(peer.root / "tree") == expected | {"keep.log": b"x"}

        down = plant(local / "down", {"old": b"1", "olddir/old": b"2"})
        report = await client.mirror(down, "tree", "down")
        assert report.actions["delete"] == 2
        assert harvest(down) == expected | {"keep.log": b"x"}

    run(peer, body)


def test_both_ways_the_newer_wins_and_what_is_missing_is_copied(peer: FTPPeer, local: Path) -> None:
    here = plant(local / "here", {"same": b"same", "newer here": b"here!", "only here": b"h"})
    os.utime(here / "newer here", (1_750_000_000, 1_750_000_000))

    async def body(client: AsyncClient) -> None:
        await client.mkdir("there")
        await client.upload(b"same", "there/same", mtime=1_700_000_000)
        await client.upload(b"old", "there/newer here", mtime=1_700_000_000)
        await client.upload(b"t", "there/only there/x", make_directories=True)
        report = await client.sync(here, "there", "both")
        assert report.ok
        expected = {"same": b"same", "newer here": b"here!", "only here": b"h", "only there/x": b"t"}
        assert harvest(here) == expected
        assert harvest(peer.root / "there") == expected
        await client.upload(b"changed", "there/same", mtime=1_760_000_000)
        await client.sync(here, "there", "both")
        assert (here / "same").read_bytes() == b"changed"

    run(peer, body)


def test_both_ways_by_content(peer: FTPPeer, local: Path) -> None:
    here = plant(local / "here", {"same": b"same", "newer": b"NEWER", "conflict": b"ours"})
    for name in ("same", "newer"):
        os.utime(here / name, (1_750_000_000, 1_750_000_000))

    async def body(client: AsyncClient) -> None:
        await client.mkdir("there")
        for name, content in {"same": b"same", "newer": b"older", "conflict": b"them"}.items():
            await client.upload(content, f"there/{name}", mtime=1_700_000_000)
        report = await client.sync(here, "there", "both", compare="checksum")
        assert report.actions == {"skip": 1, "upload": 1, "mkdir": 1}
        assert [(Path(item.local).name, item.action) for item in report.failures] == [("conflict", "conflict")]
        assert harvest(peer.root / "there") == {"same": b"same", "newer": b"NEWER", "conflict": b"them"}
        assert harvest(here) == {"same": b"same", "newer": b"NEWER", "conflict": b"ours"}

    run(peer, body)


@pytest.mark.parametrize("compare", ["newer", "exact", "size", "newer-only", "checksum", "always"])
def test_both_ways_the_newer_wins_where_the_server_lists_times_by_the_day(compare: str, tmp_path: Path) -> None:
    from pyftpdlib.handlers import FTPHandler

    noon = 1_700_049_600
    here = plant(tmp_path / "here", {"file": b"older here"})
    there = plant(tmp_path / "there", {"file": b"newer on the server"})
    os.utime(here / "file", (noon, noon))
    os.utime(there / "file", (noon + 3600, noon + 3600))
    known = {name: how for name, how in FTPHandler.proto_cmds.items() if name not in ("MLSD", "MLST")}
    with run_pyftpdlib(there, proto_cmds=known) as peer:
        run(peer, lambda client: client.sync(here, "/", "both", compare=compare))
    assert harvest(here) == harvest(there) == {"file": b"newer on the server"}


@pytest.mark.parametrize(
    ("compare", "moved"),
    [
        ("newer", {"bigger", "newer"}),
        ("exact", {"bigger", "newer", "older"}),
        ("size", {"bigger"}),
        ("newer-only", {"newer"}),
        ("checksum", {"bigger", "newer", "older"}),
        ("always", {"bigger", "newer", "older", "same"}),
    ],
)
def test_what_counts_as_different(peer: FTPPeer, local: Path, compare: str, moved: set[str]) -> None:
    source = plant(local / "source", {"same": b"same", "bigger": b"bigger!", "newer": b"NEWER", "older": b"OLDER"})
    os.utime(source / "newer", (1_700_009_000, 1_700_009_000))
    os.utime(source / "older", (1_600_000_000, 1_600_000_000))

    async def body(client: AsyncClient) -> None:
        await client.mkdir("t")
        for name, content in {"same": b"same", "bigger": b"big", "newer": b"newer", "older": b"older"}.items():
            await client.upload(content, f"t/{name}", mtime=1_700_000_000)
        told: list[Item] = []
        report = await client.sync(source, "t", compare=compare, on_item=told.append)
        assert report.ok
        assert {Path(item.local).name for item in told if item.action == "upload"} == moved

    run(peer, body)


def test_a_backup_is_timestamped_and_can_be_restored(peer: FTPPeer, local: Path) -> None:
    source = plant(local / "source")

    async def body(client: AsyncClient) -> None:
        first = await client.backup([source, source / "a.txt"], "backups/daily")
        second = await client.backup([source], "backups/daily", name="backup")
        third = await client.backup([source], "backups/daily", name="backup")
        assert first.ok
        assert first.path.startswith("backups/daily/backup_20")
        assert (second.path, third.path) == ("backups/daily/backup", "backups/daily/backup_2")
        report = await client.restore(first.path, local / "restored")
        assert report.ok
        assert harvest(local / "restored") == {"a.txt": b"a"} | {f"source/{name}": c for name, c in TREE.items()}
        with pytest.raises(InvalidArgumentError):
            await client.backup([source, local / "missing"], "backups")
        with pytest.raises(InvalidArgumentError):
            await client.backup([source, local / "down" / "source"], "backups")
        with pytest.raises(NotFoundError):
            await client.restore("backups/never", local / "r2")

    run(peer, body)


def test_verification_tells_what_is_wrong(peer: FTPPeer, local: Path) -> None:
    source = plant(local / "source")

    async def body(client: AsyncClient) -> None:
        await client.sync(source, "tree")
        await client.upload(b"A", "tree/a.txt")
        await client.upload(b"longer than before", "tree/empty")
        await client.remove("tree/sub/b.bin")
        await client.upload(b"x", "tree/extra")
        told: list[Item] = []
        report = await client.verify(source, "tree", on_item=told.append)
        assert Counter(item.action for item in told) == {"match": 3, "differ": 1, "missing": 1, "extra": 1}
        assert report.failed == 3
        assert not report.ok
        report = await client.verify(source, "tree", checksum=True)
        assert report.failed == 4
        assert (await client.verify(source / "empty", "tree/sub/deep/er/c.txt")).failed == 1
        assert (await client.verify(source / "a.txt", "tree/a.txt")).ok
        with pytest.raises(LocalFileError):
            await client.verify(local / "missing", "tree")

    run(peer, body)


def test_searching_by_name_path_kind_size_and_time(peer: FTPPeer, local: Path) -> None:
    source = plant(local / "source")

    async def body(client: AsyncClient) -> None:
        await client.sync(source, "tree")

        async def found(*arguments: str, **options: object) -> list[str]:
            return sorted([path async for path, _ in client.search(*arguments, **options)])  # type: ignore[arg-type]

        assert await found("*.txt", "tree") == ["tree/a.txt", "tree/grün/ü b.txt", "tree/sub/deep/er/c.txt"]
        assert await found("sub/**/*.txt", "tree") == ["tree/sub/deep/er/c.txt"]
        assert await found("sub/*", "tree") == ["tree/sub/b.bin", "tree/sub/deep"]
        assert await found("*", "tree", kind="dir") == [
            "tree/grün",
            "tree/nothing in it",
            "tree/sub",
            "tree/sub/deep",
            "tree/sub/deep/er",
        ]
        assert await found("*", "tree", kind="file", min_size=1000, max_size=9000) == ["tree/sub/deep/er/c.txt"]

    run(peer, body)


def test_lists_of_files_go_up_and_come_down_and_failures_are_told(peer: FTPPeer, local: Path) -> None:
    plant(local / "source")

    async def body(client: AsyncClient) -> None:
        pairs = [(local / "source" / name, f"up/{number}/{name}") for number, name in enumerate(TREE)]
        progress = TreeProgress()
        report = await client.batch([*pairs, (local / "missing", "up/missing")], progress=progress)
        assert report.actions == {"upload": 5}
        assert [Path(item.local).name for item in report.failures] == ["missing"]
        assert isinstance(report.failures[0].error, LocalFileError)
        assert (progress.files_done, progress.files_failed) == (6, 1)
        assert progress.transferred == sum(map(len, TREE.values())) == report.bytes
        again = await client.batch(pairs, overwrite=False)
        assert again.actions == {"skip": 5}
        back = [(remote, local / "back" / str(number)) for number, (_, remote) in enumerate(pairs)]
        report = await client.fetch([*back, ("up/missing", local / "back" / "x")], parallel=2)
        assert report.actions == {"download": 5}
        assert report.failed == 1
        assert [path.read_bytes() for path in sorted((local / "back").iterdir())] == list(TREE.values())

    run(peer, body)


def test_one_failure_does_not_stop_the_others_unless_it_is_to(tmp_path: Path) -> None:
    def retr(control: Control, argument: str) -> None:
        if "bad" in argument:
            control.reply("550 not for you")
        else:
            server.do_retr(control, argument)

    with scripted_server() as server:
        server.files |= {f"/{number}": b"x" for number in range(20)} | {"/bad": b"x"}
        server.handlers["RETR"] = retr

        async def body(client: AsyncClient) -> TreeReport:
            with pytest.raises(PermanentError, match="not for you"):
                await client.sync(tmp_path / "one", "/", "down", keep_going=False)
            return await client.sync(tmp_path / "two", "/", "down")

        report = run_scripted(server, body)
        assert (report.actions["download"], report.failed) == (20, 1)
        with pytest.raises(PermanentError, match="not for you"):
            report.raise_for_failures()


def test_nothing_is_removed_where_the_source_can_not_be_listed(tmp_path: Path) -> None:
    def mlsd(control: Control, argument: str) -> None:
        if argument.endswith("sub"):
            control.reply("550 not readable today")
        else:
            server.do_mlsd(control, argument)

    plant(tmp_path / "t", {"sub/precious": b"x", "file": b"y"})
    with scripted_server() as server:
        server.directories |= {"/t", "/t/sub"}
        server.handlers["MLSD"] = mlsd
        report = run_scripted(server, lambda client: client.mirror(tmp_path / "t", "/t", "down"))
    assert report.failed == 1
    assert harvest(tmp_path / "t") == {"sub/precious": b"x"}


def test_a_file_where_a_directory_is_to_be_is_a_conflict_unless_deleting(tmp_path: Path) -> None:
    plant(tmp_path / "t", {"x/inner": b"1"})
    with scripted_server() as server:
        server.files["/t/x"] = b"a file"
        server.directories.add("/t")

        async def body(client: AsyncClient) -> None:
            report = await client.sync(tmp_path / "t", "/t", "up")
            assert [item.action for item in report.failures] == ["conflict"]
            report = await client.sync(tmp_path / "t", "/t", "both")
            assert [item.action for item in report.failures] == ["conflict"]
            report = await client.mirror(tmp_path / "t", "/t", "up")
            assert report.ok

        run_scripted(server, body)
        assert server.files == {"/t/x/inner": b"1"}


def test_local_links_are_left_out_unless_followed(tmp_path: Path) -> None:
    plant(tmp_path / "t", {"real": b"content"})
    os.symlink(tmp_path / "t" / "real", tmp_path / "t" / "link")
    with scripted_server() as server:

        async def body(client: AsyncClient) -> None:
            await client.sync(tmp_path / "t", "/t")
            assert set(server.files) == {"/t/real"}
            await client.sync(tmp_path / "t", "/t", follow_links=True)
            assert set(server.files) == {"/t/real", "/t/link"}

        run_scripted(server, body)


def test_links_that_lead_nowhere_are_left_out_and_told(tmp_path: Path) -> None:
    tree = plant(tmp_path / "t", {"real": b"content"})
    (tree / "dangling").symlink_to("nothing")
    (tree / "itself").symlink_to("itself")
    (tree / "through").symlink_to("real/x")
    with scripted_server() as server:
        server.directories.add("/t")
        server.files["/t/dangling"] = b"what it once led to"

        async def body(client: AsyncClient) -> None:
            told: list[Item] = []
            report = await client.mirror(tree, "/t", follow_links=True, on_item=told.append)
            assert report.ok
            skipped = {Path(item.local).name for item in told if item.action == "skip"}
            assert skipped == {"dangling", "itself", "through"}
            assert set(server.files) == {"/t/real", "/t/dangling"}

        run_scripted(server, body)


class OneCase(dict[str, bytes]):
    """Files of a system to which ``a`` and ``A`` are one name."""

    def known(self, name: str) -> str:
        return next((known for known in self if known.casefold() == name.casefold()), name)

    def __setitem__(self, name: str, content: bytes) -> None:
        super().pop(self.known(name), None)
        super().__setitem__(name, content)

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(self.known(name), default)

    def pop(self, name: str, *default: Any) -> Any:
        return super().pop(self.known(name), *default)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(self.known(str(name)))


def test_a_name_that_changed_its_case_is_not_removed_where_case_means_nothing(tmp_path: Path) -> None:
    tree = plant(tmp_path / "t", {"README": b"new", "other": b"o"})
    with scripted_server() as server:
        server.directories.add("/t")
        server.files = OneCase({"/t/readme": b"old", "/t/extra": b"x"})

        async def body(client: AsyncClient) -> None:
            report = await client.mirror(tree, "/t", parallel=1)
            assert report.ok
            assert report.actions["delete"] == 2
            assert dict(server.files) == {"/t/README": b"new", "/t/other": b"o"}

        run_scripted(server, body)


def test_links_into_the_directory_they_lie_in_are_not_followed_round_and_round(tmp_path: Path) -> None:
    tree = tmp_path / "t"
    plant(tree, {"file": b"1", "sub/inner": b"2"})
    os.symlink(tree, tree / "self")
    os.symlink("..", tree / "sub" / "up")
    os.symlink(tree / "sub", tree / "beside")
    with scripted_server() as server:

        async def body(client: AsyncClient) -> None:
            report = await client.sync(tree, "/t", follow_links=True)
            assert report.ok
            assert set(server.files) == {"/t/file", "/t/sub/inner", "/t/beside/inner"}

        run_scripted(server, body)


def test_arguments_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with scripted_server() as server:

        async def body(client: AsyncClient) -> None:
            for attempt in (
                client.sync(tmp_path, "/", "sideways"),
                client.sync(tmp_path, "/", "up", compare="smell"),
                client.sync(tmp_path, "/", "both", delete=True),
                client.mirror(tmp_path, "/", "both"),
                client.sync(tmp_path, "/", parallel=0),
                client.sync(tmp_path, "/", exclude=["/"]),
            ):
                with pytest.raises(InvalidArgumentError):
                    await attempt
            with pytest.raises(LocalFileError):
                await client.sync(tmp_path / "missing", "/", "up")

        run_scripted(server, body)
        assert server.count("STOR") == 0


@pytest.mark.parametrize(
    ("include", "exclude", "taken"),
    [
        ((), (), ["a.txt", "b.log", "d/a.txt", "d/e/b.log"]),
        (("*.txt",), (), ["a.txt", "d/a.txt"]),
        ((), ("*.log",), ["a.txt", "d/a.txt"]),
        ((), ("d/",), ["a.txt", "b.log"]),
        ((), ("/a.txt",), ["b.log", "d/a.txt", "d/e/b.log"]),
        ((), ("d/*.txt",), ["a.txt", "b.log", "d/e/b.log"]),
        ((), ("**/*.log",), ["a.txt", "d/a.txt"]),
        (("d/**",), ("*.log",), ["d/a.txt"]),
        (("[ab].[!l]*",), (), ["a.txt", "d/a.txt"]),
    ],
)
def test_patterns(include: tuple[str, ...], exclude: tuple[str, ...], taken: list[str]) -> None:
    wanted = Filter(include, exclude)

    def takes(path: str) -> bool:
        parts = path.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts))]
        return all(wanted.takes(directory, is_directory=True) for directory in above) and wanted.takes(
            path, is_directory=False
        )

    assert [path for path in ("a.txt", "b.log", "d/a.txt", "d/e/b.log") if takes(path)] == taken


def test_patterns_of_a_hostile_length_take_no_time() -> None:
    wanted = Filter(exclude=["*a" * 20 + "b", "**/" * 10 + "x"])
    assert wanted.takes("a" * 200, is_directory=False)
