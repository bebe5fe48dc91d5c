"""Both clients behind one face, so that one test holds for both."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from fastxfer.fdfs import AsyncClient, Client, ClientConfig

__all__ = ["FACES", "blocking", "waiting"]


class AwaitedClient:
    """An :class:`AsyncClient` whose methods block, each call run on an event loop of its own to its end."""

    def __init__(self, config: ClientConfig) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = AsyncClient(config)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            outcome = method(*args, **kwargs)
            if inspect.isasyncgen(outcome):
                return self._iterate(outcome)
            if inspect.isawaitable(outcome):
                return self._loop.run_until_complete(outcome)
            return outcome

        return call

    def _iterate(self, chunks: Any) -> Any:
        try:
            while True:
                try:
                    yield self._loop.run_until_complete(anext(chunks))
                except StopAsyncIteration:
                    return
        finally:
            self._loop.run_until_complete(chunks.aclose())

    def close(self) -> None:
        self._loop.run_until_complete(self._client.aclose())

    def dispose(self) -> None:
        self.close()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def __enter__(self) -> AwaitedClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.dispose()


def blocking(config: ClientConfig) -> Any:
    return Client(config)


def waiting(config: ClientConfig) -> Any:
    return AwaitedClient(config)


FACES = [blocking, waiting]
