"""Writing to a raw stream, which may take less than it is given."""

from __future__ import annotations

import errno
import io
import os

__all__ = ["left_of"]


def left_of(stream: object, data: bytes, written: object) -> bytes:
    """What is still to be written of *data* where *stream*'s ``write`` has returned *written*; mostly nothing.

    Only raw streams tell by what they return how much they have taken; all others take what they are given.

    Raises BlockingIOError where a raw stream takes nothing, since it does not block.
    """
    if not isinstance(stream, io.RawIOBase) or written == len(data):
        return b""
    if not isinstance(written, int) or not 0 < written < len(data):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return data[written:]
