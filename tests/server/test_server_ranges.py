"""RANG with RETR: a part of a file (draft-bryan-ftp-range-08)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.server import TlsConfig
from tests.server.conftest import Tls
from tests.server.dialogue import Dialogue, Running, visible

CONTENT = os.urandom(1 << 20)


@pytest.fixture
def image(client: Dialogue, root: Path) -> Dialogue:
    """A session in TYPE I that sees ``file``."""
    (root / "file").write_bytes(CONTENT)
    client.expect(200, "TYPE I")
    return client


@pytest.mark.parametrize(
    ("first", "last"), [(0, 0), (5, 9), (0, 70_000), (1000, 1_000_000), ((1 << 20) - 1, 1 << 40), (1 << 20, 1 << 20)]
)
def test_a_range_is_sent_both_ends_included(image: Dialogue, first: int, last: int) -> None:
    image.expect(350, f"RANG {first} {last}")
    assert image.fetch("RETR file") == CONTENT[first : last + 1]
    assert image.fetch("RETR file") == CONTENT, "RANG holds for one transfer"


def test_the_opening_reply_tells_the_bytes_of_the_range(image: Dialogue) -> None:
    image.expect(350, "RANG 10 19")
    with image.data():
        assert "(10 bytes)" in image.expect(150, "RETR file")
    assert image.read().code == 226


def test_behind_the_end_there_is_nothing(image: Dialogue) -> None:
    image.expect(350, f"RANG {1 << 30} {1 << 31}")
    assert image.fetch("RETR file") == b""


@pytest.mark.parametrize("command", ["RANG 1 0", "RANG 9 5", "RANG 5", "REST 0", "LIST file", "CWD /"])
def test_what_takes_the_range_back(image: Dialogue, command: str) -> None:
    image.expect(350, "RANG 5 9")
    if command.startswith("LIST"):
        image.fetch(command)
    else:
        assert image.say(command).code in (250, 350, 501)
    assert image.fetch("RETR file") == CONTENT


def test_of_range_and_restart_point_the_later_holds(image: Dialogue) -> None:
    image.expect(350, "REST 1000")
    image.expect(350, "RANG 5 9")
    assert image.fetch("RETR file") == CONTENT[5:10]
    image.expect(350, "RANG 5 9")
    image.expect(350, "REST 1000")
    assert image.fetch("RETR file") == CONTENT[1000:]


def test_small_files_served_in_series_are_no_exception(image: Dialogue, root: Path) -> None:
    (root / "small").write_bytes(CONTENT[:4096])
    for _ in range(3):
        assert image.fetch("RETR small") == CONTENT[:4096]
        image.expect(350, "RANG 5 9")
        assert image.fetch("RETR small") == CONTENT[5:10]


@pytest.mark.parametrize("setting", ["TYPE A", "MODE Z"])
def test_a_range_is_one_of_bytes_as_they_are(image: Dialogue, setting: str) -> None:
    image.expect(350, "RANG 5 9")
    image.expect(200, setting)
    image.passive()
    image.expect(551, "RETR file")


@pytest.mark.parametrize("command", ["STOR file", "STOR new", "APPE file", "STOU"])
def test_nothing_is_stored_into_a_range(image: Dialogue, root: Path, command: str) -> None:
    image.expect(350, "RANG 5 9")
    image.passive()
    image.expect(551, command)
    assert visible(root) == ["file"]
    assert (root / "file").read_bytes() == CONTENT
    assert image.put("STOR new", b"whole").code == 226


def test_a_range_is_sent_protected(serve: Callable[..., Running], tls: Tls, root: Path) -> None:
    (root / "file").write_bytes(CONTENT)
    with Dialogue(serve(tls=TlsConfig(cert=tls.cert)).address) as client:
        context = tls.context()
        client.starttls(context)
        client.login().expect(200, "TYPE I")
        client.expect(350, "RANG 1000 600000")
        assert client.fetch("RETR file", context=context) == CONTENT[1000:600_001]
