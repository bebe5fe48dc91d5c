"""Batches: what each item of one is, what is done with it, how far it all is; the same for threads and for asyncio."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from fastxfer.fdfs.body import memory_body
from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.errors import InvalidArgumentError
from fastxfer.fdfs.plans import download, files, small, upload
from fastxfer.fdfs.steps import Control, Plan
from fastxfer.fdfs.types import FileInfo

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "BatchProgress",
    "BatchResult",
    "DeleteJob",
    "DownloadJob",
    "InfoJob",
    "Job",
    "MetadataJob",
    "Reorder",
    "Task",
    "UploadItem",
    "UploadJob",
]

T = TypeVar("T")
Path = str | PathLike[str]

_REPORT_INTERVAL = 0.1
"""Seconds between two calls of a batch's progress function."""


@dataclass(frozen=True)
class UploadItem:
    """One file of a batch of uploads, where a path alone does not say enough.

    Attributes:
        source: a path, or bytes or another buffer.
        file_ext_name: extension; for a path its own where not given.
        metadata: set on the file.
        key: what the journal knows it by; for a path that path where not given. Needed for buffers with a journal.
    """

    source: Path | Buffer
    file_ext_name: str | None = None
    metadata: Mapping[str, str] | None = None
    key: str | None = None


@dataclass(frozen=True)
class BatchResult(Generic[T]):
    """What became of one item.

    Attributes:
        index: its place in the batch, from 0.
        item: the item as it was given.
        value: the outcome; None where there is an error.
        error: what went wrong, or None.
        skipped: the journal says that it was done before; *value* is that outcome.
    """

    index: int
    item: Any
    value: T | None = None
    error: Exception | None = None
    skipped: bool = False

    @property
    def ok(self) -> bool:
        return self.error is None

    def unwrap(self) -> T:
        """The value, or the error raised."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # None only where T is None


@dataclass
class BatchProgress:
    """How far a batch is. Given to its progress function about ten times a second, and at the end.

    Attributes:
        total: items in all, where known.
        done: items finished, failed and skipped ones included.
        failed: items that ended with an error.
        skipped: items that the journal had.
        bytes: bytes of files moved.
    """

    total: int | None = None
    done: int = 0
    failed: int = 0
    skipped: int = 0
    bytes: int = 0
    began: float = field(default_factory=time.monotonic)
    _reported: float = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    @property
    def rate(self) -> float:
        """Items per second."""
        return (self.done - self.skipped) / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def byte_rate(self) -> float:
        """Bytes per second."""
        return self.bytes / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds left at this rate; None while unknown."""
        if self.total is None or self.rate <= 0:
            return None
        return max(0, self.total - self.done) / self.rate

    def count(self, result: BatchResult[Any], moved: int) -> None:
        """Count one more item."""
        self.done += 1
        self.failed += result.error is not None
        self.skipped += result.skipped
        self.bytes += moved

    def due(self) -> bool:
        """Whether it is time to report; True at most ten times a second."""
        now = time.monotonic()
        if now - self._reported < _REPORT_INTERVAL:
            return False
        self._reported = now
        return True


@dataclass
class Task(Generic[T]):
    """One item, ready to be done.

    Attributes:
        plan: makes the plan that does it.
        key: what the journal knows it by; None where it is not to be remembered.
        stamp: what must be as it was for a remembered outcome to hold.
        moved: bytes that it has moved, known when it is done.
    """

    plan: Callable[[], Plan[T]]
    key: str | None = None
    stamp: str = ""
    moved: int = 0


class Job(Protocol[T]):
    """What a batch does with its items."""

    kind: str

    def task(self, item: Any) -> Task[T]:
        """*item*, ready to be done; raises what is wrong with it."""

    def to_text(self, value: T) -> str:
        """An outcome as the journal keeps it."""

    def from_text(self, item: Any, text: str) -> T:
        """The inverse; ValueError where it does not hold any more."""


