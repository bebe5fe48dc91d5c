"""Listings as our server writes them, of items and of directories."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.conftest import core_module

NOW = 1_800_000_000.0
posix_only = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX file system")


def test_list_lines_are_those_of_ls(ftpwire: ModuleType) -> None:
    items = [
        ("new.txt", 0o100644, 1234, NOW - 60, 1, "bob", "users"),
        ("old", 0o040755, 4096, 86400 * 40, 12, "averylongowner", "g"),
        ("future", 0o100600, 0, NOW + 3600),
        ("ln", 0o120777, 3, 0, 1, "o", "g", "to/here"),
        ("fifo", 0o010644, 0, 0),
    ]
    assert ftpwire.format_list(items, NOW).decode().split("\r\n") == [
        "-rw-r--r--   1 bob      users            1234 Jan 15 07:59 new.txt",
        "drwxr-xr-x  12 averylongowner g                4096 Feb 10  1970 old",
        "-rw-------   1 ftp      ftp                 0 Jan 15  2027 future",
        "lrwxrwxrwx   1 o        g                   3 Jan  1  1970 ln -> to/here",
        "prw-r--r--   1 ftp      ftp                 0 Jan  1  1970 fifo",
        "",
    ]


def test_mlsd_lines_carry_the_facts_asked_for(ftpwire: ModuleType) -> None:
    file = ftpwire.ListItem("a b", 0o100644, 5, 1.9, 1, "bob", "users", None, None, "fd1g2")
    directory = ("d", 0o040755, 4096, -1)
    link = ("l", 0o120777, 1, 0, 1, "o", "g", "target", "r")
    assert ftpwire.format_mlsd([file, directory, link]).decode().split("\r\n") == [
        "type=file;size=5;modify=19700101000001;perm=adfrw; a b",
        "type=dir;modify=19691231235959;perm=cdeflmp; d",
        "type=OS.unix=symlink;size=1;modify=19700101000000;perm=r; l",
        "",
    ]
    every = ftpwire.format_mlsd([file], ftpwire.FACTS, "r", "el").decode()
    assert every == (
        "type=file;size=5;modify=19700101000001;perm=r;unique=fd1g2;UNIX.mode=0644;"
        "UNIX.owner=bob;UNIX.group=users;UNIX.uid=bob;UNIX.gid=users; a b\r\n"
    )
    assert ftpwire.format_mlsd([directory], ("unique", "perm"), "r", "el") == b"perm=el; d\r\n"
    assert ftpwire.format_mlsd([directory], ()) == b" d\r\n"
    with pytest.raises(ValueError, match="unknown fact 'Size'"):
        ftpwire.format_mlsd([directory], ("Size",))


@pytest.mark.parametrize("name", ["a\nb", "a\r\n-rw-r--r-- 1 x", "\0", "tab\t", "\x7f", "\x1b[2J", ""])
def test_names_that_could_forge_lines_are_left_out(ftpwire: ModuleType, name: str) -> None:
    assert not ftpwire.is_listable(name)
    assert not ftpwire.is_listable(name.encode())
    items = [("before", 0o100644, 1, 1), (name, 0o100644, 1, 1), ("after", 0o100644, 1, 1)]
    for data in (ftpwire.format_list(items), ftpwire.format_mlsd(items), ftpwire.format_names(["a", name, "b"])):
        assert data.count(b"\n") == 2
    assert ftpwire.is_listable("ü \udcff -> x")
    link = ("l", 0o120777, 1, 0, 1, "o", "g", f"to{name}" if name else "")
    assert ftpwire.format_list([link]).count(b"\n") == 1
    assert b"->" not in ftpwire.format_list([link])


def test_owners_cannot_end_their_column(ftpwire: ModuleType) -> None:
    item = ("n", 0o100644, 1, 1, 1, "a b;c\r\n", "")
    assert b" a_b_c__  _        " in ftpwire.format_list([item])
    assert ftpwire.format_mlsd([item], ("unix.owner",)) == b"UNIX.owner=a_b_c__; n\r\n"


def test_names_go_out_as_the_bytes_they_are(ftpwire: ModuleType) -> None:
    assert ftpwire.format_names(["grün", "\udcff"]) == "grün\r\n".encode() + b"\xff\r\n"
    assert ftpwire.format_list([("\udcff", 0o100644, 1, 1)]).endswith(b" \xff\r\n")


def test_items_are_checked(ftpwire: ModuleType) -> None:
    for wrong in (("too", 1, 2), (None, 1, 2, 3), ("a", "mode", 2, 3), tuple("12345678901")):
        with pytest.raises((TypeError, AttributeError, ValueError)):
            ftpwire.format_list([wrong])


ITEMS = st.lists(
    st.tuples(
        st.text(max_size=8),
        st.sampled_from([0o100000, 0o040000, 0o120000, 0o140000, 0o060000, 0]).flatmap(
            lambda kind: st.integers(0, 0o7777).map(lambda bits: kind | bits)
        ),
        st.integers(0, (1 << 63) - 1),
        st.one_of(st.integers(-(1 << 40), 1 << 40), st.floats(-1e13, 1e13, allow_nan=False)),
        st.integers(0, 1 << 40),
        st.text(max_size=12),
        st.text(max_size=12),
        st.none() | st.text(max_size=8),
        st.none() | st.text("adfrw", max_size=5),
        st.none() | st.text("0123456789abcdefg", max_size=12),
    ),
    max_size=4,
)


@given(items=ITEMS, now=st.floats(-1e12, 1e12), facts=st.permutations(core_module("ftpwire", "py").FACTS))
def test_twins_write_alike(items: list[Any], now: float, facts: list[str]) -> None:
    written = []
    for implementation in ("c", "py"):
        ftpwire = core_module("ftpwire", implementation)
        try:
            written.append((ftpwire.format_list(items, now), ftpwire.format_mlsd(items, facts)))
        except UnicodeEncodeError:
            written.append(())
    assert written[0] == written[1]


@given(items=ITEMS)
def test_what_is_written_is_read(items: list[Any]) -> None:
    ftpwire = core_module("ftpwire", "c")
    try:
        data = ftpwire.format_mlsd(items, ftpwire.FACTS)
    except UnicodeEncodeError:
        return
    listed = [item for item in items if ftpwire.is_listable(item[0])]
    reader = ftpwire.ListingReader("mlsd")
    entries = reader.feed(data)
    assert reader.unparsed == 0
    assert [entry.name for entry in entries] == [item[0] for item in listed]
    for entry, item in zip(entries, listed, strict=True):
        assert entry.mode == item[1] & 0o7777
        if not stat.S_ISDIR(item[1]):
            assert entry.size == item[2]


# --- directories


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "b.txt").write_bytes(b"hello")
    (tmp_path / "a b").write_bytes(b"")
    (tmp_path / ".hidden").write_bytes(b"x")
    (tmp_path / "dir").mkdir()
    (tmp_path / "grün").write_bytes(b"xyz")
    for name in ("b.txt", "a b", ".hidden", "dir", "grün"):
        os.utime(tmp_path / name, (1e9, 1e9))
    if os.name == "posix":
        for name in ("link", "dangling"):
            (tmp_path / name).symlink_to({"link": "b.txt", "dangling": "no where"}[name])
            os.utime(tmp_path / name, (2e9, 2e9), follow_symlinks=False)
        (tmp_path / "evil\nname").write_bytes(b"")
    return tmp_path


def listed(ftpwire: ModuleType, directory: int | str, format: str, **options: Any) -> tuple[bytes, Any]:
    lister = ftpwire.DirectoryLister(directory, format, now=NOW, sort=True, **options)
    return b"".join(lister), lister


@posix_only
def test_a_directory_is_listed(ftpwire: ModuleType, tree: Path) -> None:
    data, lister = listed(ftpwire, str(tree), "nlst")
    names = [b".hidden", b"a b", b"b.txt", b"dangling", b"dir", "grün".encode(), b"link"]
    assert data == b"".join(name + b"\r\n" for name in names)
    assert (lister.entries, lister.skipped) == (7, 1)
    entries = ftpwire.parse_listing(listed(ftpwire, str(tree), "mlsd", facts=ftpwire.FACTS)[0], "mlsd")
    by_name = {entry.name: entry for entry in entries}
    assert (by_name["b.txt"].type, by_name["b.txt"].size, by_name["b.txt"].mtime) == ("file", 5, 1e9)
    assert by_name["dir"].type == "dir"
    assert by_name["link"].type == by_name["dangling"].type == "link"
    status = (tree / "b.txt").stat()
    assert by_name["b.txt"].facts["unique"] == f"{status.st_dev:x}g{status.st_ino:x}"
    text = listed(ftpwire, str(tree), "list")[0].decode()
    assert " link -> b.txt\r\n" in text
    assert " dangling -> no where\r\n" in text
    assert (
        "-rw-r--r--   1 ftp      ftp                 5 Sep  9  2001 b.txt\r\n".replace(
            "-rw-r--r--", stat.filemode(status.st_mode)
        )
        in text
    )


@posix_only
@pytest.mark.parametrize("format", ["list", "mlsd", "nlst"])
@pytest.mark.parametrize("sort", [True, False])
def test_names_with_an_ending_are_left_out(ftpwire: ModuleType, tmp_path: Path, format: str, sort: bool) -> None:
    for name in (".part", "a.part", ".ü.part", "a.part.txt", "art", "a\nb.part"):
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("a.part")
    lister = ftpwire.DirectoryLister(str(tmp_path), format, sort=sort, omitted=".part", max_entries=3)
    lines = b"".join(lister).decode().splitlines()
    assert sorted(line.partition(" -> ")[0].rpartition(" ")[2] for line in lines) == ["a.part.txt", "art", "link"]
    assert (lister.entries, lister.skipped) == (3, 0)


@posix_only
@pytest.mark.parametrize("chunk", [1, 7, 65536])
def test_names_come_in_whole_lines_and_no_more_than_asked_for(ftpwire: ModuleType, tmp_path: Path, chunk: int) -> None:
    names = {f"{'n' * (number % 40)}{number}" for number in range(300)}
    for name in names:
        (tmp_path / name).touch()
    pieces = list(ftpwire.DirectoryLister(str(tmp_path), "nlst", chunk=chunk))
    assert all(piece.endswith(b"\r\n") and len(piece) < chunk + 50 for piece in pieces)
    assert sorted(b"".join(pieces).decode().split("\r\n")) == sorted([*names, ""])
    lister = ftpwire.DirectoryLister(str(tmp_path), "nlst", chunk=chunk, max_entries=299)
    assert len(b"".join(lister).splitlines()) == lister.entries == 299


@posix_only
@pytest.mark.parametrize("links", ["show", "hide"])
@pytest.mark.parametrize("chunk", [1, 65536])
def test_names_may_be_told_with_their_directory(ftpwire: ModuleType, tmp_path: Path, links: str, chunk: int) -> None:
    for name in ("a", "b" * 255, "ü"):
        (tmp_path / name).touch()
    lister = ftpwire.DirectoryLister(str(tmp_path), "nlst", links=links, chunk=chunk, prefix="in/ö" * 900 + "/")
    assert sorted(b"".join(lister).decode().splitlines()) == [
        "in/ö" * 900 + f"/{name}" for name in ("a", "b" * 255, "ü")
    ]
    for format in ("list", "mlsd"):
        with pytest.raises(ValueError, match="prefix"):
            ftpwire.DirectoryLister(str(tmp_path), format, prefix="in/")


def test_a_control_character_anywhere_makes_a_name_unlistable(ftpwire: ModuleType) -> None:
    for size in range(1, 26):
        for at in range(size):
            for byte in (0x00, 0x01, 0x1F, 0x20, 0x7E, 0x7F, 0x80, 0xFF):
                name = bytearray(b"\x80" * size)
                name[at] = byte
                assert bool(ftpwire.is_listable(bytes(name))) is not (byte < 0x20 or byte == 0x7F)


@posix_only
def test_a_descriptor_is_listed_and_stays_the_callers(ftpwire: ModuleType, tree: Path) -> None:
    descriptor = os.open(tree, os.O_RDONLY)
    try:
        first = listed(ftpwire, descriptor, "list")[0]
        assert listed(ftpwire, descriptor, "list")[0] == first == listed(ftpwire, str(tree), "list")[0]
        lister = ftpwire.DirectoryLister(descriptor, "nlst")
    finally:
        os.close(descriptor)
    assert b"b.txt\r\n" in b"".join(lister)


@posix_only
@pytest.mark.parametrize("format", ["list", "mlsd", "nlst"])
@pytest.mark.parametrize("links", ["show", "follow", "hide"])
@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize("sort", [True, False])
@pytest.mark.parametrize("owner", ["ftp", None])
def test_twins_list_alike(tree: Path, format: str, links: str, hidden: bool, sort: bool, owner: str | None) -> None:
    results = []
    for implementation in ("c", "py"):
        ftpwire = core_module("ftpwire", implementation)
        lister = ftpwire.DirectoryLister(
            str(tree),
            format,
            facts=ftpwire.FACTS,
            links=links,
            hidden=hidden,
            sort=sort,
            owner=owner,
            group=owner,
            now=NOW,
            file_perm="r",
            dir_perm="el",
        )
        data = b"".join(lister)
        lines = data.split(b"\r\n")
        results.append((lines if sort else sorted(lines), lister.entries, lister.skipped))
    assert results[0] == results[1]


@posix_only
def test_links_are_followed_or_hidden(ftpwire: ModuleType, tree: Path) -> None:
    followed = {
        entry.name: entry for entry in ftpwire.parse_listing(listed(ftpwire, str(tree), "mlsd", links="follow")[0])
    }
    assert (followed["link"].type, followed["link"].size) == ("file", 5)
    assert followed["dangling"].type == "link"
    for format in ("list", "mlsd", "nlst"):
        assert b"link" not in listed(ftpwire, str(tree), format, links="hide")[0]


def test_pieces_hold_whole_lines(ftpwire: ModuleType, tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"file number {number}").touch()
    pieces = list(ftpwire.DirectoryLister(str(tmp_path), "list", chunk=1000))
    assert len(pieces) > 10
    assert all(piece.endswith(b"\r\n") for piece in pieces)
    assert all(1000 <= len(piece) < 1200 for piece in pieces[:-1])
    assert len(b"".join(pieces).split(b"\r\n")) == 301
    lister = ftpwire.DirectoryLister(str(tmp_path), "mlsd", max_entries=7)
    assert len(b"".join(lister).splitlines()) == lister.entries == 7
    assert b"".join(ftpwire.DirectoryLister(str(tmp_path), "mlsd", max_entries=0)) == b""


def test_an_empty_directory_has_no_piece(ftpwire: ModuleType, tmp_path: Path) -> None:
    lister = ftpwire.DirectoryLister(str(tmp_path), "list")
    assert list(lister) == []
    assert list(lister) == []
    lister.close()
    lister.close()


def test_directories_that_cannot_be_read(ftpwire: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        ftpwire.DirectoryLister(str(tmp_path / "missing"), "list")
    assert caught.value.filename == str(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        ftpwire.DirectoryLister(str(tmp_path / "file"), "list")
    for wrong in ({"format": "html"}, {"links": "break"}, {"chunk": 0}, {"facts": ("no",)}):
        with pytest.raises(ValueError, match=r"unknown|none of|less than 1"):
            ftpwire.DirectoryLister(str(tmp_path), **{"format": "list", **wrong})
    with pytest.raises(ValueError, match="null"):
        ftpwire.DirectoryLister("a\0b", "list")


@posix_only
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts descriptors in /proc")
def test_no_descriptor_is_left_behind(ftpwire: ModuleType, tree: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        lister = ftpwire.DirectoryLister(str(tree), "list", chunk=1)
        next(lister)
        with pytest.raises(ValueError, match="unknown"):
            ftpwire.DirectoryLister(str(tree), "html")
        with pytest.raises(FileNotFoundError):
            ftpwire.DirectoryLister(str(tree / "no"), "list")
        list(ftpwire.DirectoryLister(str(tree), "list"))
        closed = ftpwire.DirectoryLister(str(tree), "list")
        closed.close()
        assert list(closed) == []
        del lister
    assert len(os.listdir("/proc/self/fd")) == before


@posix_only
def test_files_that_vanish_meanwhile_are_left_out(ftpwire: ModuleType, tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / str(number)).touch()
    lister = ftpwire.DirectoryLister(str(tmp_path), "list", sort=True, chunk=1)
    first = next(lister)
    (tmp_path / "5").unlink()
    rest = b"".join(lister)
    assert first.endswith(b" 0\r\n")
    assert [line[-1:] for line in rest.split(b"\r\n")[:-1]] == [b"1", b"2", b"3", b"4", b"6", b"7", b"8", b"9"]
