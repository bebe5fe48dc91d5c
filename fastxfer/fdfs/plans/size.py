"""Whether the size in a file's ID or the one that a server tells is to be believed where they differ."""

from __future__ import annotations

from fastxfer.core.wire import FileId
from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.errors import IntegrityError

__all__ = ["check_told_size", "tells_its_own"]

_TAIL = 7


def tells_its_own(file: FileId) -> bool:
    """Whether size and CRC-32 in the ID are this file's own.

    A slave whose name is as long as a normal file's has its master's. The names of normal files end with digits, or
    digits, a dot and the extension; a slave's with its prefix and extension, which looks so only if the prefix is of
    digits.
    """
    digits = file.filename[-_TAIL:].partition(".")[0]
    return file.size is not None and (not digits or digits.isdigit())


def check_told_size(cluster: Cluster, file_id: str, file: FileId, told: int) -> None:
    """Raise IntegrityError where a server's file of *told* bytes cannot be the one that *file_id* means."""
    if cluster.config.verify and tells_its_own(file) and told != file.size:
        error = IntegrityError(f"the server has {told} bytes of {file_id} where its ID says {file.size}")
        error.file_id = file_id
        raise error
