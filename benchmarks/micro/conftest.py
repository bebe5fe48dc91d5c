"""Peers in processes of their own, connections to them, and figures per byte."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PEER = Path(__file__).with_name("peer.py")
BESIDE = pytest.StashKey[dict[str, Any]]()


@pytest.fixture
def beside(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Where loops that ran beside bare ones leave their figures, to be printed in the end."""
    return request.config.stash.setdefault(BESIDE, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(BESIDE, {})
    if not found:
        return
    terminalreporter.section("medians of ours and of the bare loop, which took turns; ratio of each pair")
    head = ("ours MB/s", "bare MB/s", "ratio", "ours CPU s/GB", "bare CPU s/GB", "ratio")
    terminalreporter.write_line(" " * 26 + "".join(f"{title:>15}" for title in head))
    for loop, figures in found.items():
        rate, spent = figures["MB/s"], figures["CPU s/GB"]
        terminalreporter.write_line(
            f"{loop:26}{rate['ours']:15.0f}{rate['bare']:15.0f}{figures['rate to rate']:15.3f}"
            f"{spent['ours']:15.3f}{spent['bare']:15.3f}{figures['CPU to CPU']:15.3f}"
        )


@pytest.fixture(scope="module")
def peer() -> Iterator[Callable[..., Callable[[], socket.socket]]]:
    """Starts a peer; what it returns makes a non-blocking connection to it."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: object) -> Callable[[], socket.socket]:
            process = stack.enter_context(
                subprocess.Popen([sys.executable, str(PEER), *map(str, arguments)], stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            port = int(process.stdout.readline())

            def connect() -> socket.socket:
                sock = socket.create_connection(("127.0.0.1", port))
                if hasattr(socket, "TCP_CONGESTION"):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setblocking(False)
                return sock

            return connect

        yield start


@pytest.fixture
def measure(benchmark: Any) -> Callable[..., None]:
    """Times *move* on fresh connections, and adds MB/s and CPU seconds per GB to the report."""

    def run(move: Callable[[socket.socket], Any], connect: Callable[[], socket.socket], size: int, rounds: int) -> None:
        spent: list[float] = []

        def once(sock: socket.socket) -> None:
            start = time.process_time()
            move(sock)
            spent.append(time.process_time() - start)
            sock.close()

        benchmark.pedantic(once, setup=lambda: ((connect(),), {}), rounds=rounds)
        if benchmark.enabled:
            benchmark.extra_info["MB_per_s"] = round(size / benchmark.stats.stats.min / 1e6)
        benchmark.extra_info["CPU_s_per_GB"] = round(min(spent) / size * 1e9, 3)

    return run
