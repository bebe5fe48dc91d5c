"""The ordinary FastDFS operations from their arguments to their results: the twin of ``_ext/fdfscall.pyx``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from fastxfer._pure.crc32 import crc32
from fastxfer._pure.fileid import FileId, decode_file_id
from fastxfer._pure.wire import (
    download_request,
    file_request,
    unpack_file_id,
    unpack_file_info,
    upload_request,
)
from fastxfer._pure.xfer import exchange

__all__ = ["Begun", "Shortcut"]

_UPLOAD_FILE = 11
_DELETE_FILE = 12
_DOWNLOAD_FILE = 14
_QUERY_FILE_INFO = 22

_STORE_PATH_ANY = 0xFF

_LAST_MOMENT = 253370764800
"""A little before the year 10000, wherever: what is later is left to who can say that it is no time."""


class Begun:
    """See ``fastxfer._ext.fdfscall.Begun``."""

    __slots__ = ("address", "body", "connection", "error", "status")

    def __init__(self, address: Any, connection: Any) -> None:
        self.address = address
        self.connection = connection
        self.error = self.status = 0
        self.body = b""

    @property
    def usual(self) -> bool:
        """Whether there is a reply of success."""
        return self.connection is not None and not self.error and not self.status


class Shortcut:
    """See ``fastxfer._ext.fdfscall.Shortcut``."""

    def __init__(
        self,
        book: Any,
        routes: dict[bytes, Any],
        targets: dict[Any, Any],
        down: dict[Any, Any],
        *,
        find: Callable[[bytes, FileId], Any],
        give: Callable[[Any], object],
        drop: Callable[[Any], object],
        info_type: type[Any],
        timeout: float,
        spin: int | None,
        spins: Mapping[int, Any],
        verify: bool,
        reply_limit: int,
        longest_upload: int,
        longest_download: int,
        longest_move: int,
    ) -> None:
        self._book = book
        self._routes = routes
        self._targets = targets
        self._down = down
        self._find = find
        self._give = give
        self._drop = drop
        self._info_type = info_type
        self._timeout = timeout
        self._spin = spin
        self._spins = spins
        self._verify = verify
        self._reply_limit = reply_limit
        self._longest_upload = longest_upload
        self._longest_download = longest_download

    def upload(
        self, data: Any, extension: str, group: str | None = None, store_path: int | None = None, /
    ) -> str | Begun | None:
        if type(data) is not bytes:
            try:
                data = memoryview(data).cast("B")
            except TypeError:
                return None
        if len(data) > self._longest_upload or not (group is None or type(group) is str):
            return None
        if store_path is not None and type(store_path) is not int:
            return None
        path = _STORE_PATH_ANY if store_path is None else store_path
        try:
            head = upload_request(_UPLOAD_FILE, path, len(data), extension)
        except (ValueError, TypeError):
            return None
        address = self._next_target(group)
        if address is None:
            return None
        begun = self._ask(address, _UPLOAD_FILE, head + data, self._reply_limit, certain=True)
        if not begun.usual:
            return begun
        try:
            file_id = unpack_file_id(begun.body)
            stored = decode_file_id(file_id)
        except ValueError:
            return begun
        if self._verify and stored.size is not None and (stored.size, stored.crc32) != (len(data), crc32(data)):
            return begun
        self._keep(begun.connection)
        return file_id

    def delete(self, file_id: str, /) -> bool | Begun | None:
        address = self._route(_parsed(file_id), update=True)
        if address is None:
            return None
        begun = self._ask(address, _DELETE_FILE, file_request(_DELETE_FILE, file_id), self._reply_limit)
        if not begun.usual:
            return begun
        self._keep(begun.connection)
        return True

    def info(self, file_id: str, flags: int = 0, /) -> Any:
        if type(flags) is not int or not 0 <= flags <= 255:
            return None
        address = self._route(_parsed(file_id), update=False)
        if address is None:
            return None
        request = file_request(_QUERY_FILE_INFO, file_id, flags)
        begun = self._ask(address, _QUERY_FILE_INFO, request, self._reply_limit)
        if not begun.usual:
            return begun
        try:
            size, modified, crc, source = unpack_file_info(begun.body)
        except ValueError:
            return begun
        if size < 0 or not 0 <= modified <= _LAST_MOMENT:
            return begun
        self._keep(begun.connection)
        info = object.__new__(self._info_type)
        info.file_size, info.stored_at, info.crc32, info.source_ip_addr = size, modified, crc, source
        return info

    def download(self, file_id: str, /) -> bytes | Begun | None:
        file = _parsed(file_id)
        if file is None or file.size is None or not 1 <= file.size <= self._longest_download:
            return None
        address = self._route(file, update=False)
        if address is None:
            return None
        begun = self._ask(address, _DOWNLOAD_FILE, download_request(file_id), file.size)
        if not begun.usual or len(begun.body) != file.size:
            return begun
        if self._verify and crc32(begun.body) != file.crc32:
            return begun
        self._keep(begun.connection)
        return begun.body

    def _route(self, file: FileId | None, *, update: bool) -> Any | None:
        if file is None:
            return None
        key = f"{file.source_ip or file.storage_id}/{file.group}".encode()
        route = self._routes.get(key) or self._find(key, file)
        if route is None:
            return None
        address = route[update]
        return None if address is None or address in self._down or monotonic() >= route[2].at else address

    def _next_target(self, group: str | None) -> Any | None:
        targets = self._targets.get(group)
        if targets is None or not targets.addresses or monotonic() >= targets.due.at:
            return None
        address = targets.addresses[next(targets.turn) % len(targets.addresses)]
        # Whether it is time to try that one again is not for here to say.
        return None if address in self._down else address

    def _ask(self, address: Any, command: int, request: bytes, limit: int, *, certain: bool = False) -> Begun:
        begun = Begun(address, self._book.pick(address, certain))
        if begun.connection is None:
            return begun
        spin = self._spins[command] if self._spin is None else self._spin
        try:
            begun.error, begun.status, begun.body = exchange(
                begun.connection.fd, request, self._timeout, spin, limit, True, self._book.busy
            )
        except BaseException:
            self._drop(begun.connection)
            raise
        return begun

    def _keep(self, connection: Any) -> None:
        if not self._book.shelve(connection):
            self._give(connection)


def _parsed(file_id: object) -> FileId | None:
    """None for what is no file ID."""
    if type(file_id) is not str:
        return None
    try:
        return decode_file_id(file_id)
    except ValueError:
        return None
