"""HTTP servers as peers, under one load generator."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.macro import congestion, process
from benchmarks.macro.client import WorkerError
from benchmarks.macro.compile import compiled
from benchmarks.macro.family import TIMEOUT, Field
from benchmarks.macro.remote_files import fill
from benchmarks.macro.scenario import Load, Peer, Scenario
from benchmarks.macro.servers.http import HttpServer
from fastxfer.bench import Measurement


class HttpParty:
    """A server under load."""

    def __init__(self, peer: Peer, folder: Path) -> None:
        self.peer = peer
        self._load = compiled("httpload.c", "-pthread")
        self._shared = folder.parent / "shared"
        self._server = HttpServer(peer.module, folder)
        self.version = self._server.version

    def run(self, scenario: Scenario, load: Load) -> list[dict[str, Any]]:
        return [self._measure(op, load) for op in scenario.ops]

    def close(self) -> None:
        self._server.stop()

    def _measure(self, op: str, load: Load) -> dict[str, Any]:
        if op == "put" and self.peer.module == "nginx":
            error = "not offered by nginx's static files"
            return Measurement(op, load.size, load.concurrency, 0, 0.0, error=error).to_json()
        name = fill(self._server.root, load.size, load.count, self._shared) if op == "get" else "stored"
        server = self._server.server
        secret = base64.b64encode(f"{server['user']}:{server['password']}".encode()).decode()
        command = [self._load, op, server["host"], str(server["port"]), str(load.concurrency), str(load.count)]
        command += [str(load.size), f"/files/{name}", f"Basic {secret}"]
        before = process.cpu_seconds(self._server.pids)
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT,
                env=congestion.environment(os.environ),
            )
        except subprocess.TimeoutExpired:
            raise WorkerError(f"{op}: the server did not finish in {TIMEOUT:.0f} s") from None
        if done.returncode:
            raise WorkerError(f"{op}: {done.stderr.strip()[-300:]}")
        result: dict[str, Any] = {
            "op": op,
            "size": load.size,
            "concurrency": load.concurrency,
            **json.loads(done.stdout),
        }
        result["server_cpu_seconds"] = round(process.cpu_seconds(self._server.pids) - before, 3)
        for path in self._server.root.glob("stored*"):
            path.unlink()
        if not result["operations"]:
            raise WorkerError(f"{op}: {result['error']}")
        return result


def http_field(peers: Sequence[Peer], folder: Path) -> Field:
    """HTTP servers, each with a root of its own, in which the same large files are linked."""
    field = Field()
    field.server = "the peers themselves; load generator: httpload.c"
    for peer in peers:
        own = folder / peer.module
        own.mkdir()
        field.add(peer.name, lambda peer=peer, own=own: HttpParty(peer, own))  # type: ignore[misc]
    return field
