"""The FastDFS wire format: see ``fastxfer/_ext/wire.pyi``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastxfer.core._choose import select

__all__ = [
    "HEADER_SIZE",
    "FileId",
    "RequestBuffer",
    "append_request",
    "decode_file_id",
    "decode_metadata",
    "download_request",
    "encode_file_id",
    "encode_metadata",
    "file_request",
    "group_request",
    "modify_request",
    "pack_header",
    "pack_text",
    "regenerate_request",
    "set_metadata_request",
    "slave_file_id",
    "split_file_id",
    "truncate_request",
    "unpack_fetch_target",
    "unpack_fetch_targets",
    "unpack_file_id",
    "unpack_file_info",
    "unpack_header",
    "unpack_int32s",
    "unpack_int64s",
    "unpack_store_target",
    "unpack_store_targets",
    "unpack_text",
    "upload_request",
    "upload_slave_request",
]

if TYPE_CHECKING:
    from fastxfer._ext.wire import (
        HEADER_SIZE,
        FileId,
        RequestBuffer,
        append_request,
        decode_file_id,
        decode_metadata,
        download_request,
        encode_file_id,
        encode_metadata,
        file_request,
        group_request,
        modify_request,
        pack_header,
        pack_text,
        regenerate_request,
        set_metadata_request,
        slave_file_id,
        split_file_id,
        truncate_request,
        unpack_fetch_target,
        unpack_fetch_targets,
        unpack_file_id,
        unpack_file_info,
        unpack_header,
        unpack_int32s,
        unpack_int64s,
        unpack_store_target,
        unpack_store_targets,
        unpack_text,
        upload_request,
        upload_slave_request,
    )
else:
    globals().update(select("wire"))
