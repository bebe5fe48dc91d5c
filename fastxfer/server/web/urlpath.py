"""From the path of a URL to a virtual path (see :mod:`fastxfer.server.paths`), and back."""

from __future__ import annotations

import unicodedata
from urllib.parse import parse_qsl, quote, unquote_to_bytes

__all__ = ["BadPathError", "check_new_name", "decode_path", "encode_path", "file_name", "query_values"]

MAX_NAME = 255


class BadPathError(ValueError):
    """The text cannot be a path here; its message may be shown to the client."""


def decode_path(raw: str) -> str:
    """The virtual path meant by *raw*, the still percent-encoded part of the URL after its prefix.

    Decoded exactly once, one segment after the other, so that an encoded slash cannot make new segments.

    Raises:
        BadPathError: ``.`` or ``..`` as a segment, a NUL or an encoded slash.
    """
    parts = [part for part in raw.split("/") if part]
    if not raw.isascii() or not raw.isprintable() or "%" in raw or "." in parts or ".." in parts:
        parts = list(map(_segment, parts))
    return "/" + "/".join(parts)


def encode_path(path: str) -> str:
    """*path* percent-encoded for use in a URL, slashes kept."""
    return quote(path.encode("utf-8", "surrogateescape"), safe="/")


def query_values(raw: str) -> dict[str, list[str]]:
    """The query of a URL by name; bytes that are no UTF-8 stay as surrogate escapes, like in paths.

    Raises:
        BadPathError: too many fields.
    """
    values: dict[str, list[str]] = {}
    try:
        fields = parse_qsl(raw, keep_blank_values=True, errors="surrogateescape", max_num_fields=10_000)
    except ValueError:
        raise BadPathError("too many fields in the query") from None
    for name, value in fields:
        values.setdefault(name, []).append(value)
    return values


def check_new_name(path: str) -> None:
    """Refuse to create what other clients could not name again: control characters, over-long names, the root.

    Raises:
        BadPathError: with the reason.
    """
    name = path.rpartition("/")[2]
    if not name:
        raise BadPathError("a name is needed")
    if len(name) <= MAX_NAME and name.isascii() and name.isprintable():
        return
    if any(unicodedata.category(char) in {"Cc", "Zl", "Zp"} for char in name):
        raise BadPathError("control characters are not allowed in names")
    if len(name.encode("utf-8", "surrogateescape")) > MAX_NAME:
        raise BadPathError(f"names may have at most {MAX_NAME} bytes")


def file_name(sent: str | None) -> str:
    """The bare file name in what a multipart part calls its ``filename``: some senders put a whole path there.

    Raises:
        BadPathError: nothing usable is left.
    """
    name = (sent or "").replace("\\", "/").rpartition("/")[2]
    if name in {"", ".", ".."}:
        raise BadPathError("the uploaded part has no usable file name")
    check_new_name(name)
    return name


def _segment(part: str) -> str:
    data = unquote_to_bytes(part)
    if data in {b".", b".."}:
        raise BadPathError("relative segments are not allowed in paths")
    if b"\0" in data or b"/" in data:
        raise BadPathError("this character is not allowed in paths")
    return data.decode("utf-8", "surrogateescape")
