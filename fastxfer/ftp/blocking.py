"""The synchronous client."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from fastxfer.core.ftpwire import Entry
from fastxfer.ftp._blocking import BlockingDriver
from fastxfer.ftp.base import RemotePath
from fastxfer.ftp.client import AsyncClient
from fastxfer.ftp.config import ClientConfig
from fastxfer.ftp.directory import Found
from fastxfer.ftp.file_operations import FileOperations
from fastxfer.ftp.replies import Reply
from fastxfer.ftp.tree.blocking import BlockingTreeTools, Portal
from fastxfer.ftp.types import ProgressLike, TransferResult
from fastxfer.net.stream import run_blocking

__all__ = ["Client"]

T = TypeVar("T")


class Client(BlockingTreeTools):
    """FTP and FTPS for threads: the same operations as :class:`~fastxfer.ftp.AsyncClient`, blocking.

    Any number of threads may use one client: each operation takes a connection of its own. Arguments are those of
    :class:`~fastxfer.ftp.AsyncClient`; hooks are plain functions here.

    ::

        with Client("ftp://files.example.org", user="me", password="secret") as client:
            client.download("reports/2026.pdf", "2026.pdf", preserve_time=True)
    """

    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        account: str = "",
        config: ClientConfig | None = None,
        hooks: Mapping[str, Callable[..., object]] | None = None,
        **options: Any,
    ) -> None:
        self._operations = FileOperations(
            url, user=user, password=password, account=account, config=config, hooks=hooks, **options
        )
        self._twin: Callable[[], AsyncClient] = partial(
            AsyncClient, url, user=user, password=password, account=account, config=config, hooks=hooks, **options
        )
        self._portal = Portal(self._twin())
        self._opened = False

    # State

    @property
    def config(self) -> ClientConfig:
        """The settings in force."""
        return self._operations.config

    @property
    def host(self) -> str:
        return self._operations.host

    @property
    def port(self) -> int:
        return self._operations.port

    @property
    def secure(self) -> bool:
        """The control connection is encrypted."""
        return self._operations.secure

    @property
    def features(self) -> dict[str, str]:
        """What the server said to FEAT: names in capitals to parameters. Empty before the first connection."""
        return self._operations.features

    @property
    def server_kind(self) -> str:
        """Which server it is, as far as its greeting tells: ``"vsftpd"``, ``"pure-ftpd"`` …, or ""."""
        return self._operations.server_kind

    def stats(self) -> dict[str, object]:
        """Where the client is connected to, and what it has open and done."""
        return self._operations.stats()

    def __repr__(self) -> str:
        return repr(self._operations).replace(type(self._operations).__name__, type(self).__name__)

    # Opening and closing

    def __enter__(self) -> Client:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def connect(self) -> None:
        """Open the client and its first connection, so that a wrong address or password shows at once."""
        if not self._opened:
            self._operations._start(BlockingDriver(self.config.spin))
            self._opened = True
        try:
            run_blocking(self._operations._connect())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections. Idempotent."""
        self._portal.close()
        run_blocking(self._operations._disconnect())
        self._opened = False

    # Files

    def download(
        self,
        path: RemotePath,
        target: object,
        *,
        offset: int = 0,
        resume: bool = False,
        atomic: bool | None = None,
        overwrite: bool = True,
        make_directories: bool = False,
        preserve_time: bool = False,
        mtime: float | None = None,
        size: int | None = None,
        verify: str | bool = False,
        ascii: bool = False,
        progress: ProgressLike | None = None,
    ) -> TransferResult:
        """Download one file: see :meth:`AsyncClient.download`."""
        return run_blocking(
            self._operations.download(
                path,
                target,
                offset=offset,
                resume=resume,
                atomic=atomic,
                overwrite=overwrite,
                make_directories=make_directories,
                preserve_time=preserve_time,
                mtime=mtime,
                size=size,
                verify=verify,
                ascii=ascii,
                progress=progress,
            )
        )

    def read(self, path: RemotePath, *, offset: int = 0, length: int | None = None) -> bytes:
        """The content of a file: see :meth:`AsyncClient.read`."""
        return run_blocking(self._operations.read(path, offset=offset, length=length))

    def stream(self, path: RemotePath, *, offset: int = 0) -> Iterator[bytes]:
        """The content of a file, piece by piece: see :meth:`AsyncClient.stream`."""
        return _iterate(self._operations.stream(path, offset=offset))

    def upload(
        self,
        source: object,
        path: RemotePath,
        *,
        append: bool = False,
        resume: bool = False,
        atomic: bool | None = None,
        overwrite: bool = True,
        make_directories: bool = False,
        preserve_time: bool = False,
        mtime: float | None = None,
        verify: str | bool = False,
        ascii: bool = False,
        size: int | None = None,
        progress: ProgressLike | None = None,
    ) -> TransferResult:
        """Upload one file: see :meth:`AsyncClient.upload`."""
        return run_blocking(
            self._operations.upload(
                source,
                path,
                append=append,
                resume=resume,
                atomic=atomic,
                overwrite=overwrite,
                make_directories=make_directories,
                preserve_time=preserve_time,
                mtime=mtime,
                verify=verify,
                ascii=ascii,
                size=size,
                progress=progress,
            )
        )

    def upload_unique(self, source: object, directory: RemotePath | None = None) -> str:
        """Upload under a name that the server makes up: see :meth:`AsyncClient.upload_unique`."""
        return run_blocking(self._operations.upload_unique(source, directory))

    def checksum(self, path: RemotePath, algorithm: str | None = None) -> tuple[str, str]:
        """A remote file's checksum, computed by the server: see :meth:`AsyncClient.checksum`."""
        return run_blocking(self._operations.checksum(path, algorithm))

    def checksums(self) -> builtins.list[str]:
        """The checksum algorithms that the server offers, best first."""
        return self._operations.checksums()

    def copy(self, source: RemotePath, target: RemotePath) -> None:
        """Copy a file on the server: see :meth:`AsyncClient.copy`."""
        run_blocking(self._operations.copy(source, target))

    def transfer_to(
        self,
        source: RemotePath,
        other: Client,
        target: RemotePath,
        *,
        overwrite: bool = True,
        verify: bool = True,
        seconds: float | None = None,
    ) -> int:
        """Have this client's server send a file to another client's: see :meth:`AsyncClient.transfer_to`."""

        async def between() -> int:
            async with self._twin() as here, other._twin() as there:
                return await here.transfer_to(
                    source, there, target, overwrite=overwrite, verify=verify, seconds=seconds
                )

        return asyncio.run(between())

    # Directories

    def list(self, path: RemotePath = "") -> builtins.list[Entry]:
        """The entries of a directory: see :meth:`AsyncClient.list`."""
        return run_blocking(self._operations.list(path))

    def iterate(self, path: RemotePath = "") -> Iterator[Entry]:
        """The entries of a directory as they come: see :meth:`AsyncClient.iterate`."""
        return _iterate(self._operations.iterate(path))

    def names(self, path: RemotePath = "") -> builtins.list[str]:
        """The names in a directory (NLST)."""
        return run_blocking(self._operations.names(path))

    def walk(self, path: RemotePath = "", *, strict: bool = False) -> Iterator[Found]:
        """Everything below a directory: see :meth:`AsyncClient.walk`."""
        return _iterate(self._operations.walk(path, strict=strict))

    def glob(self, pattern: str) -> builtins.list[str]:
        """The paths that match *pattern*: see :meth:`AsyncClient.glob`."""
        return run_blocking(self._operations.glob(pattern))

    def stat(self, path: RemotePath) -> Entry:
        """The facts of one file or directory: see :meth:`AsyncClient.stat`."""
        return run_blocking(self._operations.stat(path))

    def exists(self, path: RemotePath) -> bool:
        """Whether there is a file or directory of that name."""
        return run_blocking(self._operations.exists(path))

    def is_directory(self, path: RemotePath) -> bool:
        """Whether there is a directory of that name."""
        return run_blocking(self._operations.is_directory(path))

    def size(self, path: RemotePath) -> int:
        """A remote file's size in bytes."""
        return run_blocking(self._operations.size(path))

    def modified(self, path: RemotePath) -> float:
        """A file's time of modification, POSIX seconds."""
        return run_blocking(self._operations.modified(path))

    def set_modified(self, path: RemotePath, mtime: float) -> None:
        """Set a file's time of modification: see :meth:`AsyncClient.set_modified`."""
        run_blocking(self._operations.set_modified(path, mtime))

    def chmod(self, path: RemotePath, mode: int | str) -> None:
        """Set permissions: see :meth:`AsyncClient.chmod`."""
        run_blocking(self._operations.chmod(path, mode))

    def symlink(self, target: RemotePath, path: RemotePath) -> None:
        """Make a symbolic link: see :meth:`AsyncClient.symlink`."""
        run_blocking(self._operations.symlink(target, path))

    def mkdir(self, path: RemotePath, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Make a directory: see :meth:`AsyncClient.mkdir`."""
        run_blocking(self._operations.mkdir(path, parents=parents, exist_ok=exist_ok))

    def rmdir(self, path: RemotePath) -> None:
        """Remove an empty directory."""
        run_blocking(self._operations.rmdir(path))

    def remove(self, path: RemotePath, *, missing_ok: bool = False) -> None:
        """Remove a file."""
        run_blocking(self._operations.remove(path, missing_ok=missing_ok))

    def rename(self, source: RemotePath, target: RemotePath) -> None:
        """Rename or move within the server: see :meth:`AsyncClient.rename`."""
        run_blocking(self._operations.rename(source, target))

    def pwd(self) -> str:
        """The client's working directory, an absolute path."""
        return run_blocking(self._operations.pwd())

    def chdir(self, path: RemotePath) -> str:
        """Change the working directory: see :meth:`AsyncClient.chdir`."""
        directory = run_blocking(self._operations.chdir(path))
        self._portal.client._directory = directory
        return directory

    def command(self, line: str) -> Reply:
        """Send any one command that opens no data connection; its final reply."""
        return run_blocking(self._operations.command(line))

    def noop(self) -> None:
        """Ask the server for a sign of life."""
        run_blocking(self._operations.noop())


def _iterate(source: AsyncIterator[T]) -> Iterator[T]:
    """An asynchronous generator that waits on blocking streams only, as a plain one."""
    try:
        while True:
            try:
                yield run_blocking(_next(source))
            except StopAsyncIteration:
                return
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            run_blocking(close())


async def _next(source: AsyncIterator[T]) -> T:
    return await source.__anext__()
