"""An FTP server as a place."""

from __future__ import annotations

import posixpath
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from fastxfer.cli.urls.loop import LoopThread
from fastxfer.cli.urls.place import Listed, Moved, Moving
from fastxfer.cli.urls.standard_input import PipedInput
from fastxfer.ftp import AsyncClient, Entry, TreeReport
from fastxfer.net.cancel import CancelToken

T = TypeVar("T")
KINDS = {"file": "file", "dir": "dir", "link": "link"}


class FtpPlace:
    """Files of one account of one server. The client runs on an event loop of its own, so that all can be cancelled."""

    def __init__(self, make_client: Callable[[], AsyncClient]) -> None:
        self._loop = LoopThread()
        try:
            self._client = make_client()
            self._loop.run(self._client.connect())
        except BaseException:
            self._loop.close()
            raise

    def close(self) -> None:
        self._loop.run(self._client.aclose())
        self._loop.close()

    def run(self, operation: Callable[[AsyncClient], Coroutine[Any, Any, T]], cancel: CancelToken | None = None) -> T:
        """Run an operation of the client."""
        return self._loop.run(operation(self._client), cancel)

    def iterate(self, operation: Callable[[AsyncClient], AsyncIterator[T]]) -> Iterator[T]:
        """What an asynchronous generator of the client yields."""
        return self._loop.iterate(operation(self._client))

    def stat(self, path: str) -> Listed:
        return listed(self.run(lambda client: client.stat(path)), posixpath.basename(path.rstrip("/")) or "/")

    def entries(self, path: str) -> Iterator[Listed]:
        entries = self.run(lambda client: client.list(path))
        return (listed(entry, entry.name) for entry in sorted(entries, key=lambda entry: entry.name))

    def exists(self, path: str) -> bool:
        return self.run(lambda client: client.exists(path))

    def glob(self, pattern: str) -> list[str]:
        """The paths that match *pattern*, sorted."""
        return self.run(lambda client: client.glob(pattern))

    def join(self, path: str, name: str) -> str:
        return posixpath.join(path, name)

    def read(self, path: str) -> Iterator[bytes]:
        return self.iterate(lambda client: client.stream(path))

    def write(self, stream: BinaryIO | PipedInput, path: str, how: Moving) -> Moved:
        source = stream.pieces() if isinstance(stream, PipedInput) else stream
        result = self.run(lambda client: client.upload(source, path, **_options(how)), how.cancel)
        return Moved(path, result.size, result.verified)

    def download(self, path: str, target: Path, how: Moving) -> Moved:
        options = _options(how)
        if how.segments > 1:
            del options["resume"]
            segmented = {"segments": how.segments, **options}
            result = self.run(lambda client: client.download_segmented(path, target, **segmented), how.cancel)
        else:
            result = self.run(lambda client: client.download(path, target, **options), how.cancel)
        return Moved(str(target), result.size, result.verified)

    def upload(self, source: Path, path: str, how: Moving) -> Moved:
        result = self.run(lambda client: client.upload(source, path, **_options(how)), how.cancel)
        return Moved(path, result.size, result.verified)

    def remove(self, path: str) -> None:
        self.run(lambda client: client.remove(path))

    def remove_tree(self, path: str) -> int:
        return self.run(lambda client: client.remove_tree(path))

    def make_directory(self, path: str, *, parents: bool) -> None:
        self.run(lambda client: client.mkdir(path, parents=parents))

    def rename(self, source: str, target: str) -> None:
        self.run(lambda client: client.move(source, target))

    def tree(self, operation: Callable[[AsyncClient], Coroutine[Any, Any, TreeReport]]) -> TreeReport:
        """Run one of the tools for many files."""
        return self.run(operation)


def _options(how: Moving) -> dict[str, Any]:
    return {
        "resume": how.resume,
        "overwrite": how.overwrite,
        "make_directories": how.make_directories,
        "preserve_time": how.preserve,
        "verify": how.verify,
        "progress": how.progress,
    }


def listed(entry: Entry, name: str) -> Listed:
    facts: dict[str, Any] = {"owner": entry.owner, "group": entry.group, "target": entry.target}
    extra = {name: value for name, value in facts.items() if value is not None}
    return Listed(name, KINDS.get(entry.type, "other"), entry.size, entry.mtime, entry.mode, extra or None)
