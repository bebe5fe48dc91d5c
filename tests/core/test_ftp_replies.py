"""What replies say: addresses, paths, sizes, times, features, facts."""

from __future__ import annotations

import calendar
import time
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.conftest import core_module


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Entering Passive Mode (127,0,0,1,4,5).", ("127.0.0.1", 1029)),
        ("Entering Passive Mode 10,0,0,255,255,255", ("10.0.0.255", 65535)),
        ("=1,2,3,4,0,21", ("1.2.3.4", 21)),
        ("2 ports, 1,2 then (001,2,3,4,0,21)", ("1.2.3.4", 21)),
    ],
)
def test_pasv(ftpwire: ModuleType, text: str, address: tuple[str, int]) -> None:
    assert ftpwire.parse_pasv(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Entering Passive Mode",
        "(1,2,3,4,5)",
        "(1,2,3,4,5,6,7)",
        "(1,2,3,4,5,256)",
        "(1,2,3,4,0,0)",
        "(1,2,3,4,5,-6)",
        "(1,,3,4,5,6)",
        "(1,2,3,4,5,1000)",
        "(1,2,3,4,5,٣)",
        "," * 100_000,
        "1" * 100_000,
        "1," * 50_000,
    ],
    ids=lambda text: text[:24],
)
def test_pasv_without_an_address(ftpwire: ModuleType, text: str) -> None:
    with pytest.raises(ValueError, match="PASV reply"):
        ftpwire.parse_pasv(text)


@pytest.mark.parametrize(
    ("text", "port"), [("Extended (|||6446|)", 6446), ("(((((|||1|)", 1), ("(!!!65535!) ok", 65535), ("()((|||5|)", 5)]
)
def test_epsv(ftpwire: ModuleType, text: str, port: int) -> None:
    assert ftpwire.parse_epsv(text) == port


@pytest.mark.parametrize(
    "text",
    ["", "(|||0|)", "(|||65536|)", "(|||123456|)", "(||5|)", "(|||5)", "(||||5|)", "(|||٣|)", "(111511)", "(" * 9999],
)
def test_epsv_without_a_port(ftpwire: ModuleType, text: str) -> None:
    with pytest.raises(ValueError, match="no port in EPSV"):
        ftpwire.parse_epsv(text)


def test_pwd(ftpwire: ModuleType) -> None:
    assert ftpwire.parse_pwd('"/" is the current directory') == "/"
    assert ftpwire.parse_pwd('"/a ""quoted"" name" created') == '/a "quoted" name'
    assert ftpwire.parse_pwd('""') == ""
    assert ftpwire.parse_pwd("/unquoted is current") == "/unquoted"
    for text in ("", "   ", '"/no end', '"', '"""'):
        with pytest.raises(ValueError, match=r"no path|no closing quote"):
            ftpwire.parse_pwd(text)


def test_size(ftpwire: ModuleType) -> None:
    assert ftpwire.parse_size("0") == 0
    assert ftpwire.parse_size(" 9223372036854775807 bytes") == (1 << 63) - 1
    for text in ("", "x", "-1", "9223372036854775808", "1" * 20, "1" * 10_000, "٣"):
        with pytest.raises(ValueError, match="no size"):
            ftpwire.parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("19700101000000", 0.0),
        ("20240229235959", 1709251199.0),
        ("20261130010203.5", 1796000523.5),
        ("20261130010203.123456789012", 1796000523.123456789),
        (" 20000101000060 ", 946684860.0),
        ("191261130010203", 1796000523.0),
        ("00010101000000", -62135596800.0),
        ("99991231235959", 253402300799.0),
    ],
)
def test_times(ftpwire: ModuleType, text: str, seconds: float) -> None:
    assert ftpwire.parse_time(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024",
        "20230229000000",
        "20241301000000",
        "20240100000000",
        "20240101240000",
        "20240101006000",
        "20240101000061",
        "00000101000000",
        "20240101000000.",
        "20240101000000.x",
        "20240101000000x",
        "2024010100000٣",
        "202401010000000",
    ],
)
def test_what_is_no_time(ftpwire: ModuleType, text: str) -> None:
    with pytest.raises(ValueError, match="not a time"):
        ftpwire.parse_time(text)


@given(st.integers(-62135596800, 253402300799))
def test_times_come_back(seconds: int) -> None:
    for implementation in ("c", "py"):
        ftpwire = core_module("ftpwire", implementation)
        text = ftpwire.format_time(seconds)
        assert ftpwire.parse_time(text) == seconds
        if seconds >= 0:
            assert calendar.timegm(time.strptime(text, "%Y%m%d%H%M%S")) == seconds


@given(st.floats(allow_nan=False, allow_infinity=True))
def test_twins_write_any_time_alike(seconds: float) -> None:
    texts = {core_module("ftpwire", implementation).format_time(seconds) for implementation in ("c", "py")}
    assert len(texts) == 1


def test_times_outside_are_brought_inside(ftpwire: ModuleType) -> None:
    assert ftpwire.format_time(-1e300) == "00010101000000"
    assert ftpwire.format_time(1e300) == "99991231235959"
    assert ftpwire.format_time(-0.5) == "19691231235959"
    with pytest.raises(ValueError, match=r"nan|NaN"):
        ftpwire.format_time(float("nan"))


def test_features(ftpwire: ModuleType) -> None:
    lines = ["Features:", " MDTM", "rest STREAM", "  MLST type*;size*; ", "", "End"]
    assert ftpwire.parse_feat(lines) == {"MDTM": "", "REST": "STREAM", "MLST": "type*;size*;"}
    assert ftpwire.parse_feat(["no features"]) == {}
    assert ftpwire.parse_feat([]) == {}


def test_mlst(ftpwire: ModuleType) -> None:
    entry = ftpwire.parse_mlst(["Listing", " Type=file;Size=5;Modify=20240101000000; a b.txt", "End"])
    assert (entry.name, entry.type, entry.size, entry.mtime) == ("a b.txt", "file", 5, 1704067200.0)
    assert ftpwire.parse_mlst(["type=dir; /x"]).type == "dir"
    for lines in ([], ["Listing", "End"], ["Listing", "nothing", "End"], ["a", " ; x", "b"]):
        with pytest.raises(ValueError, match="no facts"):
            ftpwire.parse_mlst(lines)
