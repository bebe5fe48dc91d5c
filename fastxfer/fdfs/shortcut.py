"""The ordinary operations of the blocking client by the shortest way: see ``fastxfer/_ext/fdfscall.pyi``.

Where all is as usual they are over in one call. Anything else, an error above all, is left to the plan of the
operation, which goes on from what has been done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from fastxfer.core.fdfscall import Begun, Shortcut
from fastxfer.core.wire import decode_file_id
from fastxfer.fdfs.body import INLINE, memory_body
from fastxfer.fdfs.local_file import ArrivingFile, read_small_file
from fastxfer.fdfs.operations import Operations, Path
from fastxfer.fdfs.plans import download, small, upload
from fastxfer.fdfs.protocol import get_file_ext_name
from fastxfer.fdfs.steps import Plan, TransferOptions
from fastxfer.fdfs.types import FileInfo

if TYPE_CHECKING:
    from typing_extensions import Buffer, Unpack

__all__ = ["ShortOperations"]

T = TypeVar("T")


class ShortOperations(Operations):
    """Part of :class:`~fastxfer.fdfs.Client`."""

    _shortcut: Shortcut[FileInfo] | None

    def _go_on(self, plan: Plan[T], begun: Begun) -> T:
        raise NotImplementedError

    def upload_file(
        self,
        local_filename: Path,
        metadata: Mapping[str, str] | None = None,
        *,
        file_ext_name: str | None = None,
        group: str | None = None,
        store_path: int | None = None,
        **options: Unpack[TransferOptions],
    ) -> str:
        if not metadata and not options and self._shortcut is not None:
            data = read_small_file(local_filename, INLINE)
            if data is not None:
                extension = get_file_ext_name(local_filename) if file_ext_name is None else file_ext_name
                return self.upload_buffer(data, extension, group=group, store_path=store_path)
        return super().upload_file(
            local_filename, metadata, file_ext_name=file_ext_name, group=group, store_path=store_path, **options
        )

    def upload_buffer(
        self,
        data: Buffer,
        file_ext_name: str,
        metadata: Mapping[str, str] | None = None,
        *,
        group: str | None = None,
        store_path: int | None = None,
        **options: Unpack[TransferOptions],
    ) -> str:
        if not metadata and not options and self._shortcut is not None:
            done = self._shortcut.upload(data, file_ext_name, group, store_path)
            if isinstance(done, Begun):
                plan = upload.upload(
                    self._cluster,
                    memory_body(data),
                    file_ext_name,
                    metadata,
                    group=group,
                    store_path=store_path,
                    target=done.address,
                )
                return self._go_on(plan, done)
            if done is not None:
                return done
        return super().upload_buffer(data, file_ext_name, metadata, group=group, store_path=store_path, **options)

    def download_file(self, file_id: str, **options: Unpack[TransferOptions]) -> bytes:
        if not options and self._shortcut is not None:
            done = self._shortcut.download(file_id)
            if isinstance(done, Begun):
                return self._go_on(download.download_bytes(self._cluster, file_id, source=done.address), done)
            if done is not None:
                return done
        return super().download_file(file_id, **options)

    def download_to_file(
        self,
        file_id: str,
        local_filename: Path,
        *,
        offset: int = 0,
        length: int = 0,
        fsync: bool = False,
        **options: Unpack[TransferOptions],
    ) -> int:
        usual = self._shortcut is not None and not (offset or length or fsync or options)
        if usual and _is_small(file_id):
            with ArrivingFile(local_filename, wait=False) as arriving:
                if arriving.seekable:
                    data = self.download_file(file_id)
                    arriving.write(data)
                    arriving.keep()
                    return len(data)
        return super().download_to_file(file_id, local_filename, offset=offset, length=length, fsync=fsync, **options)

    def delete_file(self, file_id: str) -> None:
        if self._shortcut is not None:
            done = self._shortcut.delete(file_id)
            if isinstance(done, Begun):
                return self._go_on(small.delete_file(self._cluster, file_id, done.address), done)
            if done:
                return None
        return super().delete_file(file_id)

    def get_file_info(self, file_id: str, flags: int = 0) -> FileInfo:
        if self._shortcut is not None:
            done = self._shortcut.info(file_id, flags)
            if isinstance(done, Begun):
                return self._go_on(small.get_file_info(self._cluster, file_id, flags, done.address), done)
            if done is not None:
                return done
        return super().get_file_info(file_id, flags)


def _is_small(file_id: str) -> bool:
    """Whether the ID tells that the file is small, and not empty."""
    try:
        size = decode_file_id(file_id).size
    except (TypeError, ValueError):
        return False
    return size is not None and 0 < size <= download.SMALL
