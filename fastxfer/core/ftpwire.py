"""The bytes of FTP, lines, replies and listings: see ``fastxfer/_ext/ftpwire.pyi``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastxfer.core._choose import select

__all__ = [
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
]

if TYPE_CHECKING:
    from fastxfer._ext.ftpwire import (
        FACTS,
        LINE_EMPTY,
        LINE_HAS_CR,
        LINE_HAS_NUL,
        LINE_TOO_LONG,
        CommandReader,
        DirectoryLister,
        Entry,
        ListingReader,
        ListItem,
        MalformedReply,
        ReplyReader,
        format_command,
        format_list,
        format_mlsd,
        format_names,
        format_reply,
        format_time,
        is_listable,
        parse_epsv,
        parse_feat,
        parse_listing,
        parse_mlst,
        parse_pasv,
        parse_pwd,
        parse_size,
        parse_time,
        quote_path,
    )
else:
    globals().update(select("ftpwire"))
