"""Standard input as the source of an upload."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import AsyncIterator
from typing import BinaryIO

from fastxfer.net.cancel import CancelToken
from fastxfer.net.tls_pump import wait_ready

__all__ = ["PipedInput", "standard_input"]

_PIECE = 65536
_LOOK = 0.2
"""Seconds between two looks whether whoever waits for bytes is still wanted."""


class PipedInput:
    """A pipe or terminal that is waited for only as long as nobody cancels it: a read would wait for ever.

    Args:
        fd: its descriptor, from which nothing was read ahead.
        cancel: ends the waiting.
    """

    def __init__(self, fd: int, cancel: CancelToken) -> None:
        self._fd = fd
        self._cancel = cancel

    def read(self, size: int = _PIECE, /) -> bytes:
        """Up to *size* bytes; none at the end. Raises InterruptedError where it was cancelled."""
        while not self._cancel.cancelled:
            if wait_ready(self._fd, reading=True, seconds=_LOOK):
                return os.read(self._fd, size)
        raise InterruptedError(errno.EINTR, "cancelled", "standard input")

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of it, while the event loop goes on."""
        while piece := await asyncio.to_thread(self.read):
            yield piece


def standard_input(cancel: CancelToken) -> BinaryIO | PipedInput:
    """Standard input: a file, which the system moves itself, as it is."""
    stream = sys.stdin.buffer
    try:
        if os.name != "posix" or stream.seekable():
            return stream
        return PipedInput(stream.fileno(), cancel)
    except (OSError, ValueError):
        # It has no descriptor.
        return stream
