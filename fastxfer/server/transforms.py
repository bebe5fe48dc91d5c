"""What can happen to bytes on the way: line ends in ASCII type, deflate in MODE Z."""

from __future__ import annotations

import errno
import zlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from fastxfer.server.session import Session

__all__ = [
    "AsciiDecoder",
    "AsciiEncoder",
    "Deflate",
    "Inflate",
    "Transform",
    "receiving_transform",
    "sending_transform",
]

INFLATE_FREE = 1 << 20
"""Bytes of output up to which any growth is accepted."""
INFLATE_STEP = 1 << 20


class Transform(Protocol):
    """Changes a stream of bytes."""

    def update(self, data: Buffer, /) -> bytes:
        """What *data* becomes, as far as it is known already."""

    def finish(self) -> bytes:
        """What is left at the end of the stream."""


class AsciiEncoder:
    """Line ends of the file to CRLF; CRLF that is there already stays (RFC 959 section 3.1.1.1)."""

    def __init__(self) -> None:
        self._after_cr = False

    def update(self, data: Buffer, /) -> bytes:
        block = bytes(data)
        if not block:
            return b""
        result = block.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        if self._after_cr and block[:1] == b"\n":
            result = result[1:]
        self._after_cr = block.endswith(b"\r")
        return result

    def finish(self) -> bytes:
        return b""


class AsciiDecoder:
    """CRLF on the wire to the line end of the file system, LF."""

    def __init__(self) -> None:
        self._held = b""

    def update(self, data: Buffer, /) -> bytes:
        block = self._held + bytes(data)
        self._held = b"\r" if block.endswith(b"\r") else b""
        if self._held:
            block = block[:-1]
        return block.replace(b"\r\n", b"\n")

    def finish(self) -> bytes:
        held, self._held = self._held, b""
        return held


class Deflate:
    """Compresses (MODE Z)."""

    def __init__(self, level: int) -> None:
        self._object = zlib.compressobj(level)

    def update(self, data: Buffer, /) -> bytes:
        return self._object.compress(data)

    def finish(self) -> bytes:
        return self._object.flush()


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


class _Both:
    def __init__(self, first: Transform, second: Transform) -> None:
        self._first = first
        self._second = second

    def update(self, data: Buffer, /) -> bytes:
        return self._second.update(self._first.update(data))

    def finish(self) -> bytes:
        last = self._first.finish()
        return (self._second.update(last) if last else b"") + self._second.finish()


def sending_transform(session: Session) -> Transform | None:
    """What happens to a file on its way to the client."""
    if session.type_ascii:
        return _Both(AsciiEncoder(), Deflate(session.zlevel)) if session.mode_z else AsciiEncoder()
    return Deflate(session.zlevel) if session.mode_z else None


def receiving_transform(session: Session) -> Transform | None:
    """What happens to a file on its way from the client."""
    ratio = session.config.limits.inflate_ratio
    if session.type_ascii:
        return _Both(Inflate(ratio), AsciiDecoder()) if session.mode_z else AsciiDecoder()
    return Inflate(ratio) if session.mode_z else None
