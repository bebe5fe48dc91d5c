"""Pools: aligned memory that comes back by itself when nobody holds it any more."""

from __future__ import annotations

import gc
import socket
import threading
import time
from types import ModuleType

import pytest


def test_buffers_are_writable_and_aligned(buffers: ModuleType) -> None:
    for alignment in (1, 64, 4096, 1 << 16):
        pool = buffers.BufferPool(1000, 3, alignment)
        held = [pool.acquire() for _ in range(3)]
        assert all(buffer.address % alignment == 0 for buffer in held)
        for number, buffer in enumerate(held):
            assert isinstance(buffer, buffers.Buffer)
            assert len(buffer) == 1000
            buffer[:][:] = bytes([number]) * 1000
        assert [bytes(buffer) for buffer in held] == [bytes([number]) * 1000 for number in range(3)]


def test_the_pool_says_what_it_is(buffers: ModuleType) -> None:
    pool = buffers.BufferPool(4096, 2)
    assert (pool.size, pool.limit, pool.alignment) == (4096, 2, 4096)
    assert pool.stats() == (4096, 2, 0, 0, 0, 0)
    buffer = pool.acquire()
    del buffer
    buffer = pool.acquire()
    stats = pool.stats()
    assert (stats.allocated, stats.in_use, stats.acquired, stats.reused) == (1, 1, 2, 1)
    del buffer


def test_slices_share_memory_and_keep_it(buffers: ModuleType) -> None:
    pool = buffers.BufferPool(100, 1)
    buffer = pool.acquire()
    piece = buffer[10:20]
    part = piece[2:4]
    buffer[12:14][:] = b"ab"
    assert part.tobytes() == b"ab"
    del buffer, piece
    assert pool.stats().in_use == 1
    assert pool.try_acquire() is None
    assert part.tobytes() == b"ab"
    del part
    assert pool.stats().in_use == 0
    assert pool.try_acquire() is not None


def test_any_export_keeps_it(buffers: ModuleType) -> None:
    pool = buffers.BufferPool(100, 1)
    left, right = socket.socketpair()
    with left, right:
        buffer = pool.acquire()
        right.sendall(b"hello")
        assert left.recv_into(buffer) == 5
        view = memoryview(buffer)
        del buffer
        assert pool.stats().in_use == 1
        assert view.nbytes == 100
        view.release()
    assert pool.stats().in_use == 0


def test_only_slices(buffers: ModuleType) -> None:
    buffer = buffers.BufferPool(10, 1).acquire()
    with pytest.raises(TypeError, match="sliced, not indexed"):
        buffer[0]


def test_at_most_limit_buffers_exist(buffers: ModuleType) -> None:
    pool = buffers.BufferPool(10, 2)
    first, second = pool.acquire(), pool.try_acquire()
    assert second is not None
    assert pool.try_acquire() is None
    with pytest.raises(TimeoutError, match="all 2 buffers are in use"):
        pool.acquire(0)
    with pytest.raises(TimeoutError):
        pool.acquire(timeout=0.01)
    del first
    assert pool.acquire(0) is not None


def test_a_waiting_thread_gets_the_next_buffer(buffers: ModuleType) -> None:
    pool = buffers.BufferPool(10, 1)
    held = [pool.acquire()]
    got: list[int] = []

    def wait() -> None:
        buffer = pool.acquire()
        got.append(len(buffer))

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    held.clear()
    for thread in threads:
        thread.join(60)
    assert got == [10, 10, 10]
    assert pool.stats().in_use == 0


def test_threads_share_a_pool(buffers: ModuleType) -> None:
    pool = buffers.BufferPool(64, 3)
    wrong: list[str] = []

    def work(mark: bytes) -> None:
        for step in range(300):
            try:
                buffer = pool.acquire(0.0005 if step % 3 else 60)
            except TimeoutError:
                continue
            view = buffer[:]
            view[:] = mark * 64
            if step % 50 == 0:
                time.sleep(0)
            if view.tobytes() != mark * 64:
                wrong.append("somebody else wrote into a buffer in use")
            del view, buffer

    threads = [threading.Thread(target=work, args=(bytes([65 + number]),)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert not wrong
    assert pool.stats().in_use == 0
    assert pool.stats().allocated <= 3


def test_trim_gives_idle_memory_back(buffers: ModuleType) -> None:
    pool = buffers.BufferPool(1 << 20, 4)
    held = [pool.acquire() for _ in range(4)]
    del held[1:]
    assert pool.trim() == 3
    assert pool.stats().allocated == 1
    assert pool.trim() == 0
    held.append(pool.acquire())
    assert pool.stats().allocated == 2


def test_buffers_may_outlive_their_pool(buffers: ModuleType) -> None:
    buffer = buffers.BufferPool(100, 1).acquire()
    gc.collect()
    buffer[:5][:] = b"alive"
    assert bytes(buffer[:5]) == b"alive"


@pytest.mark.parametrize("arguments", [(0, 1), (-1, 1), (1, 0), (1, 1, 0), (1, 1, 3), (1, 1, -4096)])
def test_bad_settings_are_refused(buffers: ModuleType, arguments: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"at least 1|power of two"):
        buffers.BufferPool(*arguments)


def test_more_memory_than_there_is(buffers: ModuleType) -> None:
    pool = buffers.BufferPool(1 << 60, 1)
    with pytest.raises((MemoryError, OSError)):
        pool.acquire()
    assert pool.stats().in_use == 0
