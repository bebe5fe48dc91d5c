"""HTTP connections that are counted, and not kept open for a request that does not come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from fastxfer.server.hooks import SessionInfo
from fastxfer.server.networks import peer_of
from fastxfer.server.web.errors import problem
from fastxfer.server.web.headers import secure

if TYPE_CHECKING:
    from fastxfer.server.service import Service
    from fastxfer.server.web.context import Caller, Visit
    from fastxfer.server.web.entrance import Entrance, Guest
    from fastxfer.server.web.visits import Regular

__all__ = ["Connection", "connection_of"]

logger = logging.getLogger("fastxfer.server.web")

_TEXTS = {400: "The request cannot be understood", 504: "The request took too long"}


class Connection(web.RequestHandler):
    """One TCP connection.

    Args:
        manager: the aiohttp server that the connection belongs to.
        service: whose hooks hear of the connection.
        entrance: where connections are counted.
        first_request_timeout: seconds until the first request must be there.
        guest: the connection where it was counted already, by what lies below it.
        options: for :class:`aiohttp.web.RequestHandler`.
    """

    __slots__ = (
        "_entrance",
        "_first",
        "_first_request_timeout",
        "_greeted",
        "_guest",
        "_service",
        "awaits_continue",
        "bypassed",
        "caller",
        "known_caller",
        "regular",
        "rescue",
        "session",
        "visit",
    )

    # Of the request in hand: a connection carries one after the other.
    caller: Caller | None
    visit: Visit | None
    awaits_continue: bool
    bypassed: bool
    """Bytes of its body went past aiohttp, which would not find the beginning of another request."""
    rescue: Callable[[], None] | None
    """Called when the connection is lost, before aiohttp forgets what has come of the body."""

    # Of the requests before it.
    known_caller: tuple[str, Caller] | None
    """What the last Host header was, and who called; None where each request must say for itself."""
    regular: Regular | None
    """Whose credentials the last request has shown."""

    def __init__(
        self,
        manager: web.Server,
        service: Service,
        entrance: Entrance,
        first_request_timeout: float,
        guest: Guest | None = None,
        **options: Any,
    ) -> None:
        super().__init__(manager, **options)
        self._service = service
        self._entrance = entrance
        self._first_request_timeout = first_request_timeout
        self._first: asyncio.TimerHandle | None = None
        self._guest = guest
        self._greeted = False
        self.session = SessionInfo(id=0, protocol="http", address="")
        self.caller = None
        self.visit = None
        self.awaits_continue = False
        self.bypassed = False
        self.rescue = None
        self.known_caller = None
        self.regular = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        address, port = peer_of(transport)
        tls = transport.get_extra_info("sslcontext") is not None
        self.session = SessionInfo(id=self._service.next_id(), protocol="http", address=address, port=port, tls=tls)
        if self._guest is None:
            self._guest = self._entrance.admit(cast(asyncio.Transport, transport))
        if self._guest is None:
            self.force_close()
            return
        loop = asyncio.get_running_loop()
        self._first = loop.call_later(self._first_request_timeout, self.force_close)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.rescue is not None:
            self.rescue()
            self.rescue = None
        super().connection_lost(exc)
        self._stop_timer()
        if self._guest is not None:
            self._entrance.leave(self._guest)
        if self._greeted and self._service.hooks.listens("on_disconnect"):
            self._entrance.see_off(self._service.call("on_disconnect", self.session, self.session))

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._guest is not None:
            self._guest.took()

    async def request_began(self) -> None:
        """The head of a request has come; with the first one, listeners hear of the connection.

        Raises:
            PermissionError: a listener does not want this connection.
        """
        self._stop_timer()
        self.caller = self.visit = self.rescue = None
        if self._greeted:
            return
        self._greeted = True
        if self._service.hooks.listens("on_connect"):
            try:
                await self._service.hooks.on_connect(self.session)
            except PermissionError:
                self.close()
                raise
            except Exception:
                logger.exception("on_connect failed")

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What a request gets that never reached a handler; says nothing of *exc* and *message*."""
        if isinstance(exc, ConnectionError):
            logger.debug("connection from %s lost: %s", self.session.address, exc)
            raise exc
        if request.writer.output_size > 0:
            raise ConnectionAbortedError("the answer had already begun")
        if status >= 500:
            logger.error("request from %s failed", self.session.address, exc_info=exc)
        else:
            logger.debug("bad request from %s: %r", self.session.address, message)
        response = problem(status, _TEXTS.get(status, "The server failed"))
        secure(response.headers, status)
        response.force_close()
        return response

    def _stop_timer(self) -> None:
        if self._first is not None:
            self._first.cancel()
            self._first = None


def connection_of(request: web.BaseRequest) -> Connection:
    """The connection that *request* came over."""
    connection = request.protocol
    assert isinstance(connection, Connection)
    return connection
