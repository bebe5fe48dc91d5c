"""What the suite takes for the CPU time of a server."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.macro import process

WORKER = """
import sys, threading, time

def work():
    while time.thread_time() < 0.053:
        pass

for _ in range(3):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
print(time.process_time(), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_threads_that_have_ended_are_counted_to_the_last_tick() -> None:
    with subprocess.Popen([sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout
        used = float(worker.stdout.readline())
        counted = process.cpu_seconds([worker.pid])
        worker.communicate()
    assert used > 3 * 0.053
    assert counted >= used


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_that_is_gone_counts_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    assert process.cpu_seconds([gone.pid]) == 0
