"""What the server tells about itself, and signing in and out of the file manager."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from aiohttp import web

import fastxfer
from fastxfer.server.web.body import accept_body, require_plain_body
from fastxfer.server.web.context import SHARED, caller_of, visit_of
from fastxfer.server.web.errors import ApiError
from fastxfer.server.web.listing import allowed_names
from fastxfer.server.web.logins import unauthorized
from fastxfer.server.web.page import PAGE, send_asset

if TYPE_CHECKING:
    from fastxfer.server.account import Account

__all__ = ["front", "health", "log_in", "log_out", "metrics", "openapi", "send_page_file", "who"]

MAX_LOGIN_BODY = 8192
BODY_SECONDS = 15.0


async def front(request: web.Request) -> web.StreamResponse:
    """``/``: the file manager for browsers, the status as JSON for everyone else."""
    shared = request.app[SHARED]
    if shared.service.config.web.ui and _wants_page(request.headers.get("Accept", "")):
        return send_asset(request, PAGE)
    body = {
        "server": "FTP Server",
        "version": fastxfer.__version__,
        "secure": caller_of(request).peer.tls,
        "path": "/",
        "ports": shared.ports,
        "endpoints": {
            "files": "/files/{path}",
            "upload": "POST /files/{path}",
            "download": "GET /files/{path}",
            "delete": "DELETE /files/{path}",
        },
        "status": "active",
    }
    return web.json_response(body, headers={"Vary": "Accept"})


async def send_page_file(request: web.Request) -> web.StreamResponse:
    """``/assets/{name}``: the files that belong to the page."""
    name = request.match_info["name"]
    if not request.app[SHARED].service.config.web.ui or name == PAGE:
        raise web.HTTPNotFound()
    return send_asset(request, name)


async def health(request: web.Request) -> web.Response:
    """``/healthz``: 200 while the server takes requests, 503 once it is being stopped."""
    if request.app[SHARED].drained is not None:
        raise ApiError(503, "The server is being stopped")
    return web.json_response({"status": "ok"})


async def openapi(request: web.Request) -> web.StreamResponse:
    """``/openapi.json``."""
    return send_asset(request, "openapi.json")


async def metrics(request: web.Request) -> web.Response:
    """``/metrics``: the counters for Prometheus, of all workers together. A guest has not logged in."""
    service = request.app[SHARED].service
    if not service.config.web.metrics_open and visit_of(request).guest:
        raise unauthorized(request)
    service_metrics = service.metrics
    if service_metrics is None:
        raise ApiError(501, "Metrics are switched off")
    return web.Response(
        body=service_metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
    )


async def who(request: web.Request) -> web.Response:
    """``GET /session``: who the credentials belong to."""
    visit = visit_of(request)
    return _session_answer(visit.account, guest=visit.guest)


async def log_in(request: web.Request) -> web.Response:
    """``POST /session``: from name and password to a cookie."""
    require_plain_body(request)
    if request.content_type != "application/json":
        # A form of another site cannot send this type.
        raise ApiError(415, "The body must be JSON")
    if request.content_length is None or request.content_length > MAX_LOGIN_BODY:
        raise ApiError(413, "The body is too large")
    await accept_body(request)
    try:
        # It may come in pieces.
        content = await asyncio.wait_for(request.content.readexactly(request.content_length), BODY_SECONDS)
        body = json.loads(content)
        name, password = body["user"], body["password"]
    except asyncio.TimeoutError:
        raise ApiError(408, "The body did not come") from None
    except (EOFError, ValueError, KeyError, TypeError):
        name = password = None
    if not isinstance(name, str) or not isinstance(password, str):
        raise ApiError(400, "The body must be an object with user and password")
    logins, caller = request.app[SHARED].logins, caller_of(request)
    account, token = await logins.log_in(request, name, password, caller)
    response = _session_answer(account, guest=False)
    logins.set_cookie(response, token, caller.peer)
    return response


async def log_out(request: web.Request) -> web.Response:
    """``DELETE /session``: have the browser forget the cookie."""
    response = web.json_response({"status": "success", "message": "Signed out"})
    request.app[SHARED].logins.clear_cookie(response, caller_of(request).peer)
    return response


def _session_answer(account: Account, *, guest: bool) -> web.Response:
    return web.json_response(
        {"user": account.user.name, "anonymous": guest, "permissions": allowed_names(account, "/")}
    )


def _wants_page(accept: str) -> bool:
    """Whether *accept* names HTML, and before JSON."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    if "text/html" not in kinds:
        return False
    return "application/json" not in kinds or kinds.index("text/html") < kinds.index("application/json")
