"""Operations that begin or end at a local file or stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from typing import Protocol, TypeVar

from fastxfer.fdfs.body import Body, Spool, file_body
from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.errors import InvalidArgumentError
from fastxfer.fdfs.local_file import LocalFile
from fastxfer.fdfs.local_pipe import PipeReader
from fastxfer.fdfs.plans import change
from fastxfer.fdfs.plans.upload import upload, upload_slave
from fastxfer.fdfs.protocol import get_file_ext_name
from fastxfer.fdfs.steps import Blocking, Control, Plan

__all__ = [
    "Chunk",
    "append_file",
    "checked_chunk",
    "modify_file",
    "spooled",
    "upload_file",
    "upload_slave_file",
    "with_file",
]

T = TypeVar("T")
Path = str | PathLike[str]
Chunk = bytes | bytearray | memoryview

_CHUNK = 1 << 20


class Readable(Protocol):
    """What can be read from: an open binary file, a pipe, a response of an HTTP library …"""

    def read(self, size: int, /) -> bytes: ...


def upload_file(
    cluster: Cluster,
    path: Path,
    extension: str | None,
    metadata: Mapping[str, str] | None,
    *,
    appender: bool = False,
    group: str | None = None,
    store_path: int | None = None,
    control: Control | None = None,
) -> Plan[str]:
    ext = _extension(path, extension)
    return with_file(
        path,
        lambda body: upload(
            cluster, body, ext, metadata, appender=appender, group=group, store_path=store_path, control=control
        ),
    )


def upload_slave_file(
    cluster: Cluster,
    master_id: str,
    prefix: str,
    path: Path,
    extension: str | None,
    metadata: Mapping[str, str] | None,
    *,
    control: Control | None = None,
) -> Plan[str]:
    ext = _extension(path, extension)
    return with_file(path, lambda body: upload_slave(cluster, body, master_id, prefix, ext, metadata, control=control))


def append_file(cluster: Cluster, file_id: str, path: Path, *, control: Control | None = None) -> Plan[None]:
    return with_file(path, lambda body: change.append(cluster, file_id, body, control=control))


def modify_file(
    cluster: Cluster, file_id: str, offset: int, path: Path, *, control: Control | None = None
) -> Plan[None]:
    return with_file(path, lambda body: change.modify(cluster, file_id, offset, body, control=control))


def with_file(path: Path, plan: Callable[[Body], Plan[T]]) -> Plan[T]:
    """Open *path* and hand its bytes on; a pipe is read to its end first."""
    with LocalFile(path, wait=False) as local:
        if local.regular:
            return (yield from plan(file_body(local.fd, local.size)))
        if local.nonblocking:
            with PipeReader(local.fd) as pipe:
                return (yield from spooled(pipe, plan))
        # Without a buffer: who closes that would wait for a read under way in another thread.
        with open(local.fd, "rb", buffering=0, closefd=False) as device:
            return (yield from spooled(device, plan))


def spooled(stream: Readable, plan: Callable[[Body], Plan[T]]) -> Plan[T]:
    """Read *stream* to its end, since the length must be told before the bytes, and hand them on."""
    with Spool() as spool:
        while True:
            chunk = checked_chunk((yield Blocking(lambda: stream.read(_CHUNK))))
            if not chunk:
                break
            spool.write(chunk)
        return (yield from plan(spool.body()))


def checked_chunk(chunk: object) -> Chunk:
    """What a stream's ``read`` has given, if it is bytes; :class:`InvalidArgumentError` otherwise.

    None is what a stream that does not block gives while it has nothing: it must not pass for the end.
    """
    if isinstance(chunk, (bytes, bytearray, memoryview)):
        return chunk
    if isinstance(chunk, str):
        raise InvalidArgumentError("the stream gives text; open it in binary mode")
    if chunk is None:
        raise InvalidArgumentError("the stream does not block, so nobody knows whether it has ended")
    raise InvalidArgumentError(f"the stream gives {type(chunk).__name__}, not bytes")


def _extension(path: Path, extension: str | None) -> str:
    return get_file_ext_name(path) if extension is None else extension
