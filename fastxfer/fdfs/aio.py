"""The FastDFS client for asyncio and uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TypeVar

from fastxfer.fdfs.async_batch_methods import AsyncBatchMethods
from fastxfer.fdfs.async_cluster_methods import AsyncClusterMethods
from fastxfer.fdfs.async_driver import AsyncDriver
from fastxfer.fdfs.async_stream import AnyStream, chunks_of
from fastxfer.fdfs.body import Spool, memory_body
from fastxfer.fdfs.chunks import CHUNK_SIZE, ChunkReader
from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.config import ClientConfig, Settings
from fastxfer.fdfs.errors import ClientClosedError
from fastxfer.fdfs.plans import change, download, files, segmented, small, upload
from fastxfer.fdfs.stats import ClientStats, client_stats
from fastxfer.fdfs.steps import Control, Plan, control_of
from fastxfer.fdfs.types import FileInfo, MetadataFlag
from fastxfer.net.cancel import CancelToken
from fastxfer.net.progress import Progress

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["AsyncClient"]

T = TypeVar("T")
Path = str | PathLike[str]
OnProgress = Progress | Callable[[Progress], object] | None


class Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


class AsyncClient(AsyncBatchMethods, AsyncClusterMethods):
    """:class:`~fastxfer.fdfs.Client` for coroutines: the same operations by the same names, awaited.

    To be used from the event loop in which its first operation runs, by any number of tasks. Cancelling a task that
    awaits an operation ends the transfer and closes its connection. A function given as *progress* is called in the
    loop.

    Args:
        config: see :class:`ClientConfig`.

    Raises :class:`InvalidArgumentError` where the configuration is wrong. Nothing is connected to yet.
    """

    def __init__(self, config: ClientConfig) -> None:
        self._settings = Settings(config)
        self.config = config
        self.closed = False
        self._cluster = Cluster(self._settings)
        self._driver: AsyncDriver | None = None

    # --- uploads

    async def upload_file(
        self,
        local_filename: Path,
        metadata: Mapping[str, str] | None = None,
        *,
        file_ext_name: str | None = None,
        group: str | None = None,
        store_path: int | None = None,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> str:
        """See :meth:`Client.upload_file`."""
        control = self._control(progress, cancel, timeout)
        plan = files.upload_file(
            self._cluster, local_filename, file_ext_name, metadata, group=group, store_path=store_path, control=control
        )
        return await self._run(plan, control)

    async def upload_buffer(
        self,
        data: Buffer,
        file_ext_name: str,
        metadata: Mapping[str, str] | None = None,
        *,
        group: str | None = None,
        store_path: int | None = None,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> str:
        """See :meth:`Client.upload_buffer`."""
        control = self._control(progress, cancel, timeout)
        plan = upload.upload(
            self._cluster,
            memory_body(data),
            file_ext_name,
            metadata,
            group=group,
            store_path=store_path,
            control=control,
        )
        return await self._run(plan, control)

    async def upload_stream(
        self,
        stream: AnyStream,
        file_ext_name: str,
        metadata: Mapping[str, str] | None = None,
        *,
        appender: bool = False,
        group: str | None = None,
        store_path: int | None = None,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> str:
        """See :meth:`Client.upload_stream`; *stream* may also have a coroutine ``read``, or be an async iterable."""
        control = self._control(progress, cancel, timeout)
        with Spool() as spool:
            async with contextlib.aclosing(chunks_of(stream)) as chunks:
                async for chunk in chunks:
                    spool.write(chunk)
            plan = upload.upload(
                self._cluster,
                spool.body(),
                file_ext_name,
                metadata,
                appender=appender,
                group=group,
                store_path=store_path,
                control=control,
            )
            return await self._run(plan, control)

    async def upload_appender_file(
        self,
        local_filename: Path,
        metadata: Mapping[str, str] | None = None,
        *,
        file_ext_name: str | None = None,
        group: str | None = None,
        store_path: int | None = None,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> str:
        """See :meth:`Client.upload_appender_file`."""
        control = self._control(progress, cancel, timeout)
        plan = files.upload_file(
            self._cluster,
            local_filename,
            file_ext_name,
            metadata,
            appender=True,
            group=group,
            store_path=store_path,
            control=control,
        )
        return await self._run(plan, control)

    async def upload_appender_buffer(
        self,
        data: Buffer,
        file_ext_name: str,
        metadata: Mapping[str, str] | None = None,
        *,
        group: str | None = None,
        store_path: int | None = None,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> str:
        """See :meth:`Client.upload_appender_buffer`."""
        control = self._control(progress, cancel, timeout)
        plan = upload.upload(
            self._cluster,
            memory_body(data),
            file_ext_name,
            metadata,
            appender=True,
            group=group,
            store_path=store_path,
            control=control,
        )
        return await self._run(plan, control)

    async def upload_slave_file(
        self,
        master_file_id: str,
        prefix_name: str,
        local_filename: Path,
        metadata: Mapping[str, str] | None = None,
        *,
        file_ext_name: str | None = None,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> str:
        """See :meth:`Client.upload_slave_file`."""
        control = self._control(progress, cancel, timeout)
        plan = files.upload_slave_file(
            self._cluster, master_file_id, prefix_name, local_filename, file_ext_name, metadata, control=control
        )
        return await self._run(plan, control)

    async def upload_slave_buffer(
        self,
        master_file_id: str,
        prefix_name: str,
        data: Buffer,
        file_ext_name: str,
        metadata: Mapping[str, str] | None = None,
        *,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> str:
        """See :meth:`Client.upload_slave_buffer`."""
        control = self._control(progress, cancel, timeout)
        plan = upload.upload_slave(
            self._cluster, memory_body(data), master_file_id, prefix_name, file_ext_name, metadata, control=control
        )
        return await self._run(plan, control)

    async def upload_segmented(
        self,
        local_filename: Path,
        metadata: Mapping[str, str] | None = None,
        *,
        segments: int = 4,
        regenerate: bool = True,
        file_ext_name: str | None = None,
        group: str | None = None,
        store_path: int | None = None,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> str:
        """See :meth:`Client.upload_segmented`."""
        control = self._control(progress, cancel, timeout)
        plan = segmented.upload_segmented(
            self._cluster,
            local_filename,
            segments,
            file_ext_name,
            metadata,
            regenerate=regenerate,
            group=group,
            store_path=store_path,
            control=control,
        )
        return await self._run(plan, control)

    # --- downloads

    async def download_file(
        self,
        file_id: str,
        *,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> bytes:
        """See :meth:`Client.download_file`."""
        control = self._control(progress, cancel, timeout)
        return await self._run(download.download_bytes(self._cluster, file_id, control=control), control)

    async def download_file_range(
        self,
        file_id: str,
        offset: int,
        length: int,
        *,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> bytes:
        """See :meth:`Client.download_file_range`."""
        control = self._control(progress, cancel, timeout)
        return await self._run(download.download_bytes(self._cluster, file_id, offset, length, control), control)

    async def download_to_file(
        self,
        file_id: str,
        local_filename: Path,
        *,
        offset: int = 0,
        length: int = 0,
        fsync: bool = False,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> None:
        """See :meth:`Client.download_to_file`."""
        control = self._control(progress, cancel, timeout)
        plan = download.download_file(
            self._cluster, file_id, local_filename, offset, length, fsync=fsync, control=control
        )
        await self._run(plan, control)

    async def download_to_buffer(
        self,
        file_id: str,
        buffer: Buffer,
        offset: int = 0,
        length: int = 0,
        *,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> int:
        """See :meth:`Client.download_to_buffer`."""
        control = self._control(progress, cancel, timeout)
        return await self._run(
            download.download_buffer(self._cluster, file_id, buffer, offset, length, control), control
        )

    async def download_iter(
        self,
        file_id: str,
        chunk_size: int = CHUNK_SIZE,
        *,
        offset: int = 0,
        length: int = 0,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """See :meth:`Client.download_iter`; for ``async for``."""
        control = self._control(progress, cancel, timeout)
        reader = ChunkReader(self._cluster, file_id, chunk_size, offset, length, control)
        follow = None if control is None else control.progress
        try:
            while chunk := await self._run(reader.next()):
                if follow is not None:
                    follow.advance(len(chunk))
                yield chunk
        except BaseException:
            if follow is not None:
                follow.abandon()
            raise
        if follow is not None:
            follow.finish()

    async def download_to_stream(
        self,
        file_id: str,
        stream: Writable,
        *,
        offset: int = 0,
        length: int = 0,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> int:
        """See :meth:`Client.download_to_stream`; ``write`` may be a coroutine function."""
        total = 0
        chunks = self.download_iter(
            file_id, offset=offset, length=length, progress=progress, cancel=cancel, timeout=timeout
        )
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                written = stream.write(chunk)
                if isinstance(written, Awaitable):
                    await written
                total += len(chunk)
        return total

    async def download_segmented(
        self,
        file_id: str,
        local_filename: Path,
        *,
        segments: int = 4,
        fsync: bool = False,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> None:
        """See :meth:`Client.download_segmented`."""
        control = self._control(progress, cancel, timeout)
        plan = segmented.download_segmented(
            self._cluster, file_id, local_filename, segments, fsync=fsync, control=control
        )
        await self._run(plan, control)

    # --- changes

    async def append_file(
        self,
        file_id: str,
        local_filename: Path,
        *,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> None:
        """See :meth:`Client.append_file`."""
        control = self._control(progress, cancel, timeout)
        await self._run(files.append_file(self._cluster, file_id, local_filename, control=control), control)

    async def append_buffer(
        self,
        file_id: str,
        data: Buffer,
        *,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> None:
        """See :meth:`Client.append_buffer`."""
        control = self._control(progress, cancel, timeout)
        await self._run(change.append(self._cluster, file_id, memory_body(data), control=control), control)

    async def modify_file(
        self,
        file_id: str,
        offset: int,
        local_filename: Path,
        *,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> None:
        """See :meth:`Client.modify_file`."""
        control = self._control(progress, cancel, timeout)
        await self._run(files.modify_file(self._cluster, file_id, offset, local_filename, control=control), control)

    async def modify_buffer(
        self,
        file_id: str,
        offset: int,
        data: Buffer,
        *,
        progress: OnProgress = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> None:
        """See :meth:`Client.modify_buffer`."""
        control = self._control(progress, cancel, timeout)
        await self._run(change.modify(self._cluster, file_id, offset, memory_body(data), control=control), control)

    async def truncate_file(self, file_id: str, size: int = 0) -> None:
        """See :meth:`Client.truncate_file`."""
        await self._run(small.truncate_file(self._cluster, file_id, size))

    async def regenerate_appender_file(self, file_id: str) -> str:
        """See :meth:`Client.regenerate_appender_file`."""
        return await self._run(small.regenerate_appender_file(self._cluster, file_id))

    async def delete_file(self, file_id: str) -> None:
        """See :meth:`Client.delete_file`."""
        await self._run(small.delete_file(self._cluster, file_id))

    async def create_link(
        self,
        source_file_id: str,
        signature: bytes,
        file_ext_name: str,
        *,
        master_file_id: str = "",
        prefix_name: str = "",
    ) -> str:
        """See :meth:`Client.create_link`."""
        return await self._run(
            small.create_link(self._cluster, source_file_id, signature, file_ext_name, master_file_id, prefix_name)
        )

    # --- metadata and information

    async def set_metadata(
        self, file_id: str, metadata: Mapping[str, str] | None, flag: MetadataFlag = MetadataFlag.OVERWRITE
    ) -> None:
        """See :meth:`Client.set_metadata`."""
        await self._run(small.set_metadata(self._cluster, file_id, metadata, flag))

    async def get_metadata(self, file_id: str) -> dict[str, str]:
        """See :meth:`Client.get_metadata`."""
        return await self._run(small.get_metadata(self._cluster, file_id))

    async def get_file_info(self, file_id: str, flags: int = 0) -> FileInfo:
        """See :meth:`Client.get_file_info`."""
        return await self._run(small.get_file_info(self._cluster, file_id, flags))

    async def file_exists(self, file_id: str) -> bool:
        """See :meth:`Client.file_exists`."""
        return await self._run(small.file_exists(self._cluster, file_id))

    # --- the client itself

    def stats(self) -> ClientStats:
        """See :meth:`Client.stats`."""
        return client_stats(None if self._driver is None else self._driver.pool.book, self._cluster)

    async def aclose(self) -> None:
        """End what is under way and close all connections. Idempotent."""
        self.closed = True
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.aclose()

    async def close(self) -> None:
        """As :meth:`aclose`."""
        await self.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _run(self, plan: Plan[T], control: Control | None = None) -> T:
        driver = self._driver
        if driver is None or self.closed:
            if self.closed:
                plan.close()
                raise ClientClosedError
            driver = self._driver = AsyncDriver(self._settings)
        return await driver.run(plan, control)

    def _control(self, progress: OnProgress, cancel: CancelToken | None, timeout: float | None) -> Control | None:
        if progress is None or isinstance(progress, Progress):
            return control_of(progress, cancel, timeout)
        callback, loop, home = progress, asyncio.get_running_loop(), threading.get_ident()

        def report(state: Progress) -> None:
            if threading.get_ident() == home:
                callback(state)
            else:
                loop.call_soon_threadsafe(callback, state)

        return control_of(report, cancel, timeout)
