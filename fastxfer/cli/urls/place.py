"""What every kind of place can be asked to do, and what it answers."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from fastxfer.cli.urls.standard_input import PipedInput
from fastxfer.net.cancel import CancelToken
from fastxfer.net.progress import Progress


@dataclass(frozen=True)
class Listed:
    """A file, directory or something else in a listing."""

    name: str
    kind: str
    """``file``, ``dir``, ``link``, ``group`` or ``other``."""
    size: int | None = None
    modified: float | None = None
    """Seconds since 1970."""
    mode: int | None = None
    extra: dict[str, Any] | None = None
    """What else the place tells."""

    @property
    def is_directory(self) -> bool:
        return self.kind in ("dir", "group")

    def document(self) -> dict[str, Any]:
        moment = (
            None if self.modified is None else datetime.datetime.fromtimestamp(self.modified, datetime.timezone.utc)
        )
        document: dict[str, Any] = {
            "name": self.name,
            "type": self.kind,
            "size": self.size,
            "modified": None if moment is None else moment.isoformat(),
            "mode": None if self.mode is None else f"{self.mode & 0o7777:04o}",
        }
        return {**document, **(self.extra or {})}


@dataclass(frozen=True)
class Moving:
    """How files are moved."""

    resume: bool = False
    overwrite: bool = True
    preserve: bool = False
    verify: bool = False
    make_directories: bool = False
    segments: int = 1
    progress: Progress | None = None
    cancel: CancelToken | None = None


@dataclass(frozen=True)
class Moved:
    """A file that was moved: where it is now, its bytes, what was compared."""

    path: str
    size: int
    verified: str = ""


class Place(Protocol):
    """A file system: local, on an FTP server, or a FastDFS cluster. Paths are texts in the place's own form."""

    def stat(self, path: str) -> Listed: ...
    def entries(self, path: str) -> Iterator[Listed]: ...
    def join(self, path: str, name: str) -> str: ...
    def read(self, path: str) -> Iterator[bytes]: ...
    def write(self, stream: BinaryIO | PipedInput, path: str, how: Moving) -> Moved: ...
    def download(self, path: str, target: Path, how: Moving) -> Moved: ...
    def upload(self, source: Path, path: str, how: Moving) -> Moved: ...
    def remove(self, path: str) -> None: ...
    def remove_tree(self, path: str) -> int: ...
    def make_directory(self, path: str, *, parents: bool) -> None: ...
    def rename(self, source: str, target: str) -> None: ...
    def close(self) -> None: ...
