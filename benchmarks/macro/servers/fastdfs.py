"""The FastDFS servers: a real cluster that FASTXFER_BENCH_TRACKER names, else the embedded node."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.macro import process
from benchmarks.macro.client import ROOT
from benchmarks.macro.servers.program import Program, free_port

VARIABLE = "FASTXFER_BENCH_TRACKER"


class Cluster:
    """Servers that run already."""

    def __init__(self, trackers: str) -> None:
        from fastxfer.fdfs import Client, ClientConfig

        self.server: dict[str, Any] = {"tracker": trackers}
        self.description = f"the cluster of {VARIABLE}"
        addresses = [_address(part, 22122) for part in trackers.split(",")]
        with Client(ClientConfig(tracker_addrs=[part.strip() for part in trackers.split(",")])) as client:
            for group in client.list_groups():
                addresses += [
                    (storage.ip_addr, storage.storage_port) for storage in client.list_storages(group.group_name)
                ]
        self.pids = sorted(process.listeners(addresses))

    def stop(self) -> None:
        """Leave it running: it is not ours."""


class EmbeddedNode:
    """Our own development node in a process of its own."""

    def __init__(self, folder: Path) -> None:
        tracker, storage = free_port(), free_port()
        self.server: dict[str, Any] = {"tracker": f"127.0.0.1:{tracker}"}
        self.description = "the embedded node (a development server; for real figures name a cluster)"
        (folder / "node").mkdir(exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "benchmarks.macro.servers.fastdfs",
            str(folder / "node"),
            str(tracker),
            str(storage),
        ]
        self._program = Program(
            command, ("127.0.0.1", tracker), folder / "node.log", environment={"PYTHONPATH": str(ROOT)}, cwd=ROOT
        )

    @property
    def pids(self) -> list[int]:
        return self._program.pids

    def stop(self) -> None:
        self._program.stop()


def start(folder: Path) -> Cluster | EmbeddedNode:
    """The FastDFS servers of a run."""
    trackers = os.environ.get(VARIABLE)
    return Cluster(trackers) if trackers else EmbeddedNode(folder)


def _address(text: str, default_port: int) -> tuple[str, int]:
    host, _, port = text.strip().rpartition(":")
    return (host, int(port)) if host else (port, default_port)


def _serve(folder: str, tracker_port: int, storage_port: int) -> None:
    import threading

    from fastxfer.fdfs.node import Node

    with Node(folder, tracker_port=tracker_port, storage_port=storage_port):
        threading.Event().wait()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
