"""Memory for large blocks, taken from the system once and not for every block."""

from __future__ import annotations

import functools

__all__ = ["keep_memory"]

_BLOCKS = 2 << 20


@functools.cache
def keep_memory(largest: int = _BLOCKS) -> None:
    """Keep the C library from giving memory back for each block, only to ask for it again.

    glibc maps blocks of 128 KiB and more afresh, and gives the end of its heap back as soon as a little lies unused
    there, until a larger block has been freed: it takes that, and twice of it, for how much a program uses. Without it,
    half of the processor time of a transfer in large blocks may go into pages taken and given back.

    To be called before blocks of more than 64 KiB are read one after another. What is freed here has not been
    touched, so that it costs nothing; *largest* is its size, bytes: twice of that may stay with the process.
    """
    bytes(largest)
