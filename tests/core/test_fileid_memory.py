"""The size in a file ID where memory runs out: told, or a MemoryError; never another number."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CHILD = """
import json, _testcapi
from fastxfer.core.wire import decode_file_id, encode_file_id

SIZE = 0xFFFFFFF0
file = decode_file_id(encode_file_id("group1", "127.0.0.1", 1, SIZE, 5))
outcomes = []
for number in range(8):
    _testcapi.set_nomemory(number, number + 1)
    try:
        size = file.size
    except MemoryError:
        size = None
    finally:
        _testcapi.remove_mem_hooks()
    outcomes.append(size in (None, SIZE))
print(json.dumps(outcomes))
"""


def test_the_size_is_told_or_memory_has_run_out() -> None:
    pytest.importorskip("_testcapi", reason="this interpreter cannot be told to run out of memory")
    child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=False)
    assert (child.returncode, child.stderr) == (0, "")
    assert json.loads(child.stdout) == [True] * 8
