"""Many sessions doing anything at all: every byte is checked against a model, and nothing is left behind.

``FASTXFER_SOAK_SECONDS`` makes it longer, ``FASTXFER_SOAK_SESSIONS`` wider; with ``-s`` the figures are shown.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastxfer.server import LimitsConfig, TlsConfig
from fastxfer.server.heap import RUSH
from tests.server.conftest import Tls
from tests.server.crowd import crowd
from tests.server.dialogue import DEADLINE, ENGINE_DESCRIPTORS, PASSWORD, USER, Dialogue, Running, wait_for

SECONDS = float(os.environ.get("FASTXFER_SOAK_SECONDS", "3"))
SESSIONS = int(os.environ.get("FASTXFER_SOAK_SESSIONS", "12"))
CROWDS = 2
WARM_SECONDS = max(2.0, SECONDS / 5)
GROWTH_KIB = 16 * 1024
PAUSE = 0.05
SETTLE = 10.0 if SESSIONS >= RUSH else 0.0
"""Seconds after which the server has given back what a crowd left free."""


def nothing_strange_in(root: Path) -> bool:
    return all(
        b"this must never be seen" not in path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.endswith(".fxpart")
    )


@pytest.mark.timeout(120 + 3 * SECONDS)
def test_nothing_is_mixed_up_lost_or_left_behind(
    serve: Callable[..., Running], tls: Tls, root: Path, descriptors: Callable[[], int]
) -> None:
    server = serve(tls=TlsConfig(cert=tls.cert), limits=LimitsConfig(sessions=SESSIONS * 2 + 10))
    before = descriptors()
    outcome = crowd(server.address, SESSIONS, SECONDS, tls.context())
    assert outcome.failures == []
    assert outcome.sessions == SESSIONS
    assert outcome.operations > SESSIONS
    wait_for(lambda: server.server.sessions == 0)
    wait_for(lambda: descriptors() <= before + ENGINE_DESCRIPTORS)
    assert nothing_strange_in(root)


class Process:
    """``fastxfer serve`` in a process of its own and those of its workers, looked at from outside."""

    def __init__(self, root: Path, password: Path, cert: str, workers: int) -> None:
        password.write_text(PASSWORD)
        command = [sys.executable, "-m", "fastxfer", "serve", str(root), "--port", "0", "--tls-cert", cert]
        command += ["--user", USER, "--password-file", str(password), "--limits-sessions", str(4 * SESSIONS + 100)]
        command += ["--workers", str(workers)]
        self._log = (password.parent / "log").open("w+")
        self._process = subprocess.Popen(command, stderr=self._log, env={**os.environ, "PYTHONPATH": os.getcwd()})
        wait_for(lambda: "ftp://" in self.log())
        self.address = ("127.0.0.1", int(self.log().splitlines()[0].rstrip("/").rpartition(":")[2]))

    def log(self) -> str:
        return Path(self._log.name).read_text()

    def processes(self) -> list[str]:
        first = str(self._process.pid)
        children = Path(f"/proc/{first}/task/{first}/children")
        # Not every kernel is built with it.
        return [first, *(children.read_text().split() if children.exists() else [])]

    def descriptors(self) -> int:
        return sum(len(os.listdir(f"/proc/{process}/fd")) for process in self.processes())

    def memory_kib(self) -> int:
        found = [Path(f"/proc/{process}/status").read_text() for process in self.processes()]
        return sum(int(status.partition("VmRSS:")[2].split()[0]) for status in found)

    def stop(self) -> int:
        self._process.terminate()
        self._log.close()
        return self._process.wait(DEADLINE)


@contextlib.contextmanager
def crowds(address: tuple[str, int], seconds: float, ca: str, first: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Crowds in processes of their own, together as many sessions as are wanted."""
    share = -(-SESSIONS // CROWDS)
    call = [sys.executable, "-m", "tests.server.crowd", *map(str, address), str(share), str(seconds)]
    with contextlib.ExitStack() as stack:
        running = []
        for number in range(CROWDS):
            process = subprocess.Popen([*call, str(first + number * share), ca], stdout=subprocess.PIPE, text=True)
            running.append(stack.enter_context(process))
            stack.callback(process.kill)
        yield running


def watch(client: Dialogue, running: list[subprocess.Popen[str]]) -> list[float]:
    """How long the server makes another session wait for NOOP and SIZE, again and again while *running*."""
    waits = []
    while any(process.poll() is None for process in running):
        began = time.perf_counter()
        client.expect(200, "NOOP")
        client.expect(213, "SIZE own")
        waits.append(time.perf_counter() - began)
        time.sleep(PAUSE)
    return waits


def outcome_of(running: list[subprocess.Popen[str]]) -> int:
    """Operations of all crowds; their failures are raised."""
    operations = 0
    for process in running:
        output, _ = process.communicate(timeout=DEADLINE)
        outcome = json.loads(output)
        assert outcome["failures"] == [], outcome["failures"][0]
        operations += outcome["operations"]
    return operations


@pytest.mark.timeout(120 + 3 * SECONDS)
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="memory and descriptors are read from /proc")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_crowd_leaves_the_server_as_it_was_and_the_others_served(
    tmp_path: Path, root: Path, tls: Tls, workers: int
) -> None:
    pytest.importorskip("click", reason="needs the extra `cli`")
    server = Process(root, tmp_path / "password", tls.cert, workers)
    try:
        with Dialogue(server.address) as client:
            client.login()
            assert client.put("STOR own", b"x" * 1000).code == 226
            with crowds(server.address, WARM_SECONDS, tls.ca, 0) as warm:
                watch(client, warm)
                outcome_of(warm)
            time.sleep(SETTLE)
            before = server.descriptors(), server.memory_kib()
            with crowds(server.address, SECONDS, tls.ca, 100_000) as main:
                waits = sorted(watch(client, main))
                operations = outcome_of(main)
            wait_for(lambda: server.descriptors() <= before[0] + workers * ENGINE_DESCRIPTORS)
            peak = server.memory_kib()
            time.sleep(SETTLE)
            wait_for(lambda: server.memory_kib() <= before[1] * 1.2 + workers * GROWTH_KIB)
            after = server.descriptors(), server.memory_kib()
        print(
            f"\n{workers} workers, {SESSIONS} sessions, {SECONDS:.0f} s: {operations} operations, "
            f"all bytes as they should be; "
            f"descriptors {before[0]} -> {after[0]}, memory {before[1]} -> {peak} -> {after[1]} KiB; "
            f"another session's NOOP + SIZE {len(waits)} times: median {statistics.median(waits) * 1e3:.1f} ms, "
            f"99th percentile {waits[int(len(waits) * 0.99)] * 1e3:.1f} ms, longest {waits[-1] * 1e3:.1f} ms"
        )
        assert nothing_strange_in(root)
    finally:
        code = server.stop()
    assert code == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
