"""The driver's side of the worker protocol."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.macro import congestion
from benchmarks.macro.scenario import Peer
from fastxfer.bench import Work

ROOT = Path(__file__).resolve().parents[2]


class Missing(Exception):
    """The peer cannot run on this machine; the text says why."""


class WorkerError(Exception):
    """The peer failed at its work."""


class Worker:
    """A peer in a process of its own.

    Raises:
        Missing: when the peer says that it cannot run here.
    """

    def __init__(self, peer: Peer, log: Path) -> None:
        self.peer = peer
        self._log = log.open("ab")
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        environment = congestion.environment({**os.environ, "PYTHONPATH": path})
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.macro.peers.{peer.module}", *peer.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            cwd=ROOT,
        )
        self._rest = b""
        try:
            document = self._read(60)
        except WorkerError as error:
            self.close()
            raise Missing(str(error)) from None
        if "missing" in document:
            self.close()
            raise Missing(document["missing"])
        self.version: str = document["ready"]["version"]

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, work: Work, sample: Callable[[], Any], timeout: float) -> list[dict[str, Any]]:
        """Have *work* done; the measurements, each with ``before`` and ``after`` as *sample* returned them.

        Raises:
            WorkerError: when the peer fails, dies or is silent for *timeout* seconds.
        """
        self._write({"run": work.to_json()})
        results: list[dict[str, Any]] = []
        before = sample()
        while True:
            document = self._read(timeout)
            if "begin" in document:
                before = sample()
                self._write({"go": True})
            elif "result" in document:
                after = sample()
                results.append({**document["result"], "before": before, "after": after})
                before = after
            elif "done" in document:
                return results
            else:
                raise WorkerError(document.get("failed", "unintelligible answer"))

    def close(self) -> None:
        """End the process."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._log.close()

    def _write(self, document: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(document).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise WorkerError(f"the worker is gone: {error}") from None

    def _read(self, timeout: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    self._process.kill()
                    raise WorkerError(f"no answer for {timeout:.0f} s")
                block = os.read(self._process.stdout.fileno(), 65536)
                if not block:
                    raise WorkerError(f"the worker ended with code {self._process.wait()}, see {self._log.name}")
                self._rest += block
        line, _, self._rest = self._rest.partition(b"\n")
        document: dict[str, Any] = json.loads(line)
        return document
