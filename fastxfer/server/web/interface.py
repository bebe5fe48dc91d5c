"""The HTTP interface as a whole: opening its port, and closing it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import web

from fastxfer.server.sockets import stop_accepting
from fastxfer.server.web.app import make_app
from fastxfer.server.web.connection import Connection
from fastxfer.server.web.context import RequestListener, Shared
from fastxfer.server.web.entrance import Entrance, Guest, SecureEntrance
from fastxfer.server.web.logins import Logins
from fastxfer.server.web.page import assets
from fastxfer.server.web.peer import Proxies
from fastxfer.server.web.turnstile import Turnstile

if TYPE_CHECKING:
    from fastxfer.net.aio import TransferRunner
    from fastxfer.server.service import Service

__all__ = ["WebInterface"]

logger = logging.getLogger("fastxfer.server.web")

FIRST_REQUEST_SECONDS = 30.0
HANDSHAKE_SECONDS = 30.0
KEEP_ALIVE_SECONDS = 75.0
READ_BUFFER = 256 * 1024
LINGER_SECONDS = 2.0
"""How long the rest of an unwanted body is read, so that the client sees the answer."""
LAST_WORDS_SECONDS = 1.0
"""How long answers may take to leave when the interface is stopped."""


class WebInterface:
    """Serves a :class:`~fastxfer.server.service.Service` over HTTP.

    Args:
        service: users, files, limits, hooks and settings, shared with FTP.
        runner: carries downloads without the interpreter.
        ftp_port: told to clients at ``/``.
        tls: what HTTPS is spoken with; None for plain HTTP.
        on_request: called after each request.
        on_connection: called before each new connection is greeted: the moment to look after the certificate.

    Raises:
        ValueError: the settings name a network that cannot be understood.
    """

    def __init__(
        self,
        service: Service,
        runner: TransferRunner,
        *,
        ftp_port: int = 0,
        tls: ssl.SSLContext | None = None,
        on_request: RequestListener | None = None,
        on_connection: Callable[[], object] | None = None,
    ) -> None:
        settings = service.config.web
        self._service = service
        self._tls = tls
        self._on_connection = on_connection
        self._proxies = Proxies(settings.trusted_proxies)
        self._shared = Shared(
            service=service,
            runner=runner,
            logins=Logins(service, settings.session, settings.secret),
            ports={"ftp": ftp_port, "web": 0},
            conditional=Turnstile(service.books),
            on_request=on_request,
        )
        self._app = make_app(self._shared, self._proxies)
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._entrance: Entrance | None = None

    @property
    def app(self) -> web.Application:
        """The routes, for embedding and inspection."""
        return self._app

    @property
    def runner(self) -> web.AppRunner | None:
        """aiohttp's side of it; None while it does not run."""
        return self._runner

    @property
    def stopping(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._shared.drained is not None

    @property
    def active(self) -> int:
        """Requests under way."""
        return self._shared.active

    @property
    def port(self) -> int:
        """The port that is listened on; 0 before :meth:`start`."""
        return self._shared.ports["web"]

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets."""
        return tuple(self._server.sockets) if self._server is not None else ()

    async def start(
        self, host: str | None = None, port: int = 0, *, sock: socket.socket | None = None, reuse_port: bool = False
    ) -> None:
        """Begin to take requests.

        Args:
            host: address or name to listen on; empty or None for all.
            port: 0 lets the system choose.
            sock: a socket that is bound already, instead of *host* and *port*.
            reuse_port: several processes share the port.

        Raises:
            OSError: the port cannot be opened.
        """
        runner = web.AppRunner(self._app, handle_signals=False, access_log=None, shutdown_timeout=LAST_WORDS_SECONDS)
        await runner.setup()
        self._runner = runner
        manager = runner.server
        assert manager is not None
        loop = asyncio.get_running_loop()
        entrance = self._entrance = Entrance(
            self._service.guard, self._proxies, self._service.config.timeouts.data_stall
        )

        def connection(guest: Guest | None = None) -> Connection:
            return Connection(
                manager,
                self._service,
                entrance,
                FIRST_REQUEST_SECONDS,
                guest,
                loop=loop,
                access_log=None,
                keepalive_timeout=KEEP_ALIVE_SECONDS,
                lingering_time=LINGER_SECONDS,
                read_bufsize=READ_BUFFER,
                auto_decompress=False,
                logger=logger,
            )

        def accepted() -> asyncio.Protocol:
            if self._on_connection is not None:
                self._on_connection()
            if self._tls is None:
                return connection()
            return SecureEntrance(entrance, self._tls, connection, HANDSHAKE_SECONDS)

        # Now: the process may be about to change its root directory or its account.
        assets()
        try:
            if sock is not None:
                self._server = await loop.create_server(accepted, sock=sock, backlog=self._service.config.backlog)
            else:
                self._server = await loop.create_server(
                    accepted,
                    host or None,
                    port,
                    backlog=self._service.config.backlog,
                    reuse_port=reuse_port or None,
                )
        except BaseException:
            await entrance.clear()
            await runner.cleanup()
            self._runner = self._entrance = None
            raise
        self._shared.ports["web"] = self._server.sockets[0].getsockname()[1]
        logger.info("HTTP%s on port %d", "S" if self._tls is not None else "", self.port)

    def hurry(self) -> None:
        """Let :meth:`stop`, now or later, cut off what is under way."""
        if self._shared.drained is None:
            self._shared.drained = asyncio.Event()
        self._shared.drained.set()

    async def stop(self) -> None:
        """Take no more requests, let those under way end for as long as the settings say. Idempotent."""
        if self._server is not None:
            await stop_accepting([self._server])
        if self._shared.drained is None:
            self._shared.drained = asyncio.Event()
        if self._shared.active:
            # aiohttp itself would drop the rest of bodies that are still coming.
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._shared.drained.wait(), self._service.config.timeouts.shutdown or None)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        entrance, self._entrance = self._entrance, None
        if entrance is not None:
            # A connection whose peer does not take the last of its answer would never close.
            await entrance.clear()
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None
