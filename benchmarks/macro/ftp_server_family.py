"""FTP servers as peers, under one load generator."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.macro import congestion, process
from benchmarks.macro.client import WorkerError
from benchmarks.macro.compile import CompileError, compiled
from benchmarks.macro.family import TIMEOUT, Field
from benchmarks.macro.remote_files import entries, fill
from benchmarks.macro.scenario import Load, Peer, Scenario
from benchmarks.macro.servers.ftp import FtpDaemon
from benchmarks.macro.servers.ftp_setup import Certificate, make_certificate
from fastxfer.bench import Measurement


def load_program(tls: bool) -> str:
    """The compiled load generator.

    Raises:
        CompileError: without a C compiler, or for TLS without the headers of OpenSSL.
    """
    if not tls:
        return compiled("ftpload.c", "-pthread")
    try:
        return compiled("ftpload.c", "-DWITH_TLS", "-pthread", "-lssl", "-lcrypto")
    except CompileError as error:
        raise CompileError(f"the TLS load generator needs OpenSSL's headers: {error}") from None


class ServerParty:
    """A server under load."""

    def __init__(self, peer: Peer, folder: Path, certificate: Certificate | None) -> None:
        self.peer = peer
        self._load = load_program(certificate is not None)
        self._shared = folder.parent / "shared"
        self._daemon = FtpDaemon(peer.module, folder, certificate)
        self.version = self._daemon.version
        # Later, memory that sessions have used and given back to the allocator would hide what new ones need.
        self._fresh = process.proportional_memory_kib(self._daemon.pids)

    def run(self, scenario: Scenario, load: Load) -> list[dict[str, Any]]:
        results = []
        share = dict(scenario.shares).get(self.peer.name, 1.0)
        load = replace(load, count=max(1, round(load.count * share)))
        for op in scenario.ops:
            try:
                with self._prepared(op, load) as name:
                    results.append(self._measure(op, load, name, scenario.tls))
            except WorkerError as error:
                results.append(_failed(op, load, str(error)))
            for path in self._daemon.root.glob("stored*"):
                path.unlink()
        if not any(result["operations"] for result in results):
            raise WorkerError(results[0]["error"])
        return results

    def close(self) -> None:
        self._daemon.stop()

    def _prepared(self, op: str, load: Load) -> contextlib.AbstractContextManager[str]:
        """Lay what the operation reads; the name to be given to the load generator."""
        root = self._daemon.root
        if op in {"list", "mlsd", "nlst"}:
            return entries(root, load.entries, self._shared)
        return contextlib.nullcontext(fill(root, load.size, load.count, self._shared) if op == "retr" else "stored")

    def _measure(self, op: str, load: Load, name: str, tls: bool) -> dict[str, Any]:
        server, pids = self._daemon.server, self._daemon.pids
        command = [self._load, op, server["host"], str(server["port"]), str(load.concurrency), str(load.count)]
        command += [str(load.size), name, *(["tls"] if tls else [])]
        before = process.cpu_seconds(pids)
        with LoadGenerator(command) as generator:
            result: dict[str, Any] = {"op": op, "size": load.size, "concurrency": load.concurrency}
            result |= generator.result(TIMEOUT)
            # The sessions are still open: some servers never account for processes that have ended.
            result["server_cpu_seconds"] = round(process.cpu_seconds(pids) - before, 6)
            if op == "idle":
                memory = process.proportional_memory_kib(pids)
                unknown = ("cpu_seconds", "p50_us", "p99_us", "server_cpu_seconds")
                result |= {"operations": load.concurrency, "seconds": 1.0, **dict.fromkeys(unknown)}
                result |= {"server_memory_kib": memory, "server_grown_kib": memory - self._fresh}
        if not result["operations"]:
            raise WorkerError(f"{op}: {result['error']}")
        return result


class LoadGenerator:
    """A running ftpload; leaving the block ends it and its sessions."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=congestion.environment(os.environ),
        )

    def __enter__(self) -> LoadGenerator:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def result(self, timeout: float) -> dict[str, Any]:
        """What it measured.

        Raises:
            WorkerError: when it fails or is silent for *timeout* seconds.
        """
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(timeout):
                self._process.kill()
                raise WorkerError(f"the server did not finish in {timeout:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            _, errors = self._process.communicate(timeout=20)
            raise WorkerError(errors.decode(errors="replace").strip()[-300:] or "the load generator failed")
        document: dict[str, Any] = json.loads(line)
        return document


def _failed(op: str, load: Load, error: str) -> dict[str, Any]:
    return Measurement(op, load.size, load.concurrency, 0, 0.0, failed=load.count, error=error).to_json()


def server_field(scenario: Scenario, peers: Sequence[Peer], folder: Path) -> Field:
    """FTP servers, each with a root of its own, in which the same large files are linked."""
    field = Field()
    certificate = make_certificate(folder) if scenario.tls else None
    field.server = "the peers themselves; load generator: ftpload.c"
    for peer in peers:
        field.add(peer.name, lambda peer=peer: ServerParty(peer, folder / peer.module, certificate))  # type: ignore[misc]
    return field
