"""The batches of the asyncio client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
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
from fastxfer.fdfs.batch_tasks import run_batch_async
from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.steps import Control, Plan, batch_control
from fastxfer.fdfs.types import FileInfo

__all__ = ["AsyncBatchMethods"]

T = TypeVar("T")
Path = str | PathLike[str]
OnBatchProgress = Callable[[BatchProgress], object] | None

_TASKS = 32


class AsyncBatchMethods:
    """Part of :class:`~fastxfer.fdfs.AsyncClient`: as those of :class:`~fastxfer.fdfs.Client`, for ``async for``.

    The items may also be an async iterable; each under way is carried by a task. To cancel a batch, cancel the task
    that takes its results, or close the iterator.
    """

    _cluster: Cluster

    async def _run(self, plan: Plan[T], control: Control | None = None) -> T:
        raise NotImplementedError

    def upload_many(
        self,
        items: Iterable[Path | UploadItem] | AsyncIterable[Path | UploadItem],
        *,
        appender: bool = False,
        group: str | None = None,
        store_path: int | None = None,
        concurrency: int = _TASKS,
        ordered: bool = False,
        journal: Path | None = None,
        progress: OnBatchProgress = None,
    ) -> AsyncGenerator[BatchResult[str], None]:
        """See :meth:`Client.upload_many`."""
        control = batch_control()
        job = UploadJob(self._cluster, control, appender=appender, group=group, store_path=store_path)
        return run_batch_async(
            self._run,
            job,
            items,
            concurrency=concurrency,
            ordered=ordered,
            journal=journal,
            progress=progress,
        )

    def download_many(
        self,
        items: Iterable[str | tuple[str, Path]] | AsyncIterable[str | tuple[str, Path]],
        *,
        fsync: bool = False,
        concurrency: int = _TASKS,
        ordered: bool = False,
        journal: Path | None = None,
        progress: OnBatchProgress = None,
    ) -> AsyncGenerator[BatchResult[Any], None]:
        """See :meth:`Client.download_many`."""
        control = batch_control()
        return run_batch_async(
            self._run,
            DownloadJob(self._cluster, control, fsync=fsync),
            items,
            concurrency=concurrency,
            ordered=ordered,
            journal=journal,
            progress=progress,
        )

    def delete_many(
        self,
        file_ids: Iterable[str] | AsyncIterable[str],
        *,
        concurrency: int = _TASKS,
        ordered: bool = False,
        journal: Path | None = None,
        progress: OnBatchProgress = None,
    ) -> AsyncGenerator[BatchResult[None], None]:
        """See :meth:`Client.delete_many`."""
        return run_batch_async(
            self._run,
            DeleteJob(self._cluster),
            file_ids,
            concurrency=concurrency,
            ordered=ordered,
            journal=journal,
            progress=progress,
        )

    def info_many(
        self,
        file_ids: Iterable[str] | AsyncIterable[str],
        flags: int = 0,
        *,
        concurrency: int = _TASKS,
        ordered: bool = False,
        progress: OnBatchProgress = None,
    ) -> AsyncGenerator[BatchResult[FileInfo], None]:
        """See :meth:`Client.info_many`."""
        return run_batch_async(
            self._run,
            InfoJob(self._cluster, flags),
            file_ids,
            concurrency=concurrency,
            ordered=ordered,
            journal=None,
            progress=progress,
        )

    def metadata_many(
        self,
        file_ids: Iterable[str] | AsyncIterable[str],
        *,
        concurrency: int = _TASKS,
        ordered: bool = False,
        progress: OnBatchProgress = None,
    ) -> AsyncGenerator[BatchResult[dict[str, str]], None]:
        """See :meth:`Client.metadata_many`."""
        return run_batch_async(
            self._run,
            MetadataJob(self._cluster),
            file_ids,
            concurrency=concurrency,
            ordered=ordered,
            journal=None,
            progress=progress,
        )
