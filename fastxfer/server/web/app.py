"""The routes, and the steps that every request takes before it reaches one."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from fastxfer.server.web import files, status
from fastxfer.server.web.body import expect_nothing_yet
from fastxfer.server.web.connection import Connection, connection_of
from fastxfer.server.web.context import SHARED, Shared
from fastxfer.server.web.errors import ApiError, meaning_of, problem
from fastxfer.server.web.headers import secure
from fastxfer.server.web.origin import OriginPolicy
from fastxfer.server.web.peer import Proxies
from fastxfer.server.web.urlpath import BadPathError
from fastxfer.server.web.visits import begin_visit, identify

__all__ = ["make_app"]

logger = logging.getLogger("fastxfer.server.web")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_OPEN: frozenset[Handler] = frozenset(
    {status.front, status.send_page_file, status.health, status.openapi, status.log_in, status.log_out}
)
"""The handlers that need no login. All others do: what is added later is closed unless it is entered here."""


def make_app(shared: Shared, proxies: Proxies) -> web.Application:
    """The application; *shared* reaches the handlers, *proxies* vouch for addresses."""
    settings = shared.service.config.web
    policy = OriginPolicy(settings.cors_origins)
    gate = _Gate(shared, proxies, policy)

    async def finish_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
        secure(response.headers, response.status)
        policy.mark(request, response)

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await gate.answer(request, handler)

    app = web.Application(middlewares=[answer])
    app[SHARED] = shared
    app.on_response_prepare.append(finish_headers)
    for method, path, handler in _routes(metrics=settings.metrics):
        app.router.add_route(method, path, handler, expect_handler=expect_nothing_yet)
    return app


def _routes(*, metrics: bool) -> list[tuple[str, str, Handler]]:
    routes: list[tuple[str, str, Handler]] = [
        ("GET", "/", status.front),
        ("HEAD", "/", status.front),
        ("GET", "/assets/{name}", status.send_page_file),
        ("HEAD", "/assets/{name}", status.send_page_file),
        ("GET", "/healthz", status.health),
        ("HEAD", "/healthz", status.health),
        ("GET", "/openapi.json", status.openapi),
        ("HEAD", "/openapi.json", status.openapi),
        ("GET", "/session", status.who),
        ("HEAD", "/session", status.who),
        ("POST", "/session", status.log_in),
        ("DELETE", "/session", status.log_out),
    ]
    if metrics:
        routes += [("GET", "/metrics", status.metrics), ("HEAD", "/metrics", status.metrics)]
    # The routes of a path that follow one another are looked up as one.
    for path in ("/files", "/files/{path:(?s:.*)}"):
        routes += [(method, path, files.handle) for method in files.METHODS]
    return routes


class _Gate:
    """What stands before the handlers: from the host name to the login, and from exceptions to answers."""

    def __init__(self, shared: Shared, proxies: Proxies, policy: OriginPolicy) -> None:
        self._shared = shared
        self._proxies = proxies
        self._policy = policy
        self._settings = shared.service.config.web
        self._hosts = frozenset(host.lower() for host in self._settings.hosts)

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The middleware: the answer of *handler*, or what stands in its way."""
        began = time.perf_counter()
        connection = connection_of(request)
        response = await self._answered(connection, request, handler)
        connection.awaits_continue = False
        if connection.bypassed:
            response.force_close()
        listener = self._shared.on_request
        if listener is not None:
            try:
                await listener(request, response, time.perf_counter() - began)
            except Exception:
                logger.exception("the listener for requests failed")
        return response

    async def _answered(self, connection: Connection, request: web.Request, handler: Handler) -> web.StreamResponse:
        limit = self._shared.service.config.limits.web_requests
        if limit and self._shared.active >= limit:
            return problem(503, "The server is busy", {"Retry-After": "1"})
        self._shared.active += 1
        try:
            return await self._passed(connection, request, handler)
        except ApiError as error:
            return problem(error.status, error.text, error.headers)
        except BadPathError as error:
            return problem(400, str(error))
        except web.HTTPException as error:
            allow = error.headers.get("Allow")
            return problem(error.status, error.reason, {"Allow": allow} if allow else None)
        except ConnectionError:
            raise
        except OSError as error:
            return await self._failed(request, error)
        except Exception as error:
            logger.exception("request failed: %s %s", request.method, request.rel_url.raw_path)
            await self._tell(request, error)
            return problem(500, "The server failed")
        finally:
            self._shared.active -= 1
            if self._shared.drained is not None and not self._shared.active:
                self._shared.drained.set()

    async def _passed(self, connection: Connection, request: web.Request, handler: Handler) -> web.StreamResponse:
        await connection.request_began()
        caller = connection.caller = identify(connection, request, self._proxies)
        peer = caller.peer
        if self._hosts and peer.host_name not in self._hosts:
            raise ApiError(421, "The server has another name")
        preflight = self._policy.preflight(request)
        if preflight is not None:
            return preflight
        self._policy.require(request, peer)
        route = request.match_info
        refusal = route.http_exception
        if isinstance(refusal, web.HTTPException):
            raise refusal
        if not self._is_open(route.handler):
            connection.visit = await begin_visit(connection, request, self._shared, caller)
        return await handler(request)

    def _is_open(self, handler: object) -> bool:
        return handler in _OPEN or (handler is status.metrics and self._settings.metrics_open)

    async def _failed(self, request: web.Request, error: OSError) -> web.Response:
        code, text = meaning_of(error)
        if code >= 500 and code != 507:
            logger.warning("request failed: %s %s: %s", request.method, request.rel_url.raw_path, error)
            await self._tell(request, error)
        return problem(code, text)

    async def _tell(self, request: web.Request, error: BaseException) -> None:
        session = connection_of(request).session
        await self._shared.service.call("on_error", session, session, error)
