"""Small files one after the other on one connection: the servers and clients of the tests of that."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from fastxfer.ftp import AsyncClient, Client, TransferResult
from tests.ftp.hostile import QUICK
from tests.support.scripted_ftp import Control, ScriptedServer, scripted_server

__all__ = [
    "WAIT",
    "Move",
    "commands",
    "going_away",
    "left_over",
    "mover",
    "once",
    "server_of",
    "watch",
    "without_a_word",
]

WAIT = 20.0
Move = Callable[..., TransferResult]


@contextlib.contextmanager
def server_of(files: dict[str, bytes], *, late: bool) -> Iterator[ScriptedServer]:
    """One that answers EPSV at once, or so late that the client has gone on without the answer."""
    with scripted_server() as found:
        found.files |= files
        if late:

            def answer_late(control: Control, argument: str) -> None:
                time.sleep(0.02)
                found.do_epsv(control, argument)

            found.handlers["EPSV"] = answer_late
        yield found


def watch(monkeypatch: Any, operations: type, method: str) -> list[str]:
    """How each transfer went: the short way, the short way and then another ("left"), or another.

    However long the machine takes from one transfer to the next, they are successive.
    """
    for module in ("ready_transfer", "data_opening"):
        monkeypatch.setattr(f"fastxfer.ftp.{module}.BURST", 600.0)
    found: list[str] = []
    original = getattr(operations, method)

    async def watched(*arguments: Any) -> object:
        outcome = await original(*arguments)
        found.append("other" if outcome is None else "short" if isinstance(outcome, TransferResult) else "left")
        return outcome

    monkeypatch.setattr(operations, method, watched)
    return found


@contextlib.contextmanager
def mover(url: str, operation: str, *, blocking: bool, **options: Any) -> Iterator[Move]:
    """*operation* of a client, asynchronous or blocking, to be called like a function."""
    options = {"timeout": WAIT, "retry": QUICK, "preopen": True, **options}
    if blocking:
        with Client(url, **options) as client:
            yield getattr(client, operation)
        return
    loop = asyncio.new_event_loop()

    async def opened() -> AsyncClient:
        return await AsyncClient(url, **options).__aenter__()

    other = loop.run_until_complete(opened())

    def waited(*arguments: Any, **named: Any) -> TransferResult:
        result: Awaitable[TransferResult] = getattr(other, operation)(*arguments, **named)
        return loop.run_until_complete(result)  # type: ignore[arg-type, no-any-return]

    try:
        yield waited
    finally:
        loop.run_until_complete(other.aclose())
        loop.close()


def once(server: ScriptedServer, verb: str, handler: Callable[[Control, str], None]) -> None:
    """The next *verb* is dealt with by *handler*, further ones as usual."""
    usual = server.handlers[verb]

    def first(control: Control, argument: str) -> None:
        server.handlers[verb] = usual
        handler(control, argument)

    server.handlers[verb] = first


def commands(server: ScriptedServer) -> list[str]:
    """What was sent since this was asked last, up to the last EPSV, which the client does not wait for."""
    deadline = time.monotonic() + WAIT
    while server.commands[-1:] != ["EPSV"] and time.monotonic() < deadline:
        time.sleep(0.005)
    found = list(server.commands)
    server.commands.clear()
    return found


def left_over(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def without_a_word(control: Control, argument: str) -> None:
    control.hang_up()


def going_away(control: Control, argument: str) -> None:
    control.reply("421 going away")
    control.hang_up()
