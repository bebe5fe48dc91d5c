"""The FastDFS client that blocks."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TypeVar

from fastxfer.core.fdfscall import Begun
from fastxfer.fdfs.batch_methods import BatchMethods
from fastxfer.fdfs.chunks import CHUNK_SIZE, ChunkReader
from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.cluster_methods import ClusterMethods
from fastxfer.fdfs.config import ClientConfig, Settings
from fastxfer.fdfs.driver import SyncDriver
from fastxfer.fdfs.errors import ClientClosedError
from fastxfer.fdfs.plans import files, upload
from fastxfer.fdfs.raw_stream import left_of
from fastxfer.fdfs.shortcut import ShortOperations
from fastxfer.fdfs.stats import ClientStats, client_stats
from fastxfer.fdfs.steps import Control, Plan, TransferOptions, control_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Client", "ClientConfig"]

T = TypeVar("T")


class _Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


class Client(ShortOperations, BatchMethods, ClusterMethods):
    """FastDFS client. Safe to use from any number of threads; made once and kept.

    All methods raise, beside what they say: :class:`ClientClosedError`; :class:`InvalidFileIDError`;
    :class:`FileNotFoundError` where the servers say that there is no such file; :class:`NetworkError` and its kinds
    where no server could be asked; :class:`NoStorageServerError` where the tracker names none;
    :class:`InvalidResponseError` where a peer talks something else. Methods that move a file take, by keyword:

    * *progress*: a :class:`~fastxfer.net.progress.Progress`, or a function that is called with one while bytes move;
    * *cancel*: a :class:`~fastxfer.net.cancel.CancelToken`; :class:`TransferCancelledError` is raised once it is used;
    * *timeout*: seconds for the whole operation, beside the timeouts of the configuration.

    Args:
        config: see :class:`ClientConfig`.

    Raises :class:`InvalidArgumentError` where the configuration is wrong. Nothing is connected to yet.
    """

    def __init__(self, config: ClientConfig) -> None:
        settings = Settings(config)
        self.config = config
        self.closed = False
        self._closing = threading.RLock()
        self._cluster = Cluster(settings)
        self._driver = SyncDriver(settings)
        self._shortcut = self._driver.shortcut(self._cluster)

    def upload_stream(
        self,
        stream: files.Readable,
        file_ext_name: str,
        metadata: Mapping[str, str] | None = None,
        *,
        appender: bool = False,
        group: str | None = None,
        store_path: int | None = None,
        **options: Unpack[TransferOptions],
    ) -> str:
        """Upload what *stream* gives until its end, of whatever length. As :meth:`upload_file`.

        FastDFS wants the length first: up to 8 MiB are gathered in memory, more in a temporary file.
        """
        control = self._control(options)
        plan = files.spooled(
            stream,
            lambda body: upload.upload(
                self._cluster,
                body,
                file_ext_name,
                metadata,
                appender=appender,
                group=group,
                store_path=store_path,
                control=control,
            ),
        )
        return self._run(plan, control)

    def download_iter(
        self,
        file_id: str,
        chunk_size: int = CHUNK_SIZE,
        *,
        offset: int = 0,
        length: int = 0,
        **options: Unpack[TransferOptions],
    ) -> Iterator[bytes]:
        """The file by chunks of *chunk_size* bytes (the last may be shorter).

        No connection is held between chunks. A whole normal file is verified with the last chunk.
        """
        control = self._control(options)
        reader = ChunkReader(self._cluster, file_id, chunk_size, offset, length, control)
        self._check_open()
        return self._chunks(reader, control)

    def download_to_stream(
        self,
        file_id: str,
        stream: _Writable,
        *,
        offset: int = 0,
        length: int = 0,
        **options: Unpack[TransferOptions],
    ) -> int:
        """Write the file to anything with a ``write`` method and return the number of bytes.

        A raw stream that takes less than it is given is given the rest again.
        """
        total = 0
        for chunk in self.download_iter(file_id, offset=offset, length=length, **options):
            total += len(chunk)
            left = chunk
            while left:
                left = left_of(stream, left, stream.write(left))
        return total

    # --- the client itself

    def stats(self) -> ClientStats:
        """What the client's connections are doing, and which servers it takes to be down."""
        return client_stats(self._driver.pool.book, self._cluster)

    def close(self) -> None:
        """Close all connections. Operations under way end as they may, later ones raise. Idempotent."""
        with self._closing:
            self.closed = True
            self._driver.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, plan: Plan[T], control: Control | None = None) -> T:
        if self.closed:
            plan.close()
            raise ClientClosedError
        return self._driver.run(plan, control)

    def _go_on(self, plan: Plan[T], begun: Begun) -> T:
        if begun.connection is None:
            return self._run(plan)
        return self._driver.run(plan, None, begun)

    def _control(self, options: TransferOptions) -> Control | None:
        return control_of(**options) if options else None

    def _check_open(self) -> None:
        if self.closed:
            raise ClientClosedError

    def _chunks(self, reader: ChunkReader, control: Control | None) -> Iterator[bytes]:
        progress = None if control is None else control.progress
        try:
            while chunk := self._run(reader.next()):
                if progress is not None:
                    progress.advance(len(chunk))
                yield chunk
        except BaseException:
            if progress is not None:
                progress.abandon()
            raise
        if progress is not None:
            progress.finish()
