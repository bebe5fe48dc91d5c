"""MODE Z: the data connection carries a zlib stream (draft-preston-ftpext-deflate)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Inflate"]


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