class UploadJob:
    """Paths or :class:`UploadItem` → file IDs."""

    kind = "upload"

    def __init__(
        self, cluster: Cluster, control: Control, *, appender: bool, group: str | None, store_path: int | None
    ) -> None:
        self._cluster = cluster
        self._control = control
        self._appender = appender
        self._group = group
        self._store_path = store_path

    def task(self, item: Any) -> Task[str]:
        what = item if isinstance(item, UploadItem) else UploadItem(item)
        if isinstance(what.source, (str, PathLike)):
            return self._of_path(what, what.source)
        body = memory_body(what.source)
        extension = what.file_ext_name or ""
        return Task(
            lambda: upload.upload(
                self._cluster,
                body,
                extension,
                what.metadata,
                appender=self._appender,
                group=self._group,
                store_path=self._store_path,
                control=self._control,
            ),
            what.key,
            str(body.size),
            body.size,
        )

    def to_text(self, value: str) -> str:
        return value

    def from_text(self, item: Any, text: str) -> str:
        return text

    def _of_path(self, what: UploadItem, path: Path) -> Task[str]:
        try:
            state: os.stat_result | None = os.stat(path)
        except OSError:
            # The upload itself tells what is wrong.
            state = None
        return Task(
            lambda: files.upload_file(
                self._cluster,
                path,
                what.file_ext_name,
                what.metadata,
                appender=self._appender,
                group=self._group,
                store_path=self._store_path,
                control=self._control,
            ),
            what.key or os.path.abspath(path),
            f"{state.st_size}:{state.st_mtime_ns}" if state else "",
            state.st_size if state else 0,
        )


class DownloadJob:
    """``(file ID, path)`` → that path, the file saved there; a file ID alone → its bytes."""

    kind = "download"

    def __init__(self, cluster: Cluster, control: Control, *, fsync: bool) -> None:
        self._cluster = cluster
        self._control = control
        self._fsync = fsync

    def task(self, item: Any) -> Task[Any]:
        if isinstance(item, str):
            task: Task[Any] = Task(lambda: self._into_memory(item, task))
            return task
        try:
            file_id, path = item
        except (TypeError, ValueError):
            raise InvalidArgumentError(f"a file ID, or a pair of file ID and path, is needed, not {item!r}") from None
        task = Task(lambda: self._into_file(file_id, path, task), f"{file_id}\n{os.path.abspath(path)}")
        return task

    def to_text(self, value: Any) -> str:
        return str(os.stat(value).st_size)

    def from_text(self, item: Any, text: str) -> Any:
        path = item[1]
        if not os.path.isfile(path) or os.stat(path).st_size != int(text):
            raise ValueError(f"{path} is not there any more")
        return path

    def _into_memory(self, file_id: str, task: Task[Any]) -> Plan[bytes]:
        data = yield from download.download_bytes(self._cluster, file_id, control=self._control)
        task.moved = len(data)
        return data

    def _into_file(self, file_id: str, path: Path, task: Task[Any]) -> Plan[Path]:
        task.moved = yield from download.download_file(
            self._cluster, file_id, path, fsync=self._fsync, control=self._control
        )
        return path


class DeleteJob:
    """File IDs → None, the files deleted."""

    kind = "delete"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def task(self, item: Any) -> Task[None]:
        return Task(lambda: small.delete_file(self._cluster, item), str(item))

    def to_text(self, value: None) -> str:
        return ""

    def from_text(self, item: Any, text: str) -> None:
        return None


class _Question(Generic[T]):
    """File IDs → what is asked about them. Nothing to remember."""

    kind = "question"

    def __init__(self, ask: Callable[[str], Plan[T]]) -> None:
        self._ask = ask

    def task(self, item: Any) -> Task[T]:
        return Task(lambda: self._ask(item))

    def to_text(self, value: T) -> str:
        raise NotImplementedError

    def from_text(self, item: Any, text: str) -> T:
        raise NotImplementedError


class InfoJob(_Question[FileInfo]):
    """File IDs → :class:`FileInfo`."""

    def __init__(self, cluster: Cluster, flags: int) -> None:
        super().__init__(lambda file_id: small.get_file_info(cluster, file_id, flags))


class MetadataJob(_Question[dict[str, str]]):
    """File IDs → metadata."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(lambda file_id: small.get_metadata(cluster, file_id))


class Reorder(Generic[T]):
    """Gives results out in the order of their items, or, unless *ordered*, as they come."""

    def __init__(self, ordered: bool) -> None:
        self._ordered = ordered
        self._next = 0
        self._held: dict[int, BatchResult[T]] = {}

    def put(self, result: BatchResult[T]) -> list[BatchResult[T]]:
        """Take one in; those that can go out now."""
        if not self._ordered:
            return [result]
        self._held[result.index] = result
        ready = []
        while self._next in self._held:
            ready.append(self._held.pop(self._next))
            self._next += 1
        return ready
