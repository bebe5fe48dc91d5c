"""What operations return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastxfer.net.progress import Progress

__all__ = ["ProgressLike", "TransferResult", "progress_of"]

ProgressLike = Progress | Callable[[Progress], object]


@dataclass(frozen=True)
class TransferResult:
    """One file moved.

    Attributes:
        path: the remote path.
        size: bytes of the file, those that were there already included.
        transferred: bytes moved over the network, repeated ones included.
        seconds: how long it took in all.
        attempts: connections it took.
        resumed_at: offset in bytes at which a transfer left by an earlier call was taken up; 0 for none.
        verified: what was compared at the end: ``"size"``, the name of a checksum, or "" for nothing.
        mtime: the remote file's time of modification, POSIX seconds, where it was asked for.
    """

    path: str
    size: int
    transferred: int
    seconds: float
    attempts: int = 1
    resumed_at: int = 0
    verified: str = ""
    mtime: float | None = None


def progress_of(progress: ProgressLike | None, total: int | None) -> Progress | None:
    """*progress*, or a new one for a callback, that expects *total* bytes."""
    if progress is None:
        return None
    if not isinstance(progress, Progress):
        return Progress(progress, total)
    if progress.total is None:
        progress.total = total
    return progress
