"""Validators and conditional requests (RFC 9110, sections 8.8 and 13)."""

from __future__ import annotations

import math
import re
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from aiohttp import web

from fastxfer.server.filesystem import FileInfo
from fastxfer.server.web.errors import ApiError

if TYPE_CHECKING:
    from fastxfer.server.account import Account

__all__ = ["Validators", "check", "is_conditional", "range_applies", "require_conditions"]

_Tags = frozenset[tuple[str, str]]
"""Entity tags: ``W/`` or nothing, and what stands between the quotes."""
ANY: _Tags = frozenset({("*", "")})
"""What ``*`` means: no tag looks so."""
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\U0010ffff]*)"')
_TAG_LIST = re.compile(rf"(?:[ \t]*,)*[ \t]*{_TAG.pattern}(?:[ \t]*,(?:[ \t]*{_TAG.pattern})?)*[ \t]*")


class Validators:
    """ETag and Last-Modified of one state of a file."""

    __slots__ = ("mtime", "tag")

    def __init__(self, info: FileInfo) -> None:
        state = f"{info.mtime!r} {info.size} {info.unique}".encode("utf-8", "surrogateescape")
        self.tag = blake2b(state, digest_size=12).hexdigest()
        """The opaque part of the strong entity tag. A digest, since inode numbers are nobody's business."""
        self.mtime = math.floor(info.mtime)

    def headers(self) -> dict[str, str]:
        """ETag and Last-Modified; without the latter where the year has more than four digits."""
        date = _http_date(self.mtime)
        return {"ETag": f'"{self.tag}"', "Last-Modified": date} if date else {"ETag": f'"{self.tag}"'}


def is_conditional(request: web.Request) -> bool:
    """Whether *request* is to be carried out in some states of the file only."""
    headers = request.headers
    return (
        "If-Match" in headers
        or "If-None-Match" in headers
        or "If-Unmodified-Since" in headers
        or "If-Modified-Since" in headers
    )


async def require_conditions(request: web.Request, account: Account, path: str) -> None:
    """Refuse a change that *request* wants only of another state than that of *path*.

    Raises:
        ApiError: 412.
    """
    if not is_conditional(request):
        return
    try:
        now: Validators | None = Validators(await account.stat(path))
    except FileNotFoundError:
        now = None
    verdict = check(request, now)
    if verdict:
        raise ApiError(verdict, "The file has changed" if now is not None else "The file is not there")


def check(request: web.Request, now: Validators | None) -> int:
    """What the conditions of *request* demand in the order of RFC 9110, 13.2.2: 0 to go on, 304 or 412.

    *now* is the present state, None where there is no such file.

    Raises:
        ApiError: 400 where entity tags cannot be understood: whoever sends a condition does not want to go without.
    """
    if not is_conditional(request):
        return 0
    reading = request.method in {"GET", "HEAD"}
    match = _tags(request, "If-Match")
    if match is not None:
        if now is None or not (match == ANY or ("", now.tag) in match):
            return 412
    elif request.if_unmodified_since is not None and (
        now is None or now.mtime > math.floor(request.if_unmodified_since.timestamp())
    ):
        return 412
    try:
        none_match = _tags(request, "If-None-Match")
    except ApiError:
        # What is only read may as well be sent.
        if not reading:
            raise
        return 0
    if none_match is not None:
        if now is not None and (none_match == ANY or any(tag == now.tag for _, tag in none_match)):
            return 304 if reading else 412
    elif reading and now is not None and request.if_modified_since is not None:
        return 304 if now.mtime <= math.floor(request.if_modified_since.timestamp()) else 0
    return 0


def _tags(request: web.Request, name: str) -> _Tags | None:
    """The entity tags of the header *name*, all its lines together (RFC 9110, 8.8.3 and 5.2); None if it is missing."""
    lines = request.headers.getall(name, None)
    if lines is None:
        return None
    text = ",".join(lines).strip(" \t")
    if text == "*":
        return ANY
    if not _TAG_LIST.fullmatch(text):
        raise ApiError(400, f'{name} must be * or a list of entity tags like "1a2b"')
    return frozenset(_TAG.findall(text))


def range_applies(request: web.Request, now: Validators) -> bool:
    """Whether If-Range lets the Range header count (RFC 9110, 13.1.5)."""
    condition = request.headers.get("If-Range")
    if condition is None:
        return True
    condition = condition.strip()
    if condition.startswith('"'):
        return condition == f'"{now.tag}"'
    try:
        return math.floor(parsedate_to_datetime(condition).timestamp()) == now.mtime
    except (ValueError, TypeError, OverflowError):
        return False


@lru_cache(maxsize=1024)
def _http_date(seconds: int) -> str:
    try:
        return formatdate(seconds, usegmt=True)
    except (ValueError, OverflowError, OSError):
        return ""
