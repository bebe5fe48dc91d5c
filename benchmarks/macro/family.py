"""The parties of a scenario: peers that are clients of one server, or peers that are servers of one load generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from benchmarks.macro import process
from benchmarks.macro.client import Missing, Worker, WorkerError
from benchmarks.macro.compile import CompileError
from benchmarks.macro.scenario import Load, Peer, Scenario
from benchmarks.macro.servers.program import ServerError
from fastxfer.bench import Work

TIMEOUT = 240.0


class Server(Protocol):
    """A running server."""

    server: dict[str, Any]
    description: str

    @property
    def pids(self) -> list[int]: ...
    def stop(self) -> None: ...


class Party(Protocol):
    """A peer that is ready to be measured."""

    peer: Peer
    version: str

    def run(self, scenario: Scenario, load: Load) -> list[dict[str, Any]]: ...
    def close(self) -> None: ...


class Field:
    """All parties of a scenario, ready, and those that are missing with the reason."""

    def __init__(self) -> None:
        self.parties: list[Party] = []
        self.missing: dict[str, str] = {}
        self.server = ""
        self._stack = ExitStack()

    def __enter__(self) -> Field:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, name: str, make: Callable[[], Party]) -> None:
        """Add the party that *make* starts, or note why it cannot take part."""
        try:
            party = make()
        except (Missing, ServerError, CompileError) as error:
            self.missing[name] = str(error)
        else:
            self.parties.append(party)
            self._stack.callback(party.close)

    def keep(self, stop: Callable[[], None]) -> None:
        """Call *stop* at the end."""
        self._stack.callback(stop)


class ClientParty:
    """A client in a worker process, against a server that all clients share."""

    def __init__(self, peer: Peer, server: Server, folder: Path) -> None:
        self.peer = peer
        self._server = server
        self._folder = folder
        self._log = folder / f"{peer.module}.log"
        self._worker: Worker | None = Worker(peer, self._log)
        self.version = self._worker.version

    def run(self, scenario: Scenario, load: Load) -> list[dict[str, Any]]:
        if self._worker is None:
            self._worker = Worker(self.peer, self._log)
        work = Work(
            ops=scenario.ops,
            size=load.size,
            count=max(1, round(load.count * self.peer.share)),
            concurrency=load.concurrency,
            server=self._server.server,
            folder=str(self._folder),
        )
        try:
            results = self._worker.run(work, lambda: process.cpu_seconds(self._server.pids), TIMEOUT)
        except WorkerError:
            self._worker.close()
            self._worker = None
            raise
        for result in results:
            result["server_cpu_seconds"] = round(result.pop("after") - result.pop("before"), 3)
        return results

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()


def client_field(scenario: Scenario, peers: Sequence[Peer], start: Callable[[Path], Server], folder: Path) -> Field:
    """Clients of one server."""
    field = Field()
    server = start(folder)
    field.keep(server.stop)
    field.server = server.description
    for peer in peers:
        own = folder / f"{peer.module}{'-'.join(peer.arguments)}"
        own.mkdir(exist_ok=True)
        field.add(peer.name, lambda peer=peer, own=own: ClientParty(peer, server, own))  # type: ignore[misc]
    return field
