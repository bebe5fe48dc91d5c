"""What can happen to bytes on the way: line ends in TYPE A, compression in MODE Z."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["TRANSFORMED", "Chain", "Deflate", "FromNetworkLines", "ToNetworkLines", "Transform"]

TRANSFORMED = 16384
"""Bytes to transform at a time: what is compressed may become a thousand times as long."""


class Transform(Protocol):
    """Changes a stream of bytes."""

    def update(self, data: Buffer, /) -> bytes:
        """What *data* becomes, as far as it is known already."""

    def finish(self) -> bytes:
        """What is left at the end of the stream."""


class FromNetworkLines:
    """CR LF becomes *newline*; a lone CR or LF stays as it is (RFC 959, section 3.1.1.1)."""

    def __init__(self, newline: bytes = os.linesep.encode()) -> None:
        self._newline = newline
        self._held = b""

    def update(self, data: Buffer, /) -> bytes:
        text = self._held + memoryview(data).tobytes()
        # Its LF may come with the next block.
        self._held = b"\r" if text.endswith(b"\r") else b""
        if self._held:
            text = text[:-1]
        return text if self._newline == b"\r\n" else text.replace(b"\r\n", self._newline)

    def finish(self) -> bytes:
        held, self._held = self._held, b""
        return held


class ToNetworkLines:
    """LF becomes CR LF; CR LF stays (RFC 959, section 3.1.1.1)."""

    def __init__(self) -> None:
        self._after_cr = False

    def update(self, data: Buffer, /) -> bytes:
        text = memoryview(data).tobytes()
        if not text:
            return b""
        head = b""
        if self._after_cr and text.startswith(b"\n"):
            head, text = b"\n", text[1:]
        self._after_cr = text.endswith(b"\r") if text else False
        return head + text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

    def finish(self) -> bytes:
        return b""


class Deflate:
    """Compresses, at a *level* from 1 (quick) to 9 (small) (draft-preston-ftpext-deflate)."""

    def __init__(self, level: int = 6) -> None:
        self._stream = zlib.compressobj(level)

    def update(self, data: Buffer, /) -> bytes:
        return self._stream.compress(data)

    def finish(self) -> bytes:
        return self._stream.flush()


class Chain:
    """One transformation after the other."""

    def __init__(self, first: Transform, second: Transform) -> None:
        self._first = first
        self._second = second

    def update(self, data: Buffer, /) -> bytes:
        return self._second.update(self._first.update(data))

    def finish(self) -> bytes:
        last = self._first.finish()
        return (self._second.update(last) if last else b"") + self._second.finish()
