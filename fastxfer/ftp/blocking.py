"""The synchronous client."""

from __future__ import annotations

import builtins
import functools
import operator
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from fastxfer.ftp._blocking import BlockingDriver
from fastxfer.ftp.base import RemotePath
from fastxfer.ftp.blocking_forms import Place, blocking, iterating
from fastxfer.ftp.client import AsyncClient
from fastxfer.ftp.config import ClientConfig
from fastxfer.ftp.errors import InvalidArgumentError
from fastxfer.ftp.file_operations import FileOperations
from fastxfer.ftp.tree.blocking import BlockingTreeTools, Portal
from fastxfer.net.stream import run_blocking

__all__ = ["Client"]


class _CallingThread:
    """Operations on blocking streams run in the thread that calls them."""

    piece = 1
    run = staticmethod(run_blocking)

    def __init__(self, client: FileOperations) -> None:
        self.client = client


_HERE: Callable[[Client], Place[FileOperations]] = operator.attrgetter("_here")


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
        self._here = _CallingThread(self._operations)
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

    download = blocking(_HERE, FileOperations.download)
    read = blocking(_HERE, FileOperations.read)
    stream = iterating(_HERE, FileOperations.stream)
    upload = blocking(_HERE, FileOperations.upload)
    upload_unique = blocking(_HERE, FileOperations.upload_unique)
    checksum = blocking(_HERE, FileOperations.checksum)
    copy = blocking(_HERE, FileOperations.copy)

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

    list = blocking(_HERE, FileOperations.list)
    iterate = iterating(_HERE, FileOperations.iterate)
    names = blocking(_HERE, FileOperations.names)
    walk = iterating(_HERE, FileOperations.walk)
    glob = blocking(_HERE, FileOperations.glob)
    stat = blocking(_HERE, FileOperations.stat)
    exists = blocking(_HERE, FileOperations.exists)
    is_directory = blocking(_HERE, FileOperations.is_directory)
    size = blocking(_HERE, FileOperations.size)
    modified = blocking(_HERE, FileOperations.modified)
    set_modified = blocking(_HERE, FileOperations.set_modified)
    chmod = blocking(_HERE, FileOperations.chmod)
    symlink = blocking(_HERE, FileOperations.symlink)
    mkdir = blocking(_HERE, FileOperations.mkdir)
    rmdir = blocking(_HERE, FileOperations.rmdir)
    remove = blocking(_HERE, FileOperations.remove)
    rename = blocking(_HERE, FileOperations.rename)
    pwd = blocking(_HERE, FileOperations.pwd)
    chdir = blocking(_HERE, FileOperations.chdir)
    command = blocking(_HERE, FileOperations.command)
    noop = blocking(_HERE, FileOperations.noop)
