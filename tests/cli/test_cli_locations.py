"""What the arguments of the URL commands mean, and which are refused."""

from __future__ import annotations

import pytest

from fastxfer.cli._exit_codes import ExitCode
from fastxfer.cli.urls.location import found_location, parse_location
from tests.cli.calling import Cli


@pytest.mark.parametrize(
    ("text", "scheme", "server", "path"),
    [
        ("a/b", "file", "", "a/b"),
        ("file:///a%20b", "file", "", "/a b"),
        ("ftp://host", "ftp", "host", "/"),
        ("ftps://me@host:990/a%2Fb", "ftps", "host:990", "/a/b"),
        ("ftpes://[::1]:21/x", "ftpes", "[::1]:21", "/x"),
        ("fdfs://a:1,b:2/group1/M00/x", "fdfs", "a:1,b:2", "group1/M00/x"),
        ("fdfs:///group1/M00/x", "fdfs", "", "group1/M00/x"),
        ("ftp://host/a?b#c;type=i", "ftp", "host", "/a?b#c;type=i"),
        ("file:///a?b#c", "file", "", "/a?b#c"),
    ],
)
def test_what_an_argument_means(text: str, scheme: str, server: str, path: str) -> None:
    location = parse_location(text)
    assert (location.scheme, location.server, location.path) == (scheme, server, path)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("ftp://host/a?b", "/a?b"),
        ("ftp://host/%2A/*.t%20t", "/[*]/*.t t"),
        ("ftp://host/a%3fb%5B1].*", "/a[?]b[[]1].*"),
        ("ftp://host/a%2Ab", None),
        ("a*b", None),
    ],
)
def test_wildcards_that_are_encoded_mean_themselves(text: str, pattern: str | None) -> None:
    assert parse_location(text).pattern == pattern


def test_what_a_pattern_has_found_can_be_given_again() -> None:
    found = found_location(parse_location("ftp://me@host:21/d/*"), "/d/100% [a]*?#.txt")
    again = parse_location(found.text)
    assert (again.server, again.user, again.path, again.pattern) == ("host:21", "me", found.path, None)


def test_a_password_is_kept_out_of_what_is_shown() -> None:
    location = parse_location("ftp://me:se%40cret@host/x")
    assert (location.user, location.password, location.text) == ("me", "se@cret", "ftp://me@host/x")
    assert "cret" not in repr(location)


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "http://host/"],
        ["ls", "ftp://"],
        ["ls", "ftp://host:port/"],
        ["ls", "ftp://host?x"],
        ["ls", "ftp://host#x/y"],
        ["get", "ftp://host/x", "-o", "dir/"],
        ["ls", "ftp://host/\r\nDELE x"],
        ["get", "ftp://a/x", "ftp://a/y", "-o", "z"],
        ["get", "ftp://a/x", "-o", "-", "--json"],
        ["mv", "ftp://a/x", "ftp://b/x"],
        ["sync", "ftp://a/x", "ftp://b/x"],
        ["sync", "a", "ftp://b/x", "--both", "--delete"],
        ["get", "ftp://a/x", "--rate", "fast"],
        ["get"],
    ],
)
def test_wrong_usage(cli: Cli, arguments: list[str]) -> None:
    code, output = cli.run(*arguments)
    assert (code, output) == (ExitCode.USAGE, "")
    assert cli.error
