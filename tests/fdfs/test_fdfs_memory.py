"""A file that goes through the client never passes through its memory as a whole.

``FASTXFER_TEST_BIG`` is the size of the file in bytes, ``FASTXFER_TEST_SPARSE`` that of one with a hole in it (where it
is not set, that test has a small one); ``FASTXFER_TEST_TRACKERS`` takes a real cluster.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastxfer.fdfs import Client, ClientConfig, parse_file_id

SIZE = int(os.environ.get("FASTXFER_TEST_BIG", str(96 << 20)))
SPARSE = int(os.environ.get("FASTXFER_TEST_SPARSE", str(64 << 20)))
MOST_MEMORY = 16 << 20
MOST_ANNOUNCED = 128 << 20
"""Of an announced 1 GiB; an :class:`AsyncClient` needs some for itself."""

CHILD = """
import asyncio, json, resource, sys
from fastxfer.fdfs import AsyncClient, Client, ClientConfig

trackers, source, target, face = sys.argv[1].split(","), *sys.argv[2:]

def memory(name):
    for line in open("/proc/self/status"):
        if line.startswith(name):
            return int(line.split()[1]) * 1024

def begin():
    open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
    return memory("VmRSS")

def blocking():
    with Client(ClientConfig(trackers)) as client:
        client.delete_file(client.upload_buffer(b"warm", "bin"))
        before = begin()
        file_id = client.upload_file(source)
        up = memory("VmHWM")
        client.download_to_file(file_id, target)
        down = memory("VmHWM")
        client.delete_file(file_id)
    return before, up, down

async def waiting():
    async with AsyncClient(ClientConfig(trackers)) as client:
        await client.delete_file(await client.upload_buffer(b"warm", "bin"))
        before = begin()
        file_id = await client.upload_file(source)
        up = memory("VmHWM")
        await client.download_to_file(file_id, target)
        down = memory("VmHWM")
        await client.delete_file(file_id)
    return before, up, down

before, up, down = blocking() if face == "blocking" else asyncio.run(waiting())
print(json.dumps({"upload": up - before, "download": down - before}))
"""


LIAR = """
import asyncio, json, struct, sys, tempfile
from fastxfer.fdfs import AsyncClient, Client, ClientConfig, FastDFSError
from fastxfer.fdfs.node import Fault, Node

def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024

async def download(config, file_id):
    async with AsyncClient(config) as client:
        return await client.download_file(file_id)

with tempfile.TemporaryDirectory() as directory, Node(directory, groups={"group1": 1}, trackers=1) as node:
    config = ClientConfig(node.tracker_addrs, retry_count=1)
    with Client(config) as client:
        file_id = client.upload_appender_buffer(b"honest", "log")
        assert client.download_file(file_id) == b"honest"
        before = peak()
        # Cut where it ends: the connection is closed, so that nobody waits for the rest.
        announced = struct.pack(">qBB", 1 << 30, 100, 0) + b"not much"
        node.inject(Fault("group1", 14, times=None, answer=announced + b".", cut=len(announced)))
        try:
            client.download_file(file_id) if sys.argv[1] == "blocking" else asyncio.run(download(config, file_id))
        except FastDFSError as error:
            print(json.dumps({"error": type(error).__name__, "grown": peak() - before}))
"""


def same_bytes(first: Path, second: Path) -> bool:
    with first.open("rb") as one, second.open("rb") as other:
        while piece := one.read(1 << 20):
            if other.read(1 << 20) != piece:
                return False
        return not other.read(1)


def write_random(path: Path, size: int) -> None:
    with path.open("wb") as file:
        while size:
            file.write(os.urandom(min(size, 1 << 20)))
            size -= min(size, 1 << 20)


@pytest.mark.timeout(900)
@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak of memory cannot be reset here")
@pytest.mark.parametrize("face", ["blocking", "waiting"])
def test_a_big_file_takes_little_memory(trackers: list[str], tmp_path: Path, face: str) -> None:
    source, target = tmp_path / "source.bin", tmp_path / "target.bin"
    try:
        write_random(source, SIZE)
        child = subprocess.run(
            [sys.executable, "-c", CHILD, ",".join(trackers), source, target, face],
            capture_output=True,
            text=True,
            check=False,
        )
        assert child.returncode == 0, child.stderr
        grown = json.loads(child.stdout)
        print(f"{SIZE >> 20} MiB, {face}: peak memory has grown by {grown}")
        assert max(grown.values()) < MOST_MEMORY
        assert same_bytes(source, target)
    finally:
        source.unlink(missing_ok=True)
        target.unlink(missing_ok=True)


@pytest.mark.skipif(not os.access("/proc/self/status", os.R_OK), reason="the peak of memory is not known here")
@pytest.mark.parametrize("face", ["blocking", "waiting"])
def test_a_long_body_that_is_only_announced_takes_little_memory(face: str) -> None:
    """An appender's size is in no file ID: what the server says is believed as far as it has come."""
    child = subprocess.run([sys.executable, "-c", LIAR, face], capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    outcome = json.loads(child.stdout)
    print(f"{face}: peak memory has grown by {outcome['grown']}")
    assert outcome["error"] == "NetworkError"
    assert outcome["grown"] < MOST_ANNOUNCED


@pytest.mark.timeout(900)
def test_a_file_with_a_hole(trackers: list[str], tmp_path: Path) -> None:
    """Its size needs more than 32 bits where it is made large enough."""
    source, target = tmp_path / "sparse.bin", tmp_path / "copy.bin"
    try:
        with source.open("wb") as file:
            file.write(b"first")
            file.seek(SPARSE - 4)
            file.write(b"last")
        with Client(ClientConfig(trackers)) as client:
            file_id = client.upload_file(source)
            try:
                assert parse_file_id(file_id).size == SPARSE
                assert client.get_file_info(file_id).file_size == SPARSE
                assert client.download_file_range(file_id, SPARSE - 5, 0) == b"\0last"
                assert client.download_file_range(file_id, SPARSE // 2, 10) == bytes(10)
                assert client.download_to_file(file_id, target) == SPARSE
            finally:
                client.delete_file(file_id)
        assert same_bytes(source, target)
    finally:
        source.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
