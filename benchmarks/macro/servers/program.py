"""A server program that is started, waited for, and ended with everything it started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.macro import congestion, process


class ServerError(Exception):
    """A server did not start."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


class Program:
    """A running server program in a session of its own.

    Args:
        command: what to run.
        address: where it will listen; it is waited for.
        log: takes its output.
        environment: added to ours.
        cwd: working directory.

    Raises:
        ServerError: when it ends at once or does not listen within 20 s.
    """

    def __init__(
        self,
        command: Sequence[str],
        address: tuple[str, int],
        log: Path,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=cwd,
                env=congestion.environment({**os.environ, **(environment or {})}),
            )
        self._wait_for(address)

    @property
    def pids(self) -> list[int]:
        return [self._process.pid]

    def stop(self) -> None:
        """End it and its descendants."""
        doomed = process.family(self.pids)
        for name in (signal.SIGTERM, signal.SIGKILL):
            for pid in doomed:
                try:
                    os.kill(pid, name)
                except ProcessLookupError:
                    continue
            try:
                self._process.wait(3)
            except subprocess.TimeoutExpired:
                continue

    def _wait_for(self, address: tuple[str, int]) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(address, timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        self.stop()
        raise ServerError(f"did not start: {self._log.read_text(errors='replace').strip()[-400:]}")
