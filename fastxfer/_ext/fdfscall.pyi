"""The ordinary FastDFS operations, each from its arguments to its result in one call, where all is as usual.

That is: the file's source (or the next server to take an upload) is known and up, a connection that surely lives is at
hand, the reply is that of success, and what it holds is what it should be. In every other case the caller is told how
far it went, and goes on from there by the general way: errors, retries and whom to ask next are decided there alone.
Safe to use from several threads.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, final

from typing_extensions import Buffer

from fastxfer._ext.places import Book, Link, Spin
from fastxfer._ext.wire import FileId

_Info = TypeVar("_Info")

@final
class Begun:
    """How far it went.

    Attributes:
        address: who was to be asked.
        connection: over which the request was sent, its place still in use and all else of it to be judged; None:
            nothing was sent.
        error: 0, or the errno that the exchange ended with.
        status: that of the reply.
        body: the reply's.
        sent, received, crc32, early, error_side: as of a :class:`~fastxfer.core.xfer.Transfer`.
    """

    @property
    def address(self) -> Any: ...
    @property
    def connection(self) -> Link | None: ...
    @property
    def error(self) -> int: ...
    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    @property
    def sent(self) -> int: ...
    @property
    def received(self) -> int: ...
    @property
    def crc32(self) -> int: ...
    @property
    def early(self) -> bool: ...
    @property
    def error_side(self) -> str: ...

@final
class Shortcut(Generic[_Info]):
    """The short ways of one client.

    Each method returns None where nothing was done and nothing is known.

    Args:
        book: the pool's.
        routes: by the four bytes of source in a file ID and its group: where to read and where to change such files
            (None: not this way), and an object whose ``at`` is the monotonic time until which that holds.
        targets: by group, or None: what takes uploads: ``addresses``, ``turn`` (counts) and ``due`` (as in a route).
        down: servers not to go to.
        find: puts a route into *routes* and returns it, given its key and the file ID; or None.
        give, drop: take back a connection that was not to be kept at once, and one that failed.
        info_type: class of file information; it gets ``file_size``, ``crc32``, ``source_ip_addr`` and ``stored_at``.
        timeout: seconds for an exchange; for a longer body, without a byte moving.
        spin: microseconds to poll for a reply; None leaves it to *spins*, by command.
        verify: compare CRC-32 and size with those in the file ID.
        reply_limit: bytes of a reply at most.
        longest_upload, longest_download: bytes of a file at most that is part of an exchange.
        longest_move: bytes of a file at most; the twin leaves those beyond the former to the general way.
    """

    def __init__(
        self,
        book: Book,
        routes: dict[bytes, Any],
        targets: dict[Any, Any],
        down: dict[Any, Any],
        *,
        find: Callable[[bytes, FileId], Any],
        give: Callable[[Any], object],
        drop: Callable[[Any], object],
        info_type: type[_Info],
        timeout: float,
        spin: int | None,
        spins: Mapping[int, Spin],
        verify: bool,
        reply_limit: int,
        longest_upload: int,
        longest_download: int,
        longest_move: int,
    ) -> None: ...
    def upload(
        self, data: Buffer, extension: str, group: str | None = None, store_path: int | None = None, /
    ) -> str | Begun | None:
        """UPLOAD_FILE of bytes: the new file ID. A :class:`Begun` without connection has taken its server's turn."""
    def delete(self, file_id: str, /) -> bool | Begun | None:
        """DELETE_FILE: True."""
    def info(self, file_id: str, flags: int = 0, /) -> _Info | Begun | None:
        """QUERY_FILE_INFO."""
    def download(self, file_id: str, /) -> bytes | Begun | None:
        """DOWNLOAD_FILE, the whole of a file whose size its ID tells."""
