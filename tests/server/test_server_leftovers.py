"""What broken uploads have left goes after a time, and nothing else does."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastxfer.server import TimeoutsConfig, UploadsConfig
from fastxfer.server.leftovers import sweep
from tests.server.dialogue import Dialogue, Running, reset, wait_for

pytestmark = pytest.mark.usefixtures("resolution")

PARTIAL = ".name.0123456789abcdef.fxpart"
DAY = 86400.0


@pytest.fixture
def top(root: Path) -> Iterator[int]:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def aged(path: Path, seconds: float, content: bytes = b"half") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def test_old_unfinished_uploads_go_wherever_they_are(root: Path, top: int) -> None:
    aged(root / PARTIAL, 2 * DAY)
    aged(root / "a" / "b" / PARTIAL, 2 * DAY)
    young = aged(root / "a" / ".other.0123456789abcdef.fxpart", DAY / 2)
    assert sweep(top, DAY) == 2
    assert [path for path in root.rglob("*") if path.is_file()] == [young]


@pytest.mark.parametrize(
    "name", ["file", ".hidden", "name.fxpart", ".name.fxpart", ".name.0123.fxpart", ".name.0123456789ABCDEF.fxpart"]
)
def test_what_is_not_an_unfinished_upload_stays(root: Path, top: int, name: str) -> None:
    aged(root / name, 100 * DAY)
    assert sweep(top, DAY) == 0
    assert (root / name).exists()


def test_one_that_is_being_written_stays(root: Path, top: int) -> None:
    partial = aged(root / PARTIAL, 2 * DAY)
    with partial.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert sweep(top, DAY) == 0
    assert sweep(top, DAY) == 1


def test_no_link_is_followed_and_nothing_else_touched(root: Path, top: int) -> None:
    outside = aged(root.parent / "outside" / PARTIAL, 2 * DAY)
    (root / "link").symlink_to(outside.parent)
    (root / PARTIAL).symlink_to(outside)
    os.mkfifo(root / ".fifo.0123456789abcdef.fxpart")
    (root / ".directory.0123456789abcdef.fxpart").mkdir()
    assert sweep(top, -DAY) == 0
    assert outside.exists()
    assert len(list(root.iterdir())) == 4


def test_it_stops_when_it_is_told_to(root: Path, top: int) -> None:
    aged(root / PARTIAL, 2 * DAY)
    assert sweep(top, DAY, lambda: True) == 0
    assert (root / PARTIAL).exists()


def test_the_server_sweeps_by_itself(serve: Callable[..., Running], root: Path) -> None:
    server = serve(uploads=UploadsConfig(partial_age=0.5), timeouts=TimeoutsConfig(shutdown=1.0))
    (root / "file").write_bytes(b"whole")
    with Dialogue(server.address) as client:
        client.login()
        data = client.data_after("STOR new")
        data.sendall(b"half")
        wait_for(lambda: any(path.suffix == ".fxpart" and path.stat().st_size == 4 for path in root.iterdir()))
        reset(data)
        assert client.read().code == 426
        wait_for(lambda: [path.name for path in root.iterdir()] == ["file"])


def test_the_server_keeps_them_where_it_shall(serve: Callable[..., Running], root: Path) -> None:
    server = serve(uploads=UploadsConfig(partial_age=0))
    assert server.server._sweeping is None
    aged(root / PARTIAL, 1000 * DAY)
    server.stop()
    assert (root / PARTIAL).exists()
