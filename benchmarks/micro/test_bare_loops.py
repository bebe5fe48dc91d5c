"""Our loops and bare C loops that make the same system calls, in turns on the same peer; how they compare is printed.

pytest benchmarks/micro/test_bare_loops.py --benchmark-enable
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.macro.compile import CompileError, compiled
from benchmarks.micro.alternatives import core

SIZE = int(os.environ.get("FASTXFER_BENCH_BYTES", str(128 << 20)))
ROUNDS = int(os.environ.get("FASTXFER_BENCH_ROUNDS", "9"))
MEMORY_FOLDER = "/dev/shm"  # noqa: S108

Place = Any
"""A descriptor, or memory."""


@pytest.fixture(scope="module", autouse=True)
def away_from_the_peer() -> Iterator[None]:
    """The peer has the first processor; this side takes the others, if there are any."""
    before = os.sched_getaffinity(0)
    if len(before) > 1:
        os.sched_setaffinity(0, before - {0})
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture(scope="module")
def bare() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(compiled(str(Path(__file__).with_name("bare.c")), "-shared", "-fPIC"))
    except CompileError as error:
        pytest.skip(str(error))
    for name in ("sendfile", "read_and_send", "splice", "splice_reserved", "copy", "copy_reserved"):
        getattr(library, f"bare_{name}").argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64]
        getattr(library, f"bare_{name}").restype = ctypes.c_int64
    library.bare_receive.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int64]
    library.bare_receive.restype = ctypes.c_int64
    return library


@contextlib.contextmanager
def file_in(folder: str | Path) -> Iterator[int]:
    with tempfile.TemporaryFile(dir=folder) as file:
        yield file.fileno()


@contextlib.contextmanager
def source() -> Iterator[int]:
    """A file whose pages are in memory."""
    with file_in(MEMORY_FOLDER) as descriptor:
        piece = os.urandom(1 << 20)
        for start in range(0, SIZE, len(piece)):
            os.pwrite(descriptor, piece[: SIZE - start], start)
        yield descriptor


@contextlib.contextmanager
def memory() -> Iterator[bytearray]:
    """Touched before."""
    yield bytearray(b"x") * SIZE


def our_transfer(**options: Any) -> Callable[[socket.socket, Place], None]:
    """Runs a transfer; ``place`` among the options is the name under which it is given the file or the memory."""
    place_name = options.pop("place")
    module = core("xfer")
    framing = module.FRAMING_NONE if place_name == "send_fd" else module.FRAMING_RAW

    def move(sock: socket.socket, place: Place) -> None:
        transfer = module.Transfer(sock.fileno(), framing=framing, timeout=60, **{place_name: place}, **options)
        transfer.run()
        assert (transfer.error, transfer.sent + transfer.received) == (0, SIZE)

    return move


TO_FILE: dict[str, Any] = {"place": "recv_fd", "recv_offset": 0, "recv_count": SIZE}
LOOPS: dict[str, tuple[str, str, Callable[[], Any], dict[str, Any]]] = {
    "file to socket, sendfile": ("discard", "sendfile", source, {"place": "send_fd"}),
    "file to socket, copied": ("discard", "read_and_send", source, {"place": "send_fd", "zero_copy": False}),
    "socket to tmpfs, splice": ("feed", "splice", lambda: file_in(MEMORY_FOLDER), TO_FILE),
    "socket to tmpfs, copied": ("feed", "copy", lambda: file_in(MEMORY_FOLDER), {**TO_FILE, "zero_copy": False}),
    "socket to disk, splice": ("feed", "splice_reserved", lambda: file_in("."), TO_FILE),
    "socket to disk, copied": ("feed", "copy_reserved", lambda: file_in("."), {**TO_FILE, "zero_copy": False}),
    "socket to memory": ("feed", "receive", memory, {"place": "recv_into", "recv_count": SIZE}),
}


def pointer(place: Place) -> Any:
    return (ctypes.c_char * SIZE).from_buffer(place) if isinstance(place, bytearray) else place


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_beside_the_bare_one(
    benchmark: Any, peer: Callable[..., Any], bare: ctypes.CDLL, beside: dict[str, Any], loop: str
) -> None:
    if not os.path.isdir(MEMORY_FOLDER):
        pytest.skip("no tmpfs")
    benchmark.group = "loops"
    side, strategy, make_place, options = LOOPS[loop]
    connect = peer(side, *([SIZE] if side == "feed" else []))
    ours = our_transfer(**options)
    bare_loop = getattr(bare, f"bare_{strategy}")
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    spent: dict[str, list[float]] = {"ours": [], "bare": []}

    def timed(who: str, move: Callable[[], None]) -> None:
        wall, used = time.perf_counter(), time.process_time()
        move()
        spent[who].append((time.process_time() - used) / SIZE * 1e9)
        rates[who].append(SIZE / (time.perf_counter() - wall) / 1e6)

    with contextlib.ExitStack() as places:
        place = places.enter_context(make_place()) if side == "discard" or make_place is memory else None

        def run(who: str) -> None:
            with contextlib.ExitStack() as stack:
                sock = stack.enter_context(connect())
                where = stack.enter_context(make_place()) if place is None else place
                if who == "bare":
                    sock.setblocking(True)
                    there = pointer(where)
                    moved: list[int] = []
                    timed(who, lambda: moved.append(bare_loop(sock.fileno(), there, SIZE)))
                    assert moved == [SIZE]
                else:
                    timed(who, lambda: ours(sock, where))

        run("bare")
        run("ours")
        for figures in (rates, spent):
            figures["ours"].clear()
            figures["bare"].clear()
        benchmark.pedantic(lambda: run("ours"), setup=lambda: run("bare"), rounds=ROUNDS)
    if not benchmark.enabled:
        return
    beside[loop] = {
        "MB/s": {who: statistics.median(found) for who, found in rates.items()},
        "CPU s/GB": {who: statistics.median(found) for who, found in spent.items()},
        "rate to rate": statistics.median(a / b for a, b in zip(rates["ours"], rates["bare"], strict=True)),
        "CPU to CPU": statistics.median(a / b for a, b in zip(spent["ours"], spent["bare"], strict=True)),
    }
    benchmark.extra_info.update(beside[loop])
