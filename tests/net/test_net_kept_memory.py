"""Large blocks that come and go: what they take of the system's memory, counted in processes of their own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.allocator,
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tells how glibc keeps memory"),
]

COUNT = """
import resource
def count(work, times=50):
    work()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        work()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = 50 * 256
"""Of 50 MiB, which would all be taken anew without the care that is tested here."""


def faults(program: str) -> int:
    """Page faults that the work of *program* takes 50 times over, after the first."""
    run = subprocess.run(
        [sys.executable, "-c", COUNT + program], capture_output=True, text=True, timeout=120, check=True
    )
    return int(run.stdout)


@pytest.mark.parametrize("largest", ["", "2 << 20); keep_memory(10 << 20", "10 << 20); keep_memory(2 << 20"])
def test_blocks_are_of_memory_that_is_there(largest: str) -> None:
    program = f"""
from fastxfer.net.kept_memory import keep_memory
keep_memory({largest})
def work():
    blocks = [bytearray(b"x") * 600_000 for _ in range(3)]
    blocks.clear()
count(work)
"""
    assert faults(program) < PAGES // 8


def test_a_stream_that_is_gathered_takes_no_new_memory_each_time() -> None:
    program = """
import io
from fastxfer.fdfs.body import Spool
stream = open("/dev/zero", "rb", buffering=0)
def work():
    with Spool() as spool:
        for size in (1 << 20, 1 << 20, 200_000):
            spool.write(stream.read(size))
        assert spool.body().size == 2_297_152
count(work)
"""
    assert faults(program) < PAGES // 8


def test_pieces_of_a_file_object_that_is_uploaded_take_no_new_memory_each() -> None:
    program = """
from fastxfer.ftp.endpoints import ChunkSource
source = ChunkSource(open("/dev/zero", "rb", buffering=0))
def work():
    for _ in range(4):
        pulling = source.read()
        try:
            pulling.send(None)
        except StopIteration as end:
            held = end.value
count(work)
"""
    assert faults(program) < PAGES // 8
