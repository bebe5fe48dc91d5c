"""Twin of ``fastxfer._ext.ftpwire``: the bytes of FTP, from three modules of one job each."""

from __future__ import annotations

from fastxfer._pure.ftplines import (
    LINE_EMPTY,
    LINE_HAS_CR,
    LINE_HAS_NUL,
    LINE_TOO_LONG,
    CommandReader,
    MalformedReply,
    ReplyReader,
    format_command,
    format_reply,
    quote_path,
)
from fastxfer._pure.ftpreplies import (
    format_time,
    parse_epsv,
    parse_feat,
    parse_pasv,
    parse_pwd,
    parse_size,
    parse_time,
)
from fastxfer._pure.listingread import Entry, ListingReader, parse_listing, parse_mlst
from fastxfer._pure.listingwrite import (
    FACTS,
    DirectoryLister,
    ListItem,
    format_list,
    format_mlsd,
    format_names,
    is_listable,
)

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
