"""The batches of the blocking client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from os import PathLike
from typing import Any, TypeVar

from fastxfer.fdfs.batch import (
    BatchProgress,
    BatchResult,
    DeleteJob,
    DownloadJob,
    InfoJob,
    MetadataJob,
    UploadItem,
    UploadJob,
)
from fastxfer.fdfs.batch_threads import run_batch
from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.steps import Control, Plan, batch_control
from fastxfer.fdfs.types import FileInfo
from fastxfer.net.cancel import CancelToken

__all__ = ["BatchMethods"]

T = TypeVar("T")
Path = str | PathLike[str]
OnBatchProgress = Callable[[BatchProgress], object] | None

_THREADS = 8


class BatchMethods:
    """Part of :class:`~fastxfer.fdfs.Client`.

    Each takes any iterable, also one of millions of items, and consumes it as results are taken; an item that fails is
    a result with ``error`` set and stops nothing. A client makes up to ``max_conns`` connections to one server: raise
    that with *concurrency*. All take, by keyword:

    * *concurrency*: items under way at a time, each in a thread;
    * *ordered*: give results in the order of the items instead of as they come;
    * *progress*: a function called with a :class:`BatchProgress`;
    * *cancel*: a :class:`~fastxfer.net.cancel.CancelToken`; what was under way becomes results with an error.

    Those that change something also take *journal*: a file that remembers each finished item. The same batch with the
    same journal goes on where it was interrupted: what the journal has is not done again, its outcome is given with
    ``skipped`` set. (What was under way when the process died is done again.)

    The results end early where the iterator is closed. What is under way is cancelled then, or, where there is a
    journal, finished and remembered.
    """

    _cluster: Cluster

    def _run(self, plan: Plan[T], control: Control | None = None) -> T:
        raise NotImplementedError

    def upload_many(
        self,
        items: Iterable[Path | UploadItem],
        *,
        appender: bool = False,
        group: str | None = None,
        store_path: int | None = None,
        concurrency: int = _THREADS,
        ordered: bool = False,
        journal: Path | None = None,
        progress: OnBatchProgress = None,
        cancel: CancelToken | None = None,
    ) -> Iterator[BatchResult[str]]:
        """Upload paths, or what :class:`UploadItem` can describe; the values are file IDs.

        The journal takes a file that has another size or time of change than before for a new one.
        """
        control = batch_control()
        job = UploadJob(self._cluster, control, appender=appender, group=group, store_path=store_path)
        return run_batch(
            self._run,
            job,
            items,
            concurrency=concurrency,
            ordered=ordered,
            journal=journal,
            progress=progress,
            control=control,
            cancel=cancel,
        )

    def download_many(
        self,
        items: Iterable[str | tuple[str, Path]],
        *,
        fsync: bool = False,
        concurrency: int = _THREADS,
        ordered: bool = False,
        journal: Path | None = None,
        progress: OnBatchProgress = None,
        cancel: CancelToken | None = None,
    ) -> Iterator[BatchResult[Any]]:
        """Download pairs of file ID and path (the value is that path), or file IDs alone (the value is the bytes).

        The journal takes a file that is not there any more, or has another size, for one not downloaded.
        """
        control = batch_control()
        return run_batch(
            self._run,
            DownloadJob(self._cluster, control, fsync=fsync),
            items,
            concurrency=concurrency,
            ordered=ordered,
            journal=journal,
            progress=progress,
            control=control,
            cancel=cancel,
        )

    def delete_many(
        self,
        file_ids: Iterable[str],
        *,
        concurrency: int = _THREADS,
        ordered: bool = False,
        journal: Path | None = None,
        progress: OnBatchProgress = None,
        cancel: CancelToken | None = None,
    ) -> Iterator[BatchResult[None]]:
        """Delete files; one that is missing is a result with :class:`FileNotFoundError`."""
        return run_batch(
            self._run,
            DeleteJob(self._cluster),
            file_ids,
            concurrency=concurrency,
            ordered=ordered,
            journal=journal,
            progress=progress,
            control=batch_control(),
            cancel=cancel,
        )

    def info_many(
        self,
        file_ids: Iterable[str],
        flags: int = 0,
        *,
        concurrency: int = _THREADS,
        ordered: bool = False,
        progress: OnBatchProgress = None,
        cancel: CancelToken | None = None,
    ) -> Iterator[BatchResult[FileInfo]]:
        """Get the information of many files; *flags* as in :meth:`get_file_info`."""
        return run_batch(
            self._run,
            InfoJob(self._cluster, flags),
            file_ids,
            concurrency=concurrency,
            ordered=ordered,
            journal=None,
            progress=progress,
            control=batch_control(),
            cancel=cancel,
        )

    def metadata_many(
        self,
        file_ids: Iterable[str],
        *,
        concurrency: int = _THREADS,
        ordered: bool = False,
        progress: OnBatchProgress = None,
        cancel: CancelToken | None = None,
    ) -> Iterator[BatchResult[dict[str, str]]]:
        """Get the metadata of many files."""
        return run_batch(
            self._run,
            MetadataJob(self._cluster),
            file_ids,
            concurrency=concurrency,
            ordered=ordered,
            journal=None,
            progress=progress,
            control=batch_control(),
            cancel=cancel,
        )
