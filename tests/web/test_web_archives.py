"""Directories as archives."""

from __future__ import annotations

import io
import os
import random
import socket
import subprocess
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from fastxfer.server import Permissions, User
from tests.web.site import WAIT, Site, basic, serve

BIG = random.Random(3).randbytes(2_000_000)


@pytest.fixture
def tree(site: Site) -> Site:
    """A site with a directory of all sorts."""
    top = site.root / "tree"
    (top / "sub" / "deep").mkdir(parents=True)
    (top / "empty").mkdir()
    (top / "big.bin").write_bytes(BIG)
    (top / "zero").touch()
    (top / "sub" / "naïve データ.txt").write_bytes(b"unicode")
    (top / "sub" / "deep" / "run.sh").write_bytes(b"#!/bin/sh\n")
    (top / "sub" / "deep" / "run.sh").chmod(0o755)
    os.utime(top / "zero", (1_600_000_000, 1_600_000_000))
    return site


EXPECTED = {
    "big.bin": BIG,
    "zero": b"",
    "sub/naïve データ.txt": b"unicode",
    "sub/deep/run.sh": b"#!/bin/sh\n",
}


def test_a_directory_comes_as_zip(tree: Site) -> None:
    answer = tree.get("/files/tree/?archive=zip")
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="tree.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.body)) as packed:
        assert packed.testzip() is None
        files = {item.filename: packed.read(item) for item in packed.infolist() if not item.is_dir()}
        assert files == EXPECTED
        assert {item.filename for item in packed.infolist() if item.is_dir()} == {"empty/", "sub/", "sub/deep/"}
        assert packed.getinfo("sub/deep/run.sh").external_attr >> 16 == 0o100755


@pytest.mark.parametrize(("kind", "mode", "suffix"), [("tar", "r:", "tar"), ("tar.gz", "r:gz", "tar.gz")])
def test_a_directory_comes_as_tar(tree: Site, kind: str, mode: str, suffix: str) -> None:
    answer = tree.get(f"/files/tree?archive={kind}")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="tree.{suffix}"'
    with tarfile.open(fileobj=io.BytesIO(answer.body), mode=mode) as packed:  # type: ignore[call-overload]
        files = {item.name: packed.extractfile(item).read() for item in packed if item.isfile()}
        assert files == EXPECTED
        assert {item.name for item in packed if item.isdir()} == {"empty", "sub", "sub/deep"}
        assert packed.getmember("zero").mtime == 1_600_000_000
        assert packed.getmember("sub/deep/run.sh").mode == 0o755


def test_a_stream_of_tar_is_read_by_the_system_tool(tree: Site, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    subprocess.run(["tar", "-xzf", "-", "-C", target], input=tree.get("/files/tree/?archive=tar.gz").body, check=True)
    assert (target / "big.bin").read_bytes() == BIG


def test_chosen_entries_come_alone(tree: Site) -> None:
    answer = tree.get("/files/tree/?archive=zip&name=zero&name=sub")
    with zipfile.ZipFile(io.BytesIO(answer.body)) as packed:
        assert set(packed.namelist()) == {"zero", "sub/", "sub/deep/", "sub/deep/run.sh", "sub/naïve データ.txt"}


def test_links_are_packed_as_files_and_never_followed_into_directories(tree: Site) -> None:
    top = tree.root / "tree"
    (top / "loop").symlink_to(".")
    (top / "file-link").symlink_to("sub/deep/run.sh")
    (top / "outside").symlink_to("/etc/passwd")
    (top / "nowhere").symlink_to("missing")
    os.mkfifo(top / "fifo")
    with zipfile.ZipFile(io.BytesIO(tree.get("/files/tree/?archive=zip").body)) as packed:
        names = {name for name in packed.namelist() if not name.endswith("/")}
        assert names == {*EXPECTED, "file-link"}
        assert packed.read("file-link") == b"#!/bin/sh\n"


def test_what_may_not_be_read_is_named_in_the_archive(tmp_path: Path) -> None:
    (tmp_path / "open").write_bytes(b"open")
    (tmp_path / "closed").write_bytes(b"closed")
    (tmp_path / "dark").mkdir()
    (tmp_path / "dark" / "x").write_bytes(b"x")
    permissions = Permissions("list read", {"/closed": "list", "/dark": ""})
    with serve(tmp_path, users=[(User(name="u", permissions=permissions), "pw")]) as site:
        for kind in ("zip", "tar"):
            body = site.get(f"/files/?archive={kind}", user="u:pw").body
            assert b"closed" not in body.replace(b"closed\n", b"") or kind == "tar"
            if kind == "zip":
                with zipfile.ZipFile(io.BytesIO(body)) as packed:
                    assert set(packed.namelist()) == {"open", "dark/", "NOT-INCLUDED.txt"}
                    assert packed.read("NOT-INCLUDED.txt").decode().split("\n")[1:] == ["closed", "dark/", ""]
            else:
                with tarfile.open(fileobj=io.BytesIO(body)) as packed_tar:
                    assert packed_tar.getnames() == ["dark", "open", "NOT-INCLUDED.txt"]


def test_an_unknown_kind_and_a_missing_directory_are_refused(tree: Site) -> None:
    assert tree.get("/files/tree/?archive=rar").status == 400
    assert tree.get("/files/missing/?archive=zip").status == 404
    assert tree.get("/files/tree/zero?archive=zip").body == b""


def test_head_of_an_archive_sends_no_archive(tree: Site) -> None:
    answer = tree.request("HEAD", "/files/tree/?archive=zip")
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "application/zip", b"")


