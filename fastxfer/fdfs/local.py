"""What can be told or made without asking a server: parts of a file ID, URLs, anti-steal tokens."""

from __future__ import annotations

import hashlib
import time
from urllib.parse import quote, urlencode

from fastxfer.core.wire import FileId
from fastxfer.fdfs.errors import InvalidArgumentError
from fastxfer.fdfs.plans.seek import parsed
from fastxfer.fdfs.protocol import split_file_id

__all__ = ["build_url", "http_token", "parse_file_id"]

_TOKEN_INPUT_LIMIT = 320
"""Bytes of file name, key and time that FastDFS's own function takes."""


def parse_file_id(file_id: str) -> FileId:
    """Take *file_id* apart: group, name, source, time, size, CRC-32, kind.

    Raises :class:`InvalidFileIDError` where it cannot be a file ID.
    """
    return parsed(file_id)


def http_token(remote_filename: str, secret_key: str, timestamp: int) -> str:
    """The anti-steal token that FastDFS's nginx module checks: md5 of name, key and decimal time, in hexadecimal.

    Args:
        remote_filename: the file ID without its group, ``M00/00/00/…``; hashed as it is given.
        secret_key: ``http.anti_steal.secret_key`` of the server.
        timestamp: seconds since 1970; the token is valid for the server's ``token_ttl`` from then.

    Raises :class:`InvalidArgumentError` where name and key are too long together.
    """
    text = remote_filename.encode() + secret_key.encode() + b"%d" % timestamp
    if len(text) > _TOKEN_INPUT_LIMIT:
        raise InvalidArgumentError(f"file name and key have {len(text)} bytes, more than {_TOKEN_INPUT_LIMIT}")
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def build_url(
    file_id: str, base: str, *, secret_key: str | None = None, timestamp: int | None = None, filename: str | None = None
) -> str:
    """The URL of a file behind a web server with FastDFS's module.

    Args:
        base: scheme and host, e.g. ``"http://files.example"``.
        secret_key: adds ``token`` and ``ts`` where given.
        timestamp: seconds since 1970 for the token; now where not given.
        filename: adds ``filename``, under which browsers save it.

    Raises :class:`InvalidFileIDError` where *file_id* cannot be one.
    """
    _, remote_filename = split_file_id(file_id)
    query: dict[str, str] = {}
    if filename is not None:
        query["filename"] = filename
    if secret_key is not None:
        moment = int(time.time()) if timestamp is None else timestamp
        query["token"] = http_token(remote_filename, secret_key, moment)
        query["ts"] = str(moment)
    url = f"{base.rstrip('/')}/{quote(file_id)}"
    return f"{url}?{urlencode(query)}" if query else url
