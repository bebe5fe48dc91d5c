"""Operations of one small exchange: delete, metadata, file information, truncate, regenerate."""

from __future__ import annotations

from collections.abc import Mapping

from fastxfer.core.wire import FileId
from fastxfer.fdfs.arguments import check_integer
from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.commands import storage
from fastxfer.fdfs.errors import FileNotFoundError, InvalidArgumentError, InvalidMetadataError
from fastxfer.fdfs.plans.seek import parsed, perform
from fastxfer.fdfs.steps import Plan
from fastxfer.fdfs.types import FileInfo, MetadataFlag
from fastxfer.net.address import Address

__all__ = [
    "check_appender",
    "checked_metadata",
    "create_link",
    "delete_file",
    "file_exists",
    "get_file_info",
    "get_metadata",
    "regenerate_appender_file",
    "set_metadata",
    "truncate_file",
]


def delete_file(cluster: Cluster, file_id: str, source: Address | None = None) -> Plan[None]:
    file = parsed(file_id)
    return perform(cluster, file_id, file, storage.delete_file(file_id), update=True, ended=None, source=source)


def get_file_info(cluster: Cluster, file_id: str, flags: int = 0, source: Address | None = None) -> Plan[FileInfo]:
    if flags.__class__ is not int or not 0 <= flags <= 255:
        flags = check_integer("flags", flags, 0, 255)
    return perform(cluster, file_id, parsed(file_id), storage.query_file_info(file_id, flags), source=source)


def file_exists(cluster: Cluster, file_id: str) -> Plan[bool]:
    flags = storage.FLAG_NO_CRC32 | storage.FLAG_SILENT
    try:
        yield from get_file_info(cluster, file_id, flags)
    except FileNotFoundError:
        return False
    return True


def get_metadata(cluster: Cluster, file_id: str) -> Plan[dict[str, str]]:
    try:
        return (yield from perform(cluster, file_id, parsed(file_id), storage.get_metadata(file_id)))
    except FileNotFoundError:
        # The reply is the same where the file has no metadata.
        yield from get_file_info(cluster, file_id, storage.FLAG_NO_CRC32 | storage.FLAG_SILENT)
        return {}


def checked_metadata(metadata: Mapping[str, str]) -> Mapping[str, str]:
    """*metadata*, if it can be stored; :class:`InvalidMetadataError` otherwise."""
    if not isinstance(metadata, Mapping):
        raise InvalidMetadataError(f"a mapping of names to values is needed, not {type(metadata).__name__}")
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidMetadataError(f"names and values are text, not {name!r}: {value!r}")
    try:
        storage.encode_metadata(metadata)
    except ValueError as reason:
        raise InvalidMetadataError(str(reason)) from None
    return metadata


def set_metadata(
    cluster: Cluster, file_id: str, metadata: Mapping[str, str] | None, flag: MetadataFlag = MetadataFlag.OVERWRITE
) -> Plan[None]:
    file = parsed(file_id)
    try:
        flag = MetadataFlag(flag)
    except ValueError:
        raise InvalidArgumentError(f"flag must be OVERWRITE or MERGE, not {flag!r}") from None
    command = storage.set_metadata(file_id, checked_metadata({} if metadata is None else metadata), flag)
    return perform(cluster, file_id, file, command, update=True)


def truncate_file(cluster: Cluster, file_id: str, size: int = 0) -> Plan[None]:
    file = check_appender(file_id, "truncated")
    size = check_integer("size", size)
    return perform(cluster, file_id, file, storage.truncate_file(file_id, size), update=True)


def regenerate_appender_file(cluster: Cluster, file_id: str) -> Plan[str]:
    file = check_appender(file_id, "regenerated")
    command = storage.regenerate_appender(file_id)
    return perform(cluster, file_id, file, command, update=True, repeatable=False)


def create_link(
    cluster: Cluster, source_id: str, signature: bytes, file_ext_name: str, master_id: str = "", prefix: str = ""
) -> Plan[str]:
    file = parsed(source_id)
    if master_id != "":
        parsed(master_id)
    try:
        command = storage.create_link(master_id, source_id, signature, prefix, file_ext_name)
    except (ValueError, TypeError) as reason:
        raise InvalidArgumentError(str(reason)) from None
    return perform(cluster, source_id, file, command, update=True, repeatable=False)


def check_appender(file_id: str, done: str) -> FileId:
    """The parts of *file_id*; :class:`InvalidArgumentError` where its name says that it is no appender file."""
    file = parsed(file_id)
    if not file.appender and not file.slave:
        raise InvalidArgumentError(f"only an appender file can be {done}, and {file_id} is none")
    return file