def test_files_over_four_gibibytes_are_packed_with_zip64(site: Site) -> None:
    size = (4 << 30) + 5
    with open(site.root / "huge", "wb") as file:
        file.truncate(size)
    with socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) as plain:
        login = f"Authorization: {basic('alice:wonderland')}\r\n"
        plain.sendall(f"GET /files/?archive=zip HTTP/1.1\r\nHost: x\r\n{login}\r\n".encode())
        head = b""
        while b"huge" not in head:
            head += plain.recv(4096)
    local = head[head.index(b"PK\x03\x04") :]
    extra = 30 + int.from_bytes(local[26:28], "little")
    assert int.from_bytes(local[extra : extra + 2], "little") == 1  # sizes of 64 bits
    deadline = time.monotonic() + WAIT
    while site.service.guard.connections and time.monotonic() < deadline:
        time.sleep(0.01)
    assert site.service.guard.connections == 0


def test_the_list_of_what_was_left_out_has_a_line_for_each_name(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "a\nb\u2028c").touch()
    users = [(User(name="q", permissions=Permissions("all", {"/closed": "list"})), "secret")]
    with serve(tmp_path, users=users) as site:
        packed = site.get("/files/?archive=zip", user="q:secret")
    with zipfile.ZipFile(io.BytesIO(packed.body)) as archive:
        assert len(archive.read("NOT-INCLUDED.txt").decode().splitlines()) == 2


def test_no_name_in_a_zip_archive_leads_elsewhere_where_backslashes_part_segments(site: Site) -> None:
    (site.root / "..\\..\\evil.exe").write_bytes(b"evil")
    with zipfile.ZipFile(io.BytesIO(site.get("/files/?archive=zip").body)) as archive:
        assert archive.namelist() == [".._.._evil.exe"]


def test_no_two_files_share_a_name_in_a_zip_archive(site: Site) -> None:
    contents = {b"a\xff.txt", b"a\xfe.txt", b"x\\y", b"x_y", b"d\xff/f", b"d\xfe/f"}
    root = os.fsencode(site.root)
    for name in contents:
        os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
        with open(os.path.join(root, name), "wb") as file:
            file.write(name)
    with zipfile.ZipFile(io.BytesIO(site.get("/files/?archive=zip").body)) as archive:
        names = archive.namelist()
        assert len(set(names)) == len(names)
        assert {archive.read(name) for name in names if not name.endswith("/")} == contents
        assert "a\ufffd (2).txt" in names


def test_chosen_names_that_are_not_there_are_not_left_out_in_silence(site: Site) -> None:
    (site.root / "a").write_bytes(b"a")
    assert site.get("/files/?archive=zip&name=typo").status == 404
    with zipfile.ZipFile(io.BytesIO(site.get("/files/?archive=zip&name=a&name=typo").body)) as archive:
        assert archive.read("a") == b"a"
        assert archive.read("NOT-INCLUDED.txt").decode().splitlines()[1:] == ["typo"]
