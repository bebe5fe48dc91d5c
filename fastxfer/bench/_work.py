"""What is to be done in one measured run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

FDFS_OPERATIONS = ("upload", "download", "info", "delete", "upload_file", "download_file")
FTP_OPERATIONS = ("upload", "download", "list")


@dataclass(frozen=True)
class Work:
    """Operations done one after the other, each *count* times with *concurrency* in flight.

    Args:
        ops: names of the operations, in order; later ones use what earlier ones stored.
        size: bytes of each file.
        count: how often each operation is done.
        concurrency: operations in flight: threads, tasks or connections.
        server: where: ``tracker`` for FastDFS; ``host``, ``port``, ``user``, ``password``, ``tls``, ``ca`` for FTP.
        folder: local directory for files that are sent or received.
        remote: absolute directory on the FTP server that the work may fill; empty for the root.
    """

    ops: tuple[str, ...]
    size: int
    count: int
    concurrency: int = 1
    server: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""
    remote: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Work:
        return cls(**{**document, "ops": tuple(document["ops"])})
