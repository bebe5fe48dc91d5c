"""Which pages of other sites may call: nobody by default (CORS, and the defence against forged requests)."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from fastxfer.server.web.errors import ApiError
from fastxfer.server.web.peer import Peer

__all__ = ["SCRIPT_HEADER", "OriginPolicy"]

SCRIPT_HEADER = "X-Requested-With"
"""No form can send this header, and a script of another site only after a preflight."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS = "GET, HEAD, PUT, POST, DELETE"
_ASKABLE = (
    "Authorization, Content-Type, Content-Range, Range, If-Match, If-None-Match, If-Range, If-Modified-Since, "
    f"If-Unmodified-Since, {SCRIPT_HEADER}"
)
_SHOWN = "Accept-Ranges, Content-Disposition, Content-Range, ETag, Last-Modified, Location, Upload-Offset"


class OriginPolicy:
    """Judges the Origin and Sec-Fetch-Site of requests.

    A request that changes something must come from a page of this server, from one of the *origins*, or from no page
    at all (a program). Browsers send ``Origin`` with every such request, so its absence means "no page".

    Args:
        origins: like ``https://example.org``; ``*`` for every one, whose requests then never carry credentials that
            the browser has kept.
    """

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self._origins = frozenset(origin.strip().rstrip("/").lower() for origin in origins)
        self._any = "*" in self._origins

    def allows(self, origin: str) -> bool:
        """Whether scripts from *origin* may read answers."""
        return self._any or origin.lower() in self._origins

    def require(self, request: web.Request, peer: Peer) -> None:
        """Refuse a change that the page of another site has started.

        Raises:
            ApiError: 403.
        """
        if request.method in _SAFE:
            return
        origin = request.headers.get("Origin", "")
        if origin:
            if origin.lower() == peer.origin or origin.lower() in self._origins:
                return
            if self._any and SCRIPT_HEADER in request.headers:
                return
        elif request.headers.get("Sec-Fetch-Site", "none") in {"none", "same-origin"}:
            return
        raise ApiError(403, "Requests from pages of other sites are not accepted")

    def preflight(self, request: web.Request) -> web.Response | None:
        """The answer to a CORS preflight; None if *request* is none, or comes from where nothing is allowed."""
        origin = request.headers.get("Origin", "")
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        if not self.allows(origin):
            return None
        headers = {
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": _ASKABLE,
            "Access-Control-Max-Age": "600",
        }
        return web.Response(status=204, headers=headers)

    def mark(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Add the CORS headers that *response* needs."""
        if not self._origins:
            return
        if not self._any:
            response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin", "")
        if not origin or not self.allows(origin):
            return
        named = origin.lower() in self._origins
        response.headers["Access-Control-Allow-Origin"] = origin if named else "*"
        response.headers["Access-Control-Expose-Headers"] = _SHOWN
        if named:
            response.headers["Access-Control-Allow-Credentials"] = "true"
