"""How the pieces of a body get into the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastxfer.server.web import pump


@pytest.mark.parametrize("count", [0, 1, 2, pump.MOST_PIECES, pump.MOST_PIECES + 1, 1500])
def test_pieces_are_written_one_after_the_other(tmp_path: Path, count: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    pieces = [b"%d," % number for number in range(count)]
    with path.open("r+b") as file:
        pump._write_all(file.fileno(), pieces, 6)
    assert path.read_bytes() == b"before" + b"".join(pieces)


@pytest.mark.skipif(not hasattr(os, "pwritev"), reason="the system has no pwritev")
@pytest.mark.parametrize("most", [1, 4, 7])
def test_what_the_system_did_not_take_at_once_is_written_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    def short(descriptor: int, pieces: list[bytes], position: int) -> int:
        return os.pwrite(descriptor, b"".join(pieces)[:most], position)

    monkeypatch.setattr(os, "pwritev", short)
    path = tmp_path / "file"
    with path.open("w+b") as file:
        pump._write_all(file.fileno(), [b"abc", b"def", b"ghi"], 2)
    assert path.read_bytes() == b"\0\0abcdefghi"
