"""Listings as servers write them: MLSD, and LIST of every kind that is still met."""

from __future__ import annotations

import calendar
import pickle
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.conftest import core_module

NOW = float(calendar.timegm((2026, 11, 30, 12, 0, 0)))


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> float:
    return float(calendar.timegm((year, month, day, hour, minute, second)))


# (line, name, type, size, mtime, {what else})
LINES: list[tuple[str, str, str, int | None, float | None, dict[str, Any]]] = [
    (
        "-rw-r--r--   1 owner group     1234 Nov 29 12:34 a file.txt",
        "a file.txt",
        "file",
        1234,
        at(2026, 11, 29, 12, 34),
        {"mode": 0o644, "owner": "owner", "group": "group"},
    ),
    ("-rw-r--r--   1 0 0 1234 Dec 24 12:34 last year", "last year", "file", 1234, at(2025, 12, 24, 12, 34), {}),
    ("-rw-r--r--   1 0 0 1234 Dec  1 11:59 tomorrow", "tomorrow", "file", 1234, at(2026, 12, 1, 11, 59), {}),
    ("-rw-r--r--   1 0 0 1234 Feb 29 01:00 leap", "leap", "file", 1234, at(2024, 2, 29, 1), {}),
    ("-rw-r--r--   1 0 0 1234 Feb 30 01:00 never", "never", "file", 1234, None, {}),
    ("-rw-r--r--   1 0 0 1234 Jan 30 12:74 never", "never", "file", 1234, None, {}),
    ("-rw-r--r--   1 0 0 1234 Jan 30 24:00 never", "never", "file", 1234, None, {}),
    ("-rw-r--r--   1 0 0 1234 Jan  1  2005 old", "old", "file", 1234, at(2005, 1, 1), {}),
    ("-rw-r--r--   1 0 0 1234 Jan  1  2005  leading space", " leading space", "file", 1234, at(2005, 1, 1), {}),
    ("-rw-r--r--   1 0 0 1234 Jan  1  2005 trailing ", "trailing ", "file", 1234, at(2005, 1, 1), {}),
    ("-rw-r--r--   1 0 0 1234 jan 01 9:05 short hour", "short hour", "file", 1234, at(2026, 1, 1, 9, 5), {}),
    ("-rw-r--r--   1 owner 1234 Jan  1  2005 no group", "no group", "file", 1234, at(2005, 1, 1), {"owner": "owner"}),
    ("-rw-r--r-- 1234 Jan  1  2005 bare", "bare", "file", 1234, at(2005, 1, 1), {"owner": None}),
    (
        "drwxr-xr-x 2 root Domain Users 4096 Jan  1  2005 d",
        "d",
        "dir",
        4096,
        at(2005, 1, 1),
        {"group": "Domain Users", "mode": 0o755},
    ),
    ("-rw-r--r--. 1 u g 5 Jan  1  2005 selinux", "selinux", "file", 5, at(2005, 1, 1), {}),
    ("-rw-rw-r--+ 1 u g 5 Jan  1  2005 acl", "acl", "file", 5, at(2005, 1, 1), {}),
    ("-rwsr-sr-t 1 u g 5 Jan  1  2005 bits", "bits", "file", 5, at(2005, 1, 1), {"mode": 0o7755}),
    ("-rwSr-Sr-T 1 u g 5 Jan  1  2005 bits", "bits", "file", 5, at(2005, 1, 1), {"mode": 0o7644}),
    ("lrwxrwxrwx 1 u g 5 Jan  1  2005 l -> a -> b", "l", "link", 5, at(2005, 1, 1), {"target": "a -> b"}),
    ("lrwxrwxrwx 1 u g 5 Jan  1  2005 no arrow", "no arrow", "link", 5, at(2005, 1, 1), {"target": None}),
    ("-rw-r--r-- 1 u g 5 Jan  1  2005 a -> b", "a -> b", "file", 5, at(2005, 1, 1), {"target": None}),
    ("crw-rw-rw- 1 root root 1, 3 Jan  1  2005 null", "null", "other", None, at(2005, 1, 1), {"owner": "root"}),
    ("srwxrwxrwx 1 u g 0 Jan  1  2005 socket", "socket", "other", 0, at(2005, 1, 1), {}),
    ("drwxr-xr-x 2 u g 4096 Jan  1  2005 .", ".", "cdir", 4096, at(2005, 1, 1), {}),
    ("drwxr-xr-x 2 u g 4096 Jan  1  2005 ..", "..", "pdir", 4096, at(2005, 1, 1), {}),
    ("-rw-r--r-- 1 u g 5 2005-06-07 12:34 iso", "iso", "file", 5, at(2005, 6, 7, 12, 34), {}),
    (
        "-rw-r--r-- 1 u g 5 2005-06-07 12:34:56.789 +0230 full",
        "full",
        "file",
        5,
        at(2005, 6, 7, 10, 4, 56),
        {},
    ),
    ("-rw-r--r-- 1 u g 5  2 Jan  2005 day first", "day first", "file", 5, at(2005, 1, 2), {}),
    ("-rw-r--r-- 1 u g 5 Mär  2  2005 deutsch", "deutsch", "file", 5, at(2005, 3, 2), {}),
    ("-rw-r--r-- 1 u g 5 févr.  2  2005 français", "français", "file", 5, at(2005, 2, 2), {}),
    ("-rw-r--r-- 1 u g 5 12月  2  2005 中文", "中文", "file", 5, at(2005, 12, 2), {}),
    ("-rw-r--r-- 1 u g 5 июн  2  2005 русский", "русский", "file", 5, at(2005, 6, 2), {}),
    ("-rw-r--r-- 1 May 7 12 Jan  1  2005 owner May", "owner May", "file", 12, at(2005, 1, 1), {"owner": "May"}),
    ("-rw-r--r-- 1 u g 9223372036854775807 Jan  1  2005 big", "big", "file", (1 << 63) - 1, at(2005, 1, 1), {}),
    ("-rw-r--r-- 1 u g 99999999999999999999 Jan  1  2005 absurd", "absurd", "file", None, at(2005, 1, 1), {}),
    ("-r--r--r--         326  1391972  1392298 Nov 22  1995 Mac.sit", "Mac.sit", "file", 1392298, at(1995, 11, 22), {}),
    ("drwxrwxr-x               folder        2 May 10  1996 network", "network", "dir", 2, at(1996, 5, 10), {}),
    ("04-27-00  09:09PM       <DIR>          licensed", "licensed", "dir", None, at(2000, 4, 27, 21, 9), {}),
    ("07-18-70  12:16AM                 1,234 f 1.txt", "f 1.txt", "file", 1234, at(1970, 7, 18, 0, 16), {}),
    ("2005-07-18  10:16                 1234 iso dos", "iso dos", "file", 1234, at(2005, 7, 18, 10, 16), {}),
    ("18.07.2005  10:16                 1234 d", "d", "file", 1234, at(2005, 7, 18, 10, 16), {}),
    ("07-18-05  10:16 PM    <JUNCTION>     j [C:\\x]", "j", "link", None, at(2005, 7, 18, 22, 16), {"target": "C:\\x"}),
    ("+i8388621.48594,m825718503,r,s280,\tdjb.html", "djb.html", "file", 280, 825718503.0, {}),
    ("+i8388621.50690,m824255907,/,up755,\t5 14", "5 14", "dir", None, 824255907.0, {"mode": 0o755}),
    (
        "d [R----F--] supervisor   512  Jan 16  2005  login",
        "login",
        "dir",
        512,
        at(2005, 1, 16),
        {"owner": "supervisor"},
    ),
    ("- [R----F--] rhesus  214059 Oct 20  2005 cx.exe", "cx.exe", "file", 214059, at(2005, 10, 20), {}),
    ("        0           DIR   04-11-95   16:26  ADDRESS", "ADDRESS", "dir", 0, at(1995, 4, 11, 16, 26), {}),
    ("     1025      A          04-12-95   09:26  AB C.LST", "AB C.LST", "file", 1025, at(1995, 4, 12, 9, 26), {}),
    ("QSYS     77824 02/23/00 15:09:55 *DIR      QSYS/", "QSYS", "dir", 77824, at(2000, 2, 23, 15, 9, 55), {}),
    (
        "BOB      5 23/02/00 15:09:55 *FILE     A.FILE",
        "A.FILE",
        "file",
        5,
        at(2000, 2, 23, 15, 9, 55),
        {"owner": "BOB"},
    ),
    (
        "CORE.DIR;1 1 8-SEP-1996 16:09 [SYSTEM] (RWE,RE)",
        "CORE",
        "dir",
        None,
        at(1996, 9, 8, 16, 9),
        {"owner": "SYSTEM"},
    ),
    ("A.TXT;12 9/12 15-JAN-2002 12:34:56 [A,B] (RW)", "A.TXT", "file", None, at(2002, 1, 15, 12, 34, 56), {}),
    (
        "Type=file;Size=5;Modify=20050102030405;UNIX.mode=0640;UNIX.owner=bob;UNIX.gid=7; a=b; c",
        "a=b; c",
        "file",
        5,
        at(2005, 1, 2, 3, 4, 5),
        {"mode": 0o640, "owner": "bob", "group": "7"},
    ),
    ("type=dir;modify=bad;size=-5; d", "d", "dir", None, None, {}),
    ("type=cdir; .", ".", "cdir", None, None, {}),
    ("type=OS.unix=slink:/x/y; l", "l", "link", None, None, {"target": "/x/y"}),
    ("type=OS.unix=symlink; l", "l", "link", None, None, {"target": None}),
    ("type=OS.unix=chr-1/3; null", "null", "other", None, None, {}),
    ("perm=adfr;  leading", " leading", "unknown", None, None, {}),
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[0][:40])
def test_lines_of_every_kind(ftpwire: ModuleType, line: tuple[Any, ...]) -> None:
    text, name, kind, size, mtime, more = line
    (entry,) = ftpwire.parse_listing(text.encode() + b"\r\n", now=NOW)
    assert (entry.name, entry.type, entry.size, entry.mtime) == (name, kind, size, mtime)
    for attribute, value in more.items():
        assert getattr(entry, attribute) == value


