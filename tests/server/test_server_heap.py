"""After a rush of clients, memory goes back to the system."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fastxfer.server import heap
from fastxfer.server.heap import QUIET_LOOKS, RUSH, Rush


def test_a_rush_is_over_once_it_has_been_quiet_for_some_looks() -> None:
    rush = Rush()
    assert not any(rush.over(count) for count in (1, RUSH, 3 * RUSH, 2 * RUSH))
    assert [rush.over(RUSH) for _ in range(QUIET_LOOKS)] == [False] * (QUIET_LOOKS - 1) + [True]
    assert not rush.over(RUSH), "said once"


def test_a_lull_is_no_end() -> None:
    rush = Rush()
    rush.over(2 * RUSH)
    for _ in range(10):
        assert not any(rush.over(0) for _ in range(QUIET_LOOKS - 1))
        assert not rush.over(2 * RUSH)


def test_few_sessions_are_no_rush() -> None:
    rush = Rush()
    rush.over(RUSH - 1)
    assert not any(rush.over(0) for _ in range(10 * QUIET_LOOKS))


def test_giving_back_is_possible_or_known_not_to_be() -> None:
    assert heap.give_memory_back() is (heap._trim is not None)


ARENAS = """
import ctypes, sys, threading
from fastxfer.server.heap import use_one_arena

done = use_one_arena()
library = ctypes.CDLL(None)
library.malloc.restype = library.open_memstream.restype = ctypes.c_void_p
# All at the same time, so that none is given the arena of one that has ended.
together = threading.Barrier(8)

def take():
    together.wait()
    library.malloc(100_000)
    together.wait()

threads = [threading.Thread(target=take) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
text, size = ctypes.c_char_p(), ctypes.c_size_t()
stream = ctypes.c_void_p(library.open_memstream(ctypes.byref(text), ctypes.byref(size)))
library.malloc_info(0, stream)
library.fclose(stream)
print(done, text.value.count(b"<heap nr="))
"""


@pytest.mark.allocator
@pytest.mark.skipif(heap._trim is None or heap._mallopt is None, reason="only glibc has arenas")
@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, "True 1"), ({"MALLOC_ARENA_MAX": "3"}, "False 3")],
    ids=["by itself", "as it is told"],
)
def test_all_threads_share_one_arena_unless_the_environment_says_more(settings: dict[str, str], expected: str) -> None:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")
    }
    done = subprocess.run(
        [sys.executable, "-c", ARENAS],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**environment, "PYTHONPATH": os.getcwd(), **settings},
    )
    assert done.stdout.strip() == expected
