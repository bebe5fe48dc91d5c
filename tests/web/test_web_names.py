"""Paths in URLs and names in headers."""

from __future__ import annotations

import re

import pytest
from aiohttp import content_disposition_filename, parse_content_disposition
from hypothesis import given
from hypothesis import strategies as st

from fastxfer.server.web.disposition import attachment
from fastxfer.server.web.urlpath import (
    BadPathError,
    check_new_name,
    decode_path,
    encode_path,
    file_name,
    query_values,
)

SEGMENTS = st.binary(min_size=1, max_size=40).filter(
    lambda data: b"/" not in data and b"\0" not in data and data not in {b".", b".."}
)


@given(st.lists(SEGMENTS, max_size=5))
def test_every_path_survives_the_way_into_a_url_and_back(segments: list[bytes]) -> None:
    path = "/" + "/".join(segment.decode("utf-8", "surrogateescape") for segment in segments)
    encoded = encode_path(path)
    assert re.fullmatch(r"[A-Za-z0-9._~/%-]+", encoded)
    assert decode_path(encoded) == path


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("", "/"),
        ("/", "/"),
        ("a//b/", "/a/b"),
        ("a%20b", "/a b"),
        ("a+b", "/a+b"),
        ("%252e%252e", "/%2e%2e"),
        ("...", "/..."),
        ("%ff", "/\udcff"),
        ("a%5cb", "/a\\b"),
    ],
)
def test_escapes_are_undone_exactly_once(raw: str, path: str) -> None:
    assert decode_path(raw) == path


@pytest.mark.parametrize("raw", ["..", "a/../b", "%2e%2e", "a/%2E./b", ".", "a%00b", "a%2fb", "%2f..%2f"])
def test_segments_that_lead_elsewhere_are_refused(raw: str) -> None:
    with pytest.raises(BadPathError):
        decode_path(raw)


@pytest.mark.parametrize("path", ["/", "/a\nb", "/a\rb", "/\x1b[31m", "/a\u2028b", "/" + "x" * 256, "/" + "ü" * 128])
def test_names_that_other_clients_could_not_use_are_not_made(path: str) -> None:
    with pytest.raises(BadPathError):
        check_new_name(path)


@pytest.mark.parametrize("path", ["/-rf", "/a b", "/データ", "/\udcff", "/.hidden", "/" + "x" * 255])
def test_odd_but_harmless_names_are_made(path: str) -> None:
    check_new_name(path)


@pytest.mark.parametrize(
    ("sent", "name"),
    [("a.txt", "a.txt"), ("C:\\Users\\me\\a.txt", "a.txt"), ("/etc/passwd", "passwd"), ("../../x", "x")],
)
def test_of_a_sent_file_name_only_the_last_part_counts(sent: str, name: str) -> None:
    assert file_name(sent) == name


@pytest.mark.parametrize("sent", [None, "", "a/", "..", "x/..", "a\nb"])
def test_a_sent_file_name_without_a_usable_last_part_is_refused(sent: str | None) -> None:
    with pytest.raises(BadPathError):
        file_name(sent)


def test_a_query_keeps_bytes_that_are_no_text_and_repeated_names() -> None:
    assert query_values("to=/a%ffb&x=1&x=2&flag") == {"to": ["/a\udcffb"], "x": ["1", "2"], "flag": [""]}


def test_a_query_of_endless_fields_is_refused() -> None:
    with pytest.raises(BadPathError):
        query_values("a&" * 10_001)


@given(st.text(min_size=1).filter(lambda name: "/" not in name))
def test_no_name_breaks_out_of_its_header(name: str) -> None:
    value = attachment(name)
    assert value.isascii()
    assert not re.search(r"[\x00-\x1f\x7f]", value)
    assert re.fullmatch(r'attachment; filename="[^"\\/]*"(; filename\*=UTF-8\'\'[A-Za-z0-9%!#$&+.^_`|~-]+)?', value)


@pytest.mark.parametrize("name", ["report.pdf", "naïve résumé.txt", "отчёт.txt", '"quoted".txt', "a;b.txt", "100%.txt"])
def test_an_independent_parser_reads_the_exact_name_back(name: str) -> None:
    kind, parameters = parse_content_disposition(attachment(name))
    assert (kind, content_disposition_filename(parameters)) == ("attachment", name)


def test_a_name_without_any_ascii_gets_a_fall_back() -> None:
    assert attachment("データ").startswith('attachment; filename="download"; filename*=')
