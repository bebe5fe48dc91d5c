"""One call of a hot native function takes no more instructions than it did."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import pytest

from tests.guard.baseline import check_instructions
from tests.guard.counting import count_instructions

FEW, MANY = 1_000, 11_000

pytestmark = [
    pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is not installed"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the baseline is of x86-64"),
]


@pytest.mark.parametrize("name", ["crc32", "pack_upload", "pack_download", "decode_file_id"])
def test_a_call_takes_as_many_instructions_as_it_did(name: str, tmp_path: Path) -> None:
    check_instructions(name, count_instructions(tmp_path / "callgrind", name, FEW, MANY))
