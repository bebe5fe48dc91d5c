"""Shared objects under several threads, the interpreter's lock or no: nothing is lost, mixed up, or crashes."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.core.conftest import core_module

FILE_ID = "group1/M00/00/00/fwAAC2sEnrKAE9mjAAAADg4Qul0798.txt"


@pytest.fixture(autouse=True)
def switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def together(*works: Callable[[], object]) -> list[BaseException]:
    failed: list[BaseException] = []
    start = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        try:
            start.wait(60)
            for _ in range(400):
                work()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert not any(thread.is_alive() for thread in threads)
    return failed


def test_a_request_buffer_never_shows_half_a_head(implementation: str) -> None:
    wire = core_module("wire", implementation)
    buffer = wire.RequestBuffer()
    buffer.header(0, 111)
    whole = {wire.pack_header(0, 111), wire.file_request(22, FILE_ID)}
    seen: set[bytes] = set()

    def pack(method: Callable[..., int], *arguments: object) -> Callable[[], None]:
        def work() -> None:
            with contextlib.suppress(BufferError):
                method(*arguments)

        return work

    def read() -> None:
        with memoryview(buffer) as view:
            seen.add(view.tobytes())

    assert together(pack(buffer.header, 0, 111), pack(buffer.file_request, 22, FILE_ID), read) == []
    # The twin packs in two steps; what it shows between them is nothing, never a mixture.
    assert seen <= (whole | {b""} if implementation == "py" else whole)


@pytest.mark.parametrize("reader", ["CommandReader", "ReplyReader", "ListingReader"])
def test_readers_survive_being_shared(reader: str) -> None:
    """A reader is one connection's; sharing it mixes lines up, but must not crash native code."""
    ftpwire = core_module("ftpwire", "c")
    shared = getattr(ftpwire, reader)()
    failed = together(*[lambda: shared.feed(b"220 type=file; x\r\n" * 3)] * 3)
    assert all(isinstance(error, ftpwire.MalformedReply) for error in failed)


def test_a_lister_is_one_threads_at_a_time(tmp_path: Path) -> None:
    ftpwire: ModuleType = core_module("ftpwire", "c")
    for number in range(400):
        (tmp_path / f"{number:03}").touch()
    lister = ftpwire.DirectoryLister(str(tmp_path), "list", chunk=1)
    got: list[bytes] = []

    def take() -> None:
        with contextlib.suppress(RuntimeError, StopIteration):
            got.append(next(lister))

    assert together(take, take) == []
    got.extend(lister)
    assert sorted(piece[-5:-2] for piece in got) == [b"%03d" % number for number in range(400)]


def test_file_ids_are_shared_freely(implementation: str) -> None:
    wire = core_module("wire", implementation)
    parts = wire.decode_file_id(FILE_ID)
    expected = repr(parts)
    wrong: list[str] = []

    def look() -> None:
        if repr(parts) != expected:
            wrong.append(repr(parts))

    assert together(look, look) == []
    assert not wrong


def test_the_interpreters_lock_stays_off_where_it_is_off() -> None:
    enabled = getattr(sys, "_is_gil_enabled", None)
    if enabled is None or not __import__("sysconfig").get_config_var("Py_GIL_DISABLED"):
        pytest.skip("this interpreter always has its lock")
    for name in ("crc32", "wire", "buffers", "places", "ftpwire"):
        core_module(name, "c")
    assert not enabled()
