"""Listings with names that would lead elsewhere, and trees without end."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from fastxfer.ftp import (
    AsyncClient,
    FTPError,
    InvalidArgumentError,
    Item,
    Limits,
    LocalFileError,
    ProtocolError,
    UnsafeNameError,
)
from fastxfer.ftp.tree.local_side import child_path
from tests.ftp.hostile import run
from tests.support.scripted_ftp import Control, ScriptedServer, scripted_server

EVIL = ["../evil", "/etc/evil", "..", ".", "a/../../evil", "sub/evil", "./evil", "x\0y", "x\ry"]


def evil_listing(server: ScriptedServer) -> None:
    lines = [f"type=file;size=4;modify=20250102030405; {name}" for name in (*EVIL, "good")]
    lines += [f"type=dir;modify=20250102030405; {name}" for name in ("../evil-dir", "..", "/evil-dir")]
    server.handlers["MLSD"] = lambda control, argument: control.send_file(
        "".join(f"{line}\r\n" for line in lines).encode()
    )
    server.handlers["RETR"] = lambda control, argument: control.send_file(b"evil")
    server.handlers["SIZE"] = lambda control, argument: control.reply("213 4")


def everything_below(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@pytest.mark.parametrize("direction", ["down", "both"])
def test_nothing_is_written_outside_of_the_target_directory(tmp_path: Path, direction: str) -> None:
    target = tmp_path / "deep" / "target"
    with scripted_server() as server:
        evil_listing(server)
        run(server, lambda client: client.sync(target, "/", direction))
    assert everything_below(tmp_path) == ["deep", "deep/target", "deep/target/good"]


def test_names_that_lead_elsewhere_are_left_out_of_listings_walks_and_searches() -> None:
    with scripted_server() as server:
        evil_listing(server)

        async def body(client: AsyncClient) -> None:
            assert [entry.name for entry in await client.list("/")] == ["good"]
            assert [path async for path, _ in client.walk("/")] == ["/good"]
            assert [path async for path, _ in client.search("*", "/")] == ["/good"]
            assert [entry.name async for entry in client.iterate("/")] == ["good"]

        run(server, body)


def test_names_in_plain_listings_are_cut_to_the_last_part() -> None:
    with scripted_server() as server:
        server.handlers["NLST"] = lambda control, argument: control.send_file(b"/a/b/one\r\n../two\r\n..\r\nthree\r\n")
        assert run(server, lambda client: client.names("/a/b")) == ["one", "two", "three"]


def test_removing_a_tree_does_not_touch_what_a_listing_points_to_elsewhere() -> None:
    with scripted_server() as server:
        evil_listing(server)
        server.directories.add("/d")
        server.handlers["DELE"] = lambda control, argument: control.reply("250 gone")
        run(server, lambda client: client.remove_tree("/d"))
        assert [line for line in server.commands if line.startswith(("DELE", "RMD"))] == ["DELE /d/good", "RMD /d"]


def test_a_link_that_a_server_lists_as_a_directory_is_removed_and_not_entered() -> None:
    with scripted_server() as server:
        server.directories |= {"/d", "/d/link"}

        def dele(control: Control, argument: str) -> None:
            server.directories.discard(argument)
            control.reply("250 gone")

        server.handlers["DELE"] = dele
        run(server, lambda client: client.remove_tree("/d"))
        assert server.count("MLSD") == 1
        assert [line for line in server.commands if line.startswith("RMD")] == ["RMD /d"]


@pytest.mark.parametrize("path", ["/", "", "//", ".", "./"])
def test_the_top_directory_is_not_removed(path: str) -> None:
    with scripted_server() as server, pytest.raises(InvalidArgumentError):
        run(server, lambda client: client.remove_tree(path))


@pytest.mark.parametrize("tool", ["walk", "sync"])
def test_directories_without_end_come_to_an_end(tmp_path: Path, tool: str) -> None:
    with scripted_server() as server:
        server.handlers["MLSD"] = lambda control, argument: control.send_file(b"type=dir; deeper\r\n")

        async def body(client: AsyncClient) -> None:
            if tool == "walk":
                with pytest.raises(ProtocolError, match="deeper"):
                    async for _ in client.walk("/"):
                        pass
            else:
                report = await client.sync(tmp_path / "t", "/", "down", dry_run=True)
                assert not report.ok

        run(server, body)
    assert server.count("MLSD") < 300


def test_a_download_does_not_go_through_a_local_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    target = tmp_path / "target"
    target.mkdir()
    os.symlink(outside, target / "sub")
    failures: list[Item] = []
    with scripted_server() as server:
        server.files |= {"/sub/file": b"evil", "/fine": b"good"}
        server.directories.add("/sub")
        report = run(server, lambda client: client.sync(target, "/", "down", on_item=failures.append))
    assert not report.ok
    assert everything_below(outside) == []
    assert (target / "fine").read_bytes() == b"good"


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices have names on POSIX only")
def test_what_is_no_file_is_not_replaced_by_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(os.devnull)
    (tmp_path / "open").symlink_to("/proc/self/fd/1")
    (tmp_path / "directory").mkdir()
    before = {path.name: path.lstat().st_mode for path in tmp_path.iterdir()}
    with scripted_server() as server:
        server.files["/f"] = bytes(100_000)

        async def body(client: AsyncClient) -> None:
            for name in before:
                for options in ({}, {"resume": True}, {"overwrite": False}):
                    with pytest.raises(LocalFileError):
                        await client.download("/f", tmp_path / name, **options)
                with pytest.raises(LocalFileError):
                    await client.download_segmented("/f", tmp_path / name, segments=2)

        run(server, body)
    assert {path.name: path.lstat().st_mode for path in tmp_path.iterdir()} == before


@pytest.mark.skipif(os.name != "posix", reason="devices have names on POSIX only")
def test_a_device_is_written_to_and_stays_a_device(tmp_path: Path) -> None:
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.stat(os.devnull).st_rdev)
    except PermissionError:
        pytest.skip("devices are made by root only")
    with scripted_server() as server:
        server.files["/f"] = bytes(100_000)

        async def body(client: AsyncClient) -> None:
            assert (await client.download("/f", device)).size == 100_000
            assert (await client.download("/f", device, resume=True)).size == 100_000

        run(server, body)
    assert stat.S_ISCHR(device.lstat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["null"]


@pytest.mark.skipif(os.name != "posix", reason="pipes have names on POSIX only")
def test_what_is_no_file_stands_in_the_way_of_a_tree(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    with scripted_server() as server:
        server.directories.add("/t")
        server.files["/t/f"] = b"content"

        async def body(client: AsyncClient) -> None:
            report = await client.sync(tmp_path, "/t", "down")
            assert [item.action for item in report.failures] == ["conflict"]
            assert stat.S_ISFIFO((tmp_path / "f").lstat().st_mode)
            report = await client.mirror(tmp_path, "/t", "down")
            assert report.actions == {"delete": 1, "download": 1}
            assert (tmp_path / "f").read_bytes() == b"content"

        run(server, body)


def test_a_local_link_is_replaced_by_a_downloaded_file_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"precious")
    os.symlink(tmp_path / "outside", tmp_path / "file")
    with scripted_server() as server:
        server.files["/file"] = b"new"
        run(server, lambda client: client.download("file", tmp_path / "file"))
    assert (tmp_path / "outside").read_bytes() == b"precious"
    assert (tmp_path / "file").read_bytes() == b"new"
    assert not (tmp_path / "file").is_symlink()


@pytest.mark.skipif(os.sep != "/", reason="names with backslashes and drives are paths here")
def test_names_that_are_paths_elsewhere_are_names_here(tmp_path: Path) -> None:
    names = ["C:\\evil", "..\\evil", "C:evil", "-rf", "~", "$HOME", "%2e%2e%2fevil", "a\u202ecod.exe"]
    with scripted_server() as server:
        server.files |= {f"/{name}": name.encode() for name in names}
        report = run(server, lambda client: client.sync(tmp_path / "target", "/", "down"))
        assert report.ok
    assert everything_below(tmp_path) == sorted(["target", *(f"target/{name}" for name in names)])
    for name in names:
        assert (tmp_path / "target" / name).read_text() == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a\0b"])
def test_a_name_is_not_a_path(name: str) -> None:
    with pytest.raises(UnsafeNameError):
        child_path("target", name)


def test_lines_that_are_no_listing_are_passed_over() -> None:
    garbage = (
        b"\xff\xfe\x00garbage\r\ntype=file;size=99999999999999999999999;modify=99999999999999; big\r\n\r\n=;;; \r\n"
    )
    with scripted_server() as server:
        server.handlers["MLSD"] = lambda control, argument: control.send_file(garbage + b"type=file;size=1; good\r\n")
        found = run(server, lambda client: client.list("/"))
        assert {entry.name: entry.size for entry in found}["good"] == 1


def test_a_listing_is_bounded_in_memory_but_can_be_iterated() -> None:
    lines = b"".join(b"type=file;size=%d; name-%d\r\n" % (number, number) for number in range(50_000))
    with scripted_server() as server:
        server.handlers["MLSD"] = lambda control, argument: control.send_file(lines)

        async def body(client: AsyncClient) -> int:
            with pytest.raises(FTPError, match="longer"):
                await client.list("/")
            return sum([entry.size or 0 async for entry in client.iterate("/")])

        assert run(server, body, limits=Limits(body=100_000)) == sum(range(50_000))
