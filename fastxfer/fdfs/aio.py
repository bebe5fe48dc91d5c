"""The FastDFS client for asyncio and uvloop."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncGenerator, Awaitable, Coroutine, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from fastxfer.fdfs.arguments import check_progress
from fastxfer.fdfs.async_batch_methods import AsyncBatchMethods
from fastxfer.fdfs.async_driver import AsyncDriver
from fastxfer.fdfs.async_stream import AnyStream, chunks_of
from fastxfer.fdfs.body import Spool
from fastxfer.fdfs.chunks import CHUNK_SIZE, ChunkReader
from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.cluster_methods import ClusterMethods
from fastxfer.fdfs.config import ClientConfig, Settings
from fastxfer.fdfs.errors import ClientClosedError
from fastxfer.fdfs.operations import Operations
from fastxfer.fdfs.plans import upload
from fastxfer.fdfs.raw_stream import left_of
from fastxfer.fdfs.stats import ClientStats, client_stats
from fastxfer.fdfs.steps import Control, Plan, TransferOptions, control_of
from fastxfer.net.progress import Progress

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["AsyncClient"]

T = TypeVar("T")


class Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


class AsyncClient(Operations, AsyncBatchMethods, ClusterMethods):
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

    async def upload_stream(
        self,
        stream: AnyStream,
        file_ext_name: str,
        metadata: Mapping[str, str] | None = None,
        *,
        appender: bool = False,
        group: str | None = None,
        store_path: int | None = None,
        **options: Unpack[TransferOptions],
    ) -> str:
        """See :meth:`Client.upload_stream`; *stream* may also have a coroutine ``read``, or be an async iterable."""
        control = self._control(options)
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

    async def download_iter(
        self,
        file_id: str,
        chunk_size: int = CHUNK_SIZE,
        *,
        offset: int = 0,
        length: int = 0,
        **options: Unpack[TransferOptions],
    ) -> AsyncGenerator[bytes, None]:
        """See :meth:`Client.download_iter`; for ``async for``."""
        control = self._control(options)
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
        **options: Unpack[TransferOptions],
    ) -> int:
        """See :meth:`Client.download_to_stream`; ``write`` may be a coroutine function.

        A ``drain`` like that of :class:`asyncio.StreamWriter` is awaited after each chunk.
        """
        total = 0
        drain = getattr(stream, "drain", None)
        chunks = self.download_iter(file_id, offset=offset, length=length, **options)
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                total += len(chunk)
                left = chunk
                while left:
                    written = stream.write(left)
                    left = left_of(stream, left, await written if isinstance(written, Awaitable) else written)
                if inspect.iscoroutinefunction(drain):
                    await drain()
        return total

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

    def _run(self, plan: Plan[T], control: Control | None = None) -> Coroutine[Any, Any, T]:
        driver = self._driver
        if driver is not None and driver.is_running_here() and not self.closed:
            return driver.run(plan, control)
        return self._run_first(plan, control)

    async def _run_first(self, plan: Plan[T], control: Control | None) -> T:
        """Where there is no driver yet, or it is not for the caller: that is found out when it is awaited."""
        driver = self._driver
        if driver is None or self.closed:
            if self.closed:
                plan.close()
                raise ClientClosedError
            driver = self._driver = AsyncDriver(self._settings)
        elif not driver.is_running_here():
            plan.close()
            raise RuntimeError("this AsyncClient belongs to another event loop: make one for each")
        return await driver.run(plan, control)

    def _control(self, options: TransferOptions) -> Control | None:
        if not options:
            return None
        callback = options.get("progress")
        if callback is None or isinstance(callback, Progress):
            return control_of(**options)
        check_progress(callback)
        report = callback

        def in_the_loop(state: Progress) -> None:
            driver = self._driver
            if driver is None or driver.is_running_here():
                report(state)
            else:
                driver.loop.call_soon_threadsafe(report, state)

        return control_of(**{**options, "progress": in_the_loop})
