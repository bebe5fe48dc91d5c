"""MODE Z: the data connection carries a zlib stream (draft-preston-ftpext-deflate)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from fastxfer.net.tls_pump import Transform

__all__ = ["Chain", "Deflate", "Inflate"]


class Inflate:
    """Undoes the compression. ``finish`` raises EOFError where the stream was cut."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj()

    def update(self, data: Buffer, /) -> bytes:
        try:
            return self._stream.decompress(data)
        except zlib.error as error:
            raise OSError(f"not a zlib stream: {error}") from error

    def finish(self) -> bytes:
        rest = self._stream.flush()
        if not self._stream.eof:
            raise EOFError("the compressed stream was cut")
        return rest


class Deflate:
    """Compresses."""

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
        return self._second.update(self._first.finish()) + self._second.finish()
