"""What the tests with misbehaving servers share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastxfer.ftp import AsyncClient, RetryPolicy
from tests.support.scripted_ftp import ScriptedServer

T = TypeVar("T")
QUICK = RetryPolicy(attempts=3, first_delay=0.01, max_delay=0.02)


def run(
    server: ScriptedServer, body: Callable[[AsyncClient], Awaitable[T]], *, url: str | None = None, **options: Any
) -> T:
    """Run *body* with a client of *server* that does not wait long for anything."""

    async def session() -> T:
        settings: dict[str, Any] = {"timeout": 5.0, "retry": QUICK} | options
        async with AsyncClient(url or server.url, **settings) as client:
            return await body(client)

    return asyncio.run(session())
