"""What happens to the bytes of a session's transfers on the way; a compression that is not trusted, undone."""

from __future__ import annotations

import errno
import zlib
from typing import TYPE_CHECKING

from fastxfer.core.transforms import Chain, Deflate, FromNetworkLines, ToNetworkLines, Transform

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from fastxfer.server.session import Session

__all__ = ["Inflate", "receiving_transform", "sending_transform"]

INFLATE_FREE = 1 << 20
"""Bytes of output up to which any growth is accepted."""
INFLATE_STEP = 1 << 20


class Inflate:
    """Decompresses (MODE Z), and refuses what grows out of all proportion.

    Args:
        ratio: largest growth accepted, past the first mebibyte; 0 for any.

    Raises (from update and finish): OSError with EFBIG for a bomb, EIO for what is not a whole deflate stream.
    """

    def __init__(self, ratio: int) -> None:
        self._object = zlib.decompressobj()
        self._ratio = ratio
        self._in = 0
        self._out = 0

    def update(self, data: Buffer, /) -> bytes:
        pending = bytes(data)
        self._in += len(pending)
        pieces = []
        while pending:
            if self._object.eof:
                raise OSError(errno.EIO, "Bytes behind the end of the compressed stream")
            try:
                piece = self._object.decompress(pending, INFLATE_STEP)
            except zlib.error as error:
                raise OSError(errno.EIO, f"Not a deflate stream: {error}") from error
            self._out += len(piece)
            if self._ratio and self._out > INFLATE_FREE and self._out > self._in * self._ratio:
                raise OSError(errno.EFBIG, "The compressed stream grows too much")
            pieces.append(piece)
            pending = self._object.unconsumed_tail or (self._object.unused_data if self._object.eof else b"")
        return b"".join(pieces)

    def finish(self) -> bytes:
        if not self._object.eof and self._in:
            raise OSError(errno.EIO, "The compressed stream is cut off")
        return b""


def sending_transform(session: Session) -> Transform | None:
    """What happens to a file on its way to the client."""
    if session.type_ascii:
        return Chain(ToNetworkLines(), Deflate(session.zlevel)) if session.mode_z else ToNetworkLines()
    return Deflate(session.zlevel) if session.mode_z else None


def receiving_transform(session: Session) -> Transform | None:
    """What happens to a file on its way from the client."""
    ratio = session.config.limits.inflate_ratio
    if session.type_ascii:
        return Chain(Inflate(ratio), FromNetworkLines(b"\n")) if session.mode_z else FromNetworkLines(b"\n")
    return Inflate(ratio) if session.mode_z else None