UNPARSED = [
    "garbage",
    "-rw-r--r--",
    "-rw-r--r-- 1 u g 5 Foo  1  2005 x",
    "-rw-r--r-- 1 u g 5 Jan  1  2005",
    "-rw-r--r-- 1 u g 5 Jan  1 12:4 x",
    "-rw-r--r-- 1 u g five Jan  1  2005 x",
    "zrw-r--r-- 1 u g 5 Jan  1  2005 x",
    "-rw-r?-r-- 1 u g 5 Jan  1  2005 x",
    "04-27-00  09:09PM       <DIR>",
    "04-27-00  09:09PM       five  x",
    "+no tab",
    "A.TXT;1 9 never",
    "d [R----F--]",
    "a 5 x y z w",
]


@pytest.mark.parametrize("line", UNPARSED)
def test_lines_that_nobody_understands_are_counted(ftpwire: ModuleType, line: str) -> None:
    reader = ftpwire.ListingReader(now=NOW)
    assert reader.feed(line.encode() + b"\r\n") == []
    assert reader.finish() == []
    assert (reader.unparsed, reader.samples) == (1, [line])


def test_headings_are_not_entries(ftpwire: ModuleType) -> None:
    reader = ftpwire.ListingReader()
    for heading in (b"total 12\r\n", b"\r\n", b"   \r\n", b"Directory DISK$:[X]\r\n", b"Total of 3 files\r\n"):
        assert reader.feed(heading) == []
    assert reader.unparsed == 0


