"""Streams of bytes as coroutines get them: read blocking, read by awaiting, iterated."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable
from typing import Protocol

from fastxfer.fdfs.plans.files import Chunk, Readable, checked_chunk

__all__ = ["AnyStream", "AsyncReadable", "chunks_of"]

_CHUNK = 1 << 20


class AsyncReadable(Protocol):
    """What is read from by awaiting: an asyncio.StreamReader, a response of an HTTP library …"""

    def read(self, size: int, /) -> Awaitable[bytes]: ...


AnyStream = Readable | AsyncReadable | AsyncIterable[bytes]


async def chunks_of(stream: AnyStream) -> AsyncGenerator[Chunk, None]:
    """The bytes of *stream* until its end. A blocking ``read`` is called in a thread.

    Raises :class:`InvalidArgumentError` where the stream gives something else.
    """
    if isinstance(stream, AsyncIterable):
        async for chunk in stream:
            yield checked_chunk(chunk)
        return
    loop = asyncio.get_running_loop()
    waits = inspect.iscoroutinefunction(stream.read)
    while True:
        outcome = stream.read(_CHUNK) if waits else await loop.run_in_executor(None, stream.read, _CHUNK)
        piece = checked_chunk(await outcome if isinstance(outcome, Awaitable) else outcome)
        if not piece:
            return
        yield piece
