"""A small file that comes: opened beside its name, and handed over to be received."""

from __future__ import annotations

import os
import stat

import pytest

from tests.core.shortcut.conftest import OPENING, Staged


def test_an_upload_is_opened_beside_its_name_and_landed_on_it(stage: Staged) -> None:
    at = stage()
    data = at.connect()
    verb, path, fd, connection, directory, partial, unsent, _ = at.shortcut.serve("STOR ünï\r\n".encode())
    assert (verb, path, directory, partial, unsent) == ("STOR", "/ünï", at.top, ".ünï.part", b"")
    assert at.told() == OPENING
    assert at.shortcut.prepared
    assert os.listdir(at.root) == [".ünï.part"]
    with pytest.raises(OSError, match=r"ünï\.part"):
        at.module.open_partial(at.top, ".ünï.part", 0o600)
    os.write(fd, b"content")
    assert at.module.land(directory, partial, "ünï", fd, connection, at.control.fileno(), b"226 done\r\n") == 10
    assert at.told() == b"226 done\r\n"
    assert data.recv(1) == b""
    assert os.listdir(at.root) == ["ünï"]
    assert (at.root / "ünï").read_bytes() == b"content"
    assert stat.S_IMODE((at.root / "ünï").stat().st_mode) == 0o640
    at.shortcut.keep()
    assert not at.shortcut.prepared


def test_an_upload_begins_empty_with_the_mode_of_what_it_replaces(stage: Staged) -> None:
    at = stage()
    (at.root / "file").write_bytes(b"old")
    (at.root / "file").chmod(0o604)
    (at.root / ".file.part").write_bytes(b"what an earlier one has left")
    at.connect()
    *_, fd, connection, _, _, _, _ = at.shortcut.serve(b"STOR file\r\n")
    status = os.fstat(fd)
    assert (status.st_size, stat.S_IMODE(status.st_mode)) == (0, 0o604)
    assert (at.root / "file").read_bytes() == b"old"
    os.close(fd)
    os.close(connection)


def test_an_upload_to_a_name_that_is_taken_or_being_written_is_left_to_others(stage: Staged) -> None:
    at = stage()
    (at.root / "taken").mkdir()
    busy, _, _ = at.module.open_partial(at.top, ".busy.part", 0o600)
    at.connect()
    assert at.shortcut.serve(b"STOR taken\r\n") is False
    assert at.still_waits()
    at.shortcut.keep()
    at.connect()
    assert at.shortcut.serve(b"STOR busy\r\n") is False
    assert at.still_waits()
    os.close(busy)
    assert sorted(os.listdir(at.root)) == [".busy.part", "taken"]


def test_an_upload_that_cannot_have_its_name_stays_open(stage: Staged) -> None:
    at = stage()
    at.connect()
    *_, fd, connection, directory, partial, _, _ = at.shortcut.serve(b"STOR file\r\n")
    at.told()
    (at.root / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        at.module.land(directory, partial, "file", fd, connection, at.control.fileno(), b"226 done\r\n")
    os.write(fd, b"still open")
    os.close(fd)
    os.close(connection)
    at.client.setblocking(False)
    with pytest.raises(BlockingIOError):
        at.told()