def test_a_vms_name_may_stand_on_a_line_of_its_own(ftpwire: ModuleType) -> None:
    data = b"LONG.TXT;3\r\n   9/12 15-JAN-2002 12:34:56 [A,B] (RW)\r\nALONE.TXT;1\r\nLAST.TXT;1"
    reader = ftpwire.ListingReader()
    (entry,) = reader.feed(data) + reader.finish()
    assert (entry.name, entry.owner) == ("LONG.TXT", "A,B")
    assert reader.samples == ["ALONE.TXT;1", "LAST.TXT;1"]


def test_only_the_asked_format_is_read(ftpwire: ModuleType) -> None:
    unix, facts = "-rw-r--r-- 1 u g 5 Jan  1  2005 x", "type=file; x"
    assert ftpwire.parse_listing(unix.encode(), "mlsd") == []
    assert ftpwire.parse_listing(facts.encode(), "list") == []
    assert ftpwire.parse_listing(b" no facts", "mlsd")[0].name == "no facts"
    assert [entry.name for entry in ftpwire.parse_listing(f"{unix}\n{facts}".encode())] == ["x", "x"]
    names = ftpwire.parse_listing(b"a b\r\ntype=file; x\r\n", "names")
    assert [(entry.name, entry.type) for entry in names] == [("a b", "unknown"), ("type=file; x", "unknown")]
    with pytest.raises(ValueError, match="unknown listing format"):
        ftpwire.ListingReader("html")


def test_facts_are_kept_as_they_stand(ftpwire: ModuleType) -> None:
    (entry,) = ftpwire.parse_listing(b"Type=file;Unique=1g2;X-y=a=b;UNIX.mode=9; n", "mlsd")
    assert entry.facts == {"type": "file", "unique": "1g2", "x-y": "a=b", "unix.mode": "9"}
    assert entry.mode is None
    (entry,) = ftpwire.parse_listing(b"-rw-r--r-- 1 u g 5 Jan  1  2005 x")
    assert entry.facts == {}


