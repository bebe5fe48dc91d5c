"""The ordinary operations of the blocking client by the shortest way: see ``fastxfer/_ext/fdfscall.pyi``.

Where all is as usual they are over in one call. Anything else, an error above all, is left to the plan of the
operation, which goes on from what has been done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from fastxfer.core.fdfscall import Begun, Shortcut
from fastxfer.fdfs.body import memory_body
from fastxfer.fdfs.operations import Operations
from fastxfer.fdfs.plans import download, small, upload
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
