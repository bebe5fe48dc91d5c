"""The synchronous client."""

from __future__ import annotations

import builtins
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from fastxfer.ftp._blocking import BlockingDriver
from fastxfer.ftp.base import RemotePath
from fastxfer.ftp.client import AsyncClient
from fastxfer.ftp.config import ClientConfig
from fastxfer.ftp.errors import InvalidArgumentError
from fastxfer.ftp.file_operations import FileOperations
from fastxfer.ftp.tree.blocking import BlockingTreeTools, Portal
from fastxfer.net.stream import run_blocking

__all__ = ["Client"]

P = ParamSpec("P")
T = TypeVar("T")


def _here(
    operation: Callable[Concatenate[FileOperations, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Client, P], T]:
    """The blocking form of *operation*, with its signature and documentation: it waits in the calling thread."""

    @functools.wraps(operation)
    def run(self: Client, /, *arguments: P.args, **named: P.kwargs) -> T:
        return run_blocking(operation(self._operations, *arguments, **named))

    return run


def _iterate_here(
    operation: Callable[Concatenate[FileOperations, P], AsyncIterator[T]],
) -> Callable[Concatenate[Client, P], Iterator[T]]:
    """The same for an iterator."""

    @functools.wraps(operation)
    def iterate(self: Client, /, *arguments: P.args, **named: P.kwargs) -> Iterator[T]:
        return _iterate(operation(self._operations, *arguments, **named))

    return iterate


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
        self._twin: Callable[[], AsyncClient] = functools.partial(
            AsyncClient, url, user=user, password=password, account=account, config=config, hooks=hooks, **options
        )
        self._portal = Portal(self._twin(), self._operations)
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
        run_blocking(self._operations._disconnect())
        self._portal.close()
        self._opened = False

    # Files

    download = _here(FileOperations.download)
    read = _here(FileOperations.read)
    stream = _iterate_here(FileOperations.stream)
    upload = _here(FileOperations.upload)
    upload_unique = _here(FileOperations.upload_unique)
    checksum = _here(FileOperations.checksum)
    copy = _here(FileOperations.copy)

    def checksums(self) -> builtins.list[str]:
        """The checksum algorithms that the server offers, best first."""
        return self._operations.checksums()

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
            there = other._twin()
            await there._join(other._operations)
            try:
                return await self._portal.client.transfer_to(
                    source, there, target, overwrite=overwrite, verify=verify, seconds=seconds
                )
            finally:
                await there._leave()

        if other is self:
            raise InvalidArgumentError("the two servers are one: use copy()")
        return self._portal.run(between())

    # Directories

    list = _here(FileOperations.list)
    iterate = _iterate_here(FileOperations.iterate)
    names = _here(FileOperations.names)
    walk = _iterate_here(FileOperations.walk)
    glob = _here(FileOperations.glob)
    stat = _here(FileOperations.stat)
    exists = _here(FileOperations.exists)
    is_directory = _here(FileOperations.is_directory)
    size = _here(FileOperations.size)
    modified = _here(FileOperations.modified)
    set_modified = _here(FileOperations.set_modified)
    chmod = _here(FileOperations.chmod)
    symlink = _here(FileOperations.symlink)
    mkdir = _here(FileOperations.mkdir)
    rmdir = _here(FileOperations.rmdir)
    remove = _here(FileOperations.remove)
    rename = _here(FileOperations.rename)
    pwd = _here(FileOperations.pwd)
    chdir = _here(FileOperations.chdir)
    command = _here(FileOperations.command)
    noop = _here(FileOperations.noop)


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