def test_names_in_other_encodings(ftpwire: ModuleType) -> None:
    line = b"-rw-r--r-- 1 u g 5 Jan  1  2005 \xe4"
    assert ftpwire.parse_listing(line)[0].name == "\udce4"
    assert ftpwire.parse_listing(line, encoding="latin-1")[0].name == "ä"
    assert ftpwire.parse_listing(b"type=file; \xe4", encoding="latin-1")[0].name == "ä"


def test_a_line_too_long_is_unparsed(ftpwire: ModuleType) -> None:
    reader = ftpwire.ListingReader(max_line=100)
    good = b"type=file; ok\r\n"
    assert [entry.name for entry in reader.feed(good + b"x" * 300 + b"\r\n" + good)] == ["ok", "ok"]
    assert reader.unparsed == 1
    assert len(reader.samples[0]) <= 200
    for _ in range(100):
        assert reader.feed(b"y" * 50) == []
    assert [entry.name for entry in reader.feed(b"\n" + good)] == ["ok"]
    assert reader.unparsed == 2


def test_samples_are_few_and_short(ftpwire: ModuleType) -> None:
    reader = ftpwire.ListingReader()
    reader.feed(b"".join(b"nonsense %d %s\n" % (number, b"x" * 1000) for number in range(1000)))
    assert reader.unparsed == 1000
    assert len(reader.samples) == 5
    assert max(map(len, reader.samples)) == 200


def test_entries_are_values(ftpwire: ModuleType) -> None:
    first, second = ftpwire.parse_listing(b"type=file;size=5; a\ntype=file;size=5; a\n")
    assert first == second
    assert first != ftpwire.Entry("a")
    assert pickle.loads(pickle.dumps(first)) == first
    made = ftpwire.Entry("a", "file", 5, 1.5, 0o644, "o", "g", "t", {"type": "file"})
    assert (made.mtime, made.mode, made.target, made.facts) == (1.5, 0o644, "t", {"type": "file"})
    assert "name='a'" in repr(made)


def test_a_big_listing_in_small_pieces(ftpwire: ModuleType) -> None:
    lines = [b"-rw-r--r-- 1 u g %d Jan  1  2005 file %d\r\n" % (number, number) for number in range(2000)]
    data = b"total 9\r\n" + b"".join(lines)
    reader = ftpwire.ListingReader()
    entries = [entry for start in range(0, len(data), 97) for entry in reader.feed(data[start : start + 97])]
    entries += reader.finish()
    assert [(entry.name, entry.size) for entry in entries] == [(f"file {n}", n) for n in range(2000)]
    assert reader.unparsed == 0


TOKENS = st.sampled_from(
    [
        "-rw-r--r--",
        "drwxr-xr-x",
        "lrwxrwxrwx",
        "d",
        "-",
        "[R--]",
        "1",
        "0",
        "12",
        "1234",
        "2005",
        "root",
        "May",
        "Jan",
        "mai",
        "feb.",
        "12:34",
        "9:05",
        "25:00",
        "12:34:56",
        "12:34:56.7",
        "2005-06-07",
        "04-27-00",
        "27/04/2000",
        "<DIR>",
        "<JUNCTION>",
        "*DIR",
        "A.B;1",
        "15-JAN-2002",
        "->",
        "PM",
        "09:09PM",
        "+0200",
        "4,",
        "name",
        ".",
        "type=file;",
        "Size=12;",
        "modify=20200101000000;",
        "unix.uid=5;",
        "UNIX.owner=x;",
        "=;",
        ";",
        "a=b",
        "\xff",
        "+m5,s7,\tx",
        "[A,B]",
        "total",
        "Directory",
        "(RW)",
        "..",
        "x [y]",
    ]
)
GENERATED = st.lists(
    st.lists(st.tuples(TOKENS, st.sampled_from([" ", "  ", "\t", ""])), max_size=12), min_size=1, max_size=5
)


@given(lines=GENERATED, format=st.sampled_from(["auto", "auto", "list", "mlsd"]), cut=st.integers(1, 30))
def test_twins_read_any_lines_alike(lines: list[list[tuple[str, str]]], format: str, cut: int) -> None:
    data = "\r\n".join("".join(token + gap for token, gap in line) for line in lines).encode("latin-1")
    results = []
    for implementation in ("c", "py"):
        module = core_module("ftpwire", implementation)
        reader = module.ListingReader(format, now=NOW)
        entries = [entry for start in range(0, len(data), cut) for entry in reader.feed(data[start : start + cut])]
        entries += reader.finish()
        results.append(([repr(entry) for entry in entries], reader.unparsed, reader.samples))
    assert results[0] == results[1]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    results = [repr(core_module("ftpwire", which).parse_listing(data, now=NOW)) for which in ("c", "py")]
    assert results[0] == results[1]
