"""Range and Content-Range as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastxfer.server.web.ranges import (
    MAX_RANGES,
    ByteRange,
    ContentRange,
    UnsatisfiableError,
    parse_content_range,
    parse_range,
)


def spans(header: str, size: int) -> list[tuple[int, int]] | None:
    found = parse_range(header, size)
    return None if found is None else [(item.start, item.stop) for item in found]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-", [(0, 100)]),
        ("bytes=-1", [(99, 100)]),
        ("bytes=-500", [(0, 100)]),
        ("bytes=90-500", [(90, 100)]),
        ("BYTES=1-2", [(1, 3)]),
        ("bytes= 1 - 2 , 5-6", [(1, 3), (5, 7)]),
        ("bytes=50-60,0-10", [(50, 61), (0, 11)]),
        ("bytes=0-0,-1", [(0, 1), (99, 100)]),
        ("bytes=0-10,5-20", [(0, 21)]),
        ("bytes=0-10,11-20", [(0, 21)]),
        ("bytes=0-,0-,0-", [(0, 100)]),
        ("bytes=200-300,5-6", [(5, 7)]),
        ("bytes=5-" + "9" * 5000, [(5, 100)]),
        ("bytes=-" + "9" * 5000, [(0, 100)]),
        ("bytes=00000000000000000000001-2", [(1, 3)]),
    ],
)
def test_ranges_are_read_as_the_rfc_says(header: str, expected: list[tuple[int, int]]) -> None:
    assert spans(header, 100) == expected


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-2",
        "bytes=a-b",
        "lines=1-2",
        "bytes=1-2;3-4",
        "bytes=+1-2",
        "bytes=١-٢",
    ],
)
def test_what_is_no_range_is_ignored(header: str) -> None:
    assert spans(header, 100) is None


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=-0", "bytes=" + "9" * 400 + "-", "bytes=100-200,300-"])
def test_ranges_outside_the_file_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(UnsatisfiableError):
        parse_range(header, 100)


def test_an_empty_file_has_no_ranges() -> None:
    with pytest.raises(UnsatisfiableError):
        parse_range("bytes=0-", 0)


def test_a_request_for_very_many_ranges_gets_the_whole_file() -> None:
    many = ",".join(f"{2 * at}-{2 * at}" for at in range(MAX_RANGES + 1))
    assert spans(f"bytes={many}", 1000) is None
    assert len(spans("bytes=" + many.rpartition(",")[0], 1000) or ()) == MAX_RANGES


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=MAX_RANGES),
    st.integers(0, 200),
)
def test_the_ranges_given_cover_what_was_asked_once_and_nothing_else(pairs: list[tuple[int, int]], size: int) -> None:
    header = "bytes=" + ",".join(f"{min(pair)}-{max(pair)}" for pair in pairs)
    asked = {at for pair in pairs for at in range(min(pair), max(pair) + 1) if at < size}
    try:
        found = parse_range(header, size)
    except UnsatisfiableError:
        assert not asked
        return
    assert found is not None
    given_bytes = [at for item in found for at in range(item.start, item.stop)]
    assert sorted(given_bytes) == sorted(asked)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes 0-99/200", ContentRange(ByteRange(0, 100), 200)),
        ("bytes 100-199/*", ContentRange(ByteRange(100, 200), None)),
        ("bytes */200", ContentRange(None, 200)),
    ],
)
def test_pieces_of_uploads_are_read(header: str, expected: ContentRange) -> None:
    assert parse_content_range(header) == expected


@pytest.mark.parametrize(
    "header",
    ["", "bytes", "bytes 5-2/10", "bytes 0-10/10", "bytes=0-9/10", "bytes 0-9", "octets 0-9/10", "bytes -9/10"],
)
def test_pieces_that_make_no_sense_are_refused(header: str) -> None:
    with pytest.raises(ValueError, match="Content-Range"):
        parse_content_range(header)
