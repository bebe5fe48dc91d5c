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


class Around(Protocol):
    """What happens at the server around a run."""

    def prepare(self, work: Work) -> None: ...
    def check(self, work: Work) -> None: ...


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
    """A client in a worker process, against a server that all clients share.

    Args:
        peer: which client.
        server: the server.
        folder: local directory of this peer alone.
        around: prepares the server for a run and checks what the run left there.
    """

    def __init__(self, peer: Peer, server: Server, folder: Path, around: Around | None = None) -> None:
        self.peer = peer
        self._server = server
        self._around = around
        self._folder = folder
        self._log = folder / f"{peer.module}.log"
        self._worker: Worker | None = Worker(peer, self._log)
        self.version = self._worker.version

    def run(self, scenario: Scenario, load: Load) -> list[dict[str, Any]]:
        if self._worker is None:
            self._worker = Worker(self.peer, self._log)
        share = self.peer.share * (self.peer.serial_share if load.concurrency == 1 else 1)
        work = Work(
            ops=scenario.ops,
            size=load.size,
            count=max(1, round(load.count * share)),
            concurrency=min(load.concurrency, self.peer.threads),
            server=self._server.server,
            folder=str(self._folder),
        )
        if self._around:
            self._around.prepare(work)
        try:
            results = self._worker.run(work, lambda: process.cpu_seconds(self._server.pids), TIMEOUT)
        except WorkerError:
            self._worker.close()
            self._worker = None
            raise
        if self._around:
            self._around.check(work)
        for result in results:
            result["server_cpu_seconds"] = round(result.pop("after") - result.pop("before"), 3)
        return results

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()


def client_field(peers: Sequence[Peer], server: Server, folder: Path, around: Around | None = None) -> Field:
    """Clients of one running server."""
    field = Field()
    field.keep(server.stop)
    field.server = server.description
    for peer in peers:
        own = folder / f"{peer.module}{'-'.join(peer.arguments)}"
        own.mkdir(exist_ok=True)
        field.add(peer.name, lambda peer=peer, own=own: ClientParty(peer, server, own, around))  # type: ignore[misc]
    return field
