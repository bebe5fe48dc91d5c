"""Failures as HTTP answers: the status that fits, and words that give nothing away."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from aiohttp import web

__all__ = ["ApiError", "meaning_of", "problem"]

_STATUS = {
    errno.ENOENT: (404, "Not found"),
    errno.ENOTDIR: (404, "Not found"),
    errno.ELOOP: (404, "Not found"),
    errno.EACCES: (403, "Not allowed"),
    errno.EPERM: (403, "Not allowed"),
    errno.EROFS: (403, "Not allowed"),
    errno.EXDEV: (403, "Not allowed"),
    errno.EEXIST: (409, "The name is already taken"),
    errno.ENOTEMPTY: (409, "The directory is not empty"),
    errno.EISDIR: (409, "This is a directory"),
    errno.EBUSY: (409, "The file is being written by someone else"),
    errno.ENXIO: (403, "Not allowed"),
    errno.EINVAL: (400, "This is not possible here"),
    errno.ENAMETOOLONG: (400, "The name is too long"),
    errno.EFBIG: (413, "The file is too large"),
    errno.ENOSPC: (507, "No room is left"),
    errno.EDQUOT: (507, "The quota is used up"),
    errno.ENOTSUP: (501, "The server cannot do this"),
    errno.EMFILE: (503, "The server is busy"),
    errno.ENFILE: (503, "The server is busy"),
}

_BARE: dict[type[OSError], int] = {
    PermissionError: errno.EACCES,
    FileNotFoundError: errno.ENOENT,
    FileExistsError: errno.EEXIST,
    IsADirectoryError: errno.EISDIR,
    NotADirectoryError: errno.ENOTDIR,
}
"""For errors that were raised with a text of their own instead of a number."""


class ApiError(Exception):
    """Ends a request with *status*; *text* is shown to the client, so it must not hold anything private."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = dict(headers or {})


def meaning_of(error: OSError) -> tuple[int, str]:
    """The HTTP status for a failure of the filesystem or a refusal by a hook, and what the client is told.

    Never the path or the text of the error itself; 500 for one that is not foreseen.
    """
    code = error.errno
    if code is None:
        code = next((value for kind, value in _BARE.items() if isinstance(error, kind)), 0)
    return _STATUS.get(code, (500, "The server failed"))


def problem(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """The JSON body of every error."""
    return web.json_response({"status": "error", "code": status, "message": text}, status=status, headers=headers)
