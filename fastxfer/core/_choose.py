"""Which implementation of a core module is used, and what both must offer.

``FASTXFER_PURE=1`` takes the pure twin of every module, ``FASTXFER_PURE=crc32,xfer`` of those named.
"""

from __future__ import annotations

import importlib
import os
import warnings
from types import ModuleType

CONTRACT: dict[str, tuple[str, ...]] = {
    "crc32": ("copy_crc32", "crc32", "crc32_combine", "implementation"),
    "wire": (
        "FileId",
        "HEADER_SIZE",
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
    ),
    "buffers": ("Buffer", "BufferPool", "PoolStats"),
    "places": ("Book", "Guard", "Link", "Places", "Spin"),
    "fdfscall": ("Begun", "Shortcut"),
    "ftpwire": (
        "FACTS",
        "LINE_EMPTY",
        "LINE_HAS_CR",
        "LINE_HAS_NUL",
        "LINE_TOO_LONG",
        "CommandReader",
        "DirectoryLister",
        "Entry",
        "ListItem",
        "ListingReader",
        "MalformedReply",
        "ReplyReader",
        "format_command",
        "format_list",
        "format_mlsd",
        "format_names",
        "format_reply",
        "format_time",
        "is_listable",
        "parse_epsv",
        "parse_feat",
        "parse_listing",
        "parse_mlst",
        "parse_pasv",
        "parse_pwd",
        "parse_size",
        "parse_time",
        "quote_path",
    ),
    "xfer": (
        "FRAMING_FASTDFS",
        "FRAMING_NONE",
        "FRAMING_RAW",
        "RateLimit",
        "Transfer",
        "exchange",
        "let_sleep",
    ),
    "engine": ("Engine",),
    "ftpexchange": ("Exchange", "Watch"),
    "ftpserve": (
        "Shortcut",
        "Uploads",
        "accept",
        "entry_mode",
        "land",
        "open_partial",
        "openat2",
        "send_now",
        "turn_away",
    ),
}
"""The names that the compiled module and its pure twin both have, by module."""

COMPILED_AGAINST = {"fdfscall": ("places", "wire", "xfer")}
"""Modules that a compiled one uses by itself: it goes with theirs, its pure twin with the pure twin of any."""


class PureFallbackWarning(RuntimeWarning):
    """A compiled module could not be imported; its slower pure twin is used."""


def pure_wanted(name: str) -> bool:
    """Whether the environment asks for the pure twin of *name*."""
    setting = os.environ.get("FASTXFER_PURE", "")
    named = setting.split(",")
    return setting == "1" or any(module in named for module in (name, *COMPILED_AGAINST.get(name, ())))


def implementation(name: str) -> ModuleType:
    """Import the compiled module *name*, or its pure twin where that is asked for or all there is."""
    if not pure_wanted(name):
        try:
            return importlib.import_module(f"fastxfer._ext.{name}")
        except ImportError as error:
            warnings.warn(
                f"fastxfer._ext.{name} cannot be imported ({error}); the slower pure-Python twin is used. "
                "In a source tree, build it with: python setup.py build_ext --inplace",
                PureFallbackWarning,
                stacklevel=2,
            )
    return importlib.import_module(f"fastxfer._pure.{name}")


def select(name: str) -> dict[str, object]:
    """The contract's names of module *name*, from the implementation in force."""
    module = implementation(name)
    return {attribute: getattr(module, attribute) for attribute in CONTRACT[name]}
