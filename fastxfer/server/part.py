"""A file of which only the beginning is to be seen."""

from __future__ import annotations

from fastxfer.server.filesystem import FileInfo, Reader

__all__ = ["Part"]


class Part(Reader):
    """What *reader* has before the byte *end*. Whoever opened *reader* closes it.

    Args:
        reader: the whole file.
        end: where to stop; behind the end of the file it means that.
        bare: whether the descriptor may be given to somebody who keeps to :attr:`size` by himself.
    """

    def __init__(self, reader: Reader, end: int, *, bare: bool) -> None:
        self._reader = reader
        self._end = min(end, reader.size)
        self._bare = bare

    @property
    def info(self) -> FileInfo:
        return self._reader.info

    @property
    def size(self) -> int:
        return self._end

    def fileno(self) -> int:
        return self._reader.fileno() if self._bare else -1

    async def read(self, offset: int, size: int) -> bytes:
        return await self._reader.read(offset, min(size, self._end - offset)) if offset < self._end else b""

    async def close(self) -> None:
        """Nothing: see above."""
