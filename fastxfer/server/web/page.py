"""The file manager's page: files of this package, read once, and told apart from data by their policy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib import resources

from aiohttp import web

from fastxfer.server.web.headers import PAGE_POLICY

__all__ = ["Asset", "assets", "send_asset"]

PAGE = "index.html"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}


@dataclass(frozen=True)
class Asset:
    """One file of the page."""

    content: bytes
    content_type: str
    etag: str


@cache
def assets() -> dict[str, Asset]:
    """All files by name."""
    found = {}
    for item in resources.files("fastxfer.server.web").joinpath("static").iterdir():
        ending = item.name[item.name.rfind(".") :]
        if ending in _TYPES:
            content = item.read_bytes()
            found[item.name] = Asset(content, _TYPES[ending], f'"{blake2b(content, digest_size=12).hexdigest()}"')
    return found


def send_asset(request: web.Request, name: str) -> web.Response:
    """The file *name* of the page.

    Raises:
        aiohttp.web.HTTPNotFound: there is none of that name.
    """
    asset = assets().get(name)
    if asset is None:
        raise web.HTTPNotFound()
    headers = {
        "ETag": asset.etag,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": PAGE_POLICY,
        "Vary": "Accept",
    }
    if any(tag.value == "*" or f'"{tag.value}"' == asset.etag for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=asset.content, headers={**headers, "Content-Type": asset.content_type})
