"""Very many transfers at once, and very many that are cancelled: all bytes are right, nothing is left over.

Larger by ``FASTXFER_TEST_SMALL_DOWNLOADS``, ``FASTXFER_TEST_LARGE_DOWNLOADS`` (of 10 MiB; of 1 MiB where it is not
set) and ``FASTXFER_TEST_CANCELS``; on a real cluster with ``FASTXFER_TEST_TRACKERS``.
"""

from __future__ import annotations

import gc
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fastxfer.fdfs import CancelToken, Client, TransferCancelledError
from tests.fdfs.conftest import quick_config

SMALL = int(os.environ.get("FASTXFER_TEST_SMALL_DOWNLOADS", "1000"))
LARGE = int(os.environ.get("FASTXFER_TEST_LARGE_DOWNLOADS", "100"))
LARGE_SIZE = (10 << 20) if "FASTXFER_TEST_LARGE_DOWNLOADS" in os.environ else (1 << 20)
CANCELS = int(os.environ.get("FASTXFER_TEST_CANCELS", "200"))

MOST_NATIVE_THREADS = 8
"""Two, and more only while all of them are held up by a slow disk."""

MOST_PYTHON_THREADS = 5
"""The loop's own, and those that open and rename files."""

CHILD = """
import asyncio, json, os, sys, threading, zlib
from fastxfer.fdfs import AsyncClient, ClientConfig, parse_file_id

trackers, count, ids, directory = sys.argv[1].split(","), int(sys.argv[2]), sys.argv[3].split(","), sys.argv[4]

def memory(name):
    for line in open("/proc/self/status"):
        if line.startswith(name):
            return int(line.split()[1]) * 1024

async def one(client, number):
    file_id = ids[number % len(ids)]
    crc32 = parse_file_id(file_id).crc32
    if directory:
        path = os.path.join(directory, str(number))
        await client.download_to_file(file_id, path)
        with open(path, "rb") as file:
            crc = 0
            while piece := file.read(1 << 18):
                crc = zlib.crc32(piece, crc)
        os.unlink(path)
        assert crc == crc32
    else:
        assert zlib.crc32(await client.download_file(file_id)) == crc32
    return True

async def main():
    native = python = 0
    async with AsyncClient(ClientConfig(trackers, max_conns=64, pool_timeout=None)) as client:
        await one(client, 0)
        open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
        before = memory("VmRSS")
        tasks = [asyncio.ensure_future(one(client, number)) for number in range(count)]
        while (await asyncio.wait(tasks, timeout=0.02))[1]:
            all_threads = len(os.listdir("/proc/self/task"))
            python = max(python, threading.active_count())
            native = max(native, all_threads - threading.active_count())
        assert all([task.result() for task in tasks])
        opened = {name: each.opened for name, each in client.stats().connections.items()}
    grown = memory("VmHWM") - before
    print(json.dumps({"grown": grown, "native threads": native, "Python threads": python, "connections": opened}))

asyncio.run(main())
"""


def content(size: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def download(trackers: list[str], count: int, ids: list[str], directory: Path | str = "") -> dict[str, int]:
    """Many at once in a process of its own: what it took."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, ",".join(trackers), str(count), ",".join(ids), str(directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    took: dict[str, int] = json.loads(child.stdout)
    print(f"{count} downloads at once: {took}")
    return took


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


needs_proc = pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak of memory cannot be reset here"
)


@needs_proc
@pytest.mark.timeout(900)
def test_thousands_of_small_downloads_at_once(trackers: list[str]) -> None:
    with Client(quick_config(trackers)) as client:
        ids = [client.upload_buffer(content(size, size), "bin") for size in (10, 1000, 4096, 20_000)]
        try:
            took = download(trackers, SMALL, ids)
        finally:
            list(client.delete_many(ids))
    assert took["native threads"] <= MOST_NATIVE_THREADS
    assert took["Python threads"] <= MOST_PYTHON_THREADS
    # A task each, and the bytes of the few under way.
    assert took["grown"] < (32 << 20) + SMALL * 32_000


@needs_proc
@pytest.mark.allocator
@pytest.mark.timeout(900)
def test_hundreds_of_large_downloads_at_once(trackers: list[str], tmp_path: Path) -> None:
    with Client(quick_config(trackers)) as client:
        ids = [client.upload_buffer(content(LARGE_SIZE, seed), "bin") for seed in range(4)]
        try:
            took = download(trackers, LARGE, ids, tmp_path)
        finally:
            list(client.delete_many(ids))
    assert took["native threads"] <= MOST_NATIVE_THREADS
    assert took["Python threads"] <= MOST_PYTHON_THREADS
    assert took["grown"] < 32 << 20


@pytest.mark.timeout(900)
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open descriptors cannot be counted here")
def test_cancelled_transfers_of_threads_leak_nothing(trackers: list[str], tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(content(3_000_000))
    (tmp_path / "out").mkdir()
    outcomes = {"cancelled": 0, "done": 0}
    lock = threading.Lock()
    with Client(quick_config(trackers, max_conns=8)) as client, ThreadPoolExecutor(8) as threads:
        small, large = client.upload_buffer(b"x" * 5000, "bin"), client.upload_file(source)

        def one(number: int) -> None:
            dice = random.Random(number)
            token = CancelToken()
            timer = threading.Timer(dice.random() * 0.01, token.cancel)
            timer.start()
            operation = dice.choice(("memory", "file", "upload", "small", "chunks"))
            try:
                if operation == "memory":
                    assert client.download_file(large, cancel=token) == source.read_bytes()
                elif operation == "file":
                    client.download_to_file(large, tmp_path / "out" / f"{number}", cancel=token)
                elif operation == "upload":
                    client.delete_file(client.upload_file(source, cancel=token))
                elif operation == "small":
                    assert client.download_file(small, cancel=token) == b"x" * 5000
                else:
                    for _ in client.download_iter(large, 100_000, cancel=token):
                        pass
                outcome = "done"
            except TransferCancelledError:
                outcome = "cancelled"
            timer.join()
            with lock:
                outcomes[outcome] += 1

        list(threads.map(one, range(16)))
        gc.collect()
        before, threads_before = len(os.listdir("/proc/self/fd")), threading.active_count()
        kept = sum(each.idle for each in client.stats().connections.values())
        list(threads.map(one, range(16, 16 + CANCELS)))
        assert outcomes["cancelled"] > CANCELS // 10
        print(outcomes)
        for path in (tmp_path / "out").iterdir():
            assert path.read_bytes() == source.read_bytes()
        stats = client.stats().connections
        assert all(each.busy == 0 and each.waiting == 0 for each in stats.values())
        # Every connection that is kept answers, and answers what it was asked.
        for _ in range(50):
            assert client.download_file(small) == b"x" * 5000
            assert client.get_file_info(large).file_size == 3_000_000
        gc.collect()
        # A node in this process has the other end of each connection, and closes it when it comes to it.
        more = max(0, sum(each.idle for each in client.stats().connections.values()) - kept)
        eventually(lambda: len(os.listdir("/proc/self/fd")) <= before + 2 * more + 8)
        eventually(lambda: threading.active_count() <= threads_before + 2 * more)
        client.delete_file(small)
        client.delete_file(large)
