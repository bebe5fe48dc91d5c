"""The server: FTP on the endpoint's port, HTTP on the one after it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fastxfer.ftppy.auth import Auth, Basic
from fastxfer.ftppy.config import Limits, Retry, Timeout
from fastxfer.ftppy.configured import Configured
from fastxfer.ftppy.endpoint import Endpoint
from fastxfer.ftppy.hooks import Hook
from fastxfer.ftppy.settings import SSL

if TYPE_CHECKING:
    from aiohttp.web import Application, AppRunner, Request, StreamResponse

    import fastxfer.server as engine
    from fastxfer.server.web import WebInterface

__all__ = ["FtpServer"]

log = logging.getLogger("fastxfer.ftppy")


class FtpServer(Configured):
    """A server for one user, or for guests; made by :meth:`FtpPy.server`, whose arguments it shares.

    Use it as an async context manager, or call :meth:`start` and :meth:`stop`. Needs the extra ``web``.

    With :class:`Basic` the user may do everything below :attr:`path`, over FTP and HTTP alike; nobody else gets in.
    Without, guests may read, and nothing more. What is served is :attr:`path`: the home directory as far as a user
    with a password is concerned; for guests there is no such default, since nobody should find himself to have opened
    his home directory to the network.

    ``ftps://`` speaks TLS from the first byte and ``https`` beside it, with the certificate of ``SSL(cert=…, key=…)``
    or a ready ``SSL(context=…)``; with such a certificate ``ftp://`` offers AUTH TLS.

    Attributes:
        path: the directory that is served; may be set until the server starts.
        server: the :class:`fastxfer.server.FtpServer` underneath; None while it does not run.

    Raises:
        ValueError: the settings cannot work together.
    """

    def __init__(
        self,
        endpoint: str,
        auth: Auth | None = None,
        limits: Limits | None = None,
        retry: Retry | None = None,
        timeout: Timeout | None = None,
        ssl: SSL | None = None,
        hooks: Mapping[str, Hook] | None = None,
        passive: bool = True,
        encoding: str = "utf-8",
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(endpoint, auth, limits, retry, timeout, ssl, hooks, passive, encoding)
        if encoding.lower().replace("_", "-") not in {"utf-8", "utf8"}:
            raise ValueError("the server speaks UTF-8 (RFC 2640)")
        self.path: Path | None = Path(path) if path is not None else None
        if self.path is None and isinstance(auth, Basic):
            self.path = Path.home()
        self.server: engine.FtpServer | None = None
        self._interface: WebInterface | None = None

    @property
    def app(self) -> Application | None:
        """The HTTP application; None while the server does not run."""
        return self._interface.app if self._interface is not None else None

    @property
    def runner(self) -> AppRunner | None:
        """What runs :attr:`app`; None while the server does not run."""
        return self._interface.runner if self._interface is not None else None

    @property
    def site(self) -> WebInterface | None:
        """What listens for HTTP; None while the server does not run."""
        return self._interface

    @property
    def web_port(self) -> int:
        """The port that HTTP is spoken on; 0 while the server does not run."""
        return self._interface.port if self._interface is not None else 0

    async def __aenter__(self) -> FtpServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> engine.FtpServer:
        """Open both ports; the server underneath.

        Raises:
            ValueError: no directory to serve to guests, or TLS without a certificate.
            OSError: a port cannot be opened, the directory or the certificate cannot be read.
            RuntimeError: it runs already.
        """
        if self.server is not None:
            raise RuntimeError("the server is running")
        server = self._make_server()
        await server.start()
        self.server = server
        try:
            self.port = server.port
            await self.web()
        except BaseException:
            await self.stop()
            raise
        await self._hooks.call("start", server)
        await self._hooks.call("connect", {"ftp": server, "app": self.app})
        return server

    async def web(self) -> WebInterface:
        """Open the HTTP port, the FTP port + 1 (any free one where the FTP port was chosen by the system).

        :meth:`start` does it. Returns the interface, the same one when it is open already.

        Raises:
            RuntimeError: the server does not run.
            OSError: the port cannot be opened.
        """
        from fastxfer.server.web import WebInterface

        if self.server is None:
            raise RuntimeError("the server is not running")
        if self._interface is None:
            runtime = self.server.runtime
            certificates = runtime.certificates if self.secure else None
            interface = WebInterface(
                self.server.service,
                runtime.runner,
                ftp_port=self.port,
                tls=certificates.context if certificates is not None else None,
                on_connection=certificates.refresh if certificates is not None else None,
                on_request=self._on_request if "request" in self._hooks else None,
            )
            await interface.start(self.host, self.port + 1 if self._where.port else 0)
            self._interface = interface
        return self._interface

    async def stop(self) -> None:
        """Close both ports; transfers under way may end. Idempotent."""
        interface, self._interface = self._interface, None
        server, self.server = self.server, None
        if interface is not None:
            await interface.stop()
        if server is not None:
            await server.stop()
            await self._hooks.call("stop", server)

    async def _on_request(self, request: Request, response: StreamResponse, duration: float) -> None:
        await self._hooks.call("request", request, response, duration)

    def _make_server(self) -> engine.FtpServer:
        import fastxfer.server as engine

        if self.path is None:
            raise ValueError(
                "there is no directory to serve: give one, as in FtpPy(...).server('/srv/public'). "
                "Without Basic authentication everybody may read it"
            )
        basic = self.auth if isinstance(self.auth, Basic) else None
        users = []
        if basic is not None:
            users.append((engine.User(name=basic.user), basic.password))
        hooks = engine.Hooks()
        if "error" in self._hooks:
            hooks.on_error = self._on_error  # type: ignore[method-assign]
        return engine.FtpServer(
            self.path,
            config=self._config(self._where),
            users=users,
            hooks=hooks,
            tls_context=None if self.ssl is None else self.ssl.context,
        )

    async def _on_error(self, session: engine.SessionInfo, error: BaseException) -> None:
        await self._hooks.call("error", error)

    def _config(self, where: Endpoint) -> engine.ServerConfig:
        import fastxfer.server as engine

        tls: dict[str, Any] = {}
        if self.ssl is not None and self.ssl.cert is not None:
            tls["cert"] = os.fspath(self.ssl.cert)
            tls["key"] = os.fspath(self.ssl.key) if self.ssl.key is not None else ""
            tls["ciphers"] = self.ssl.ciphers or ""
        elif where.secure and (self.ssl is None or self.ssl.context is None):
            raise ValueError("a server with TLS needs its certificate: SSL(cert='server.crt', key='server.key')")
        tls["require_control"] = tls["require_data"] = where.secure
        return engine.ServerConfig(
            host=where.host,
            port=where.port,
            implicit_tls=where.tls == "implicit",
            anonymous=not isinstance(self.auth, Basic),
            tls=engine.TlsConfig(**tls),
            limits=engine.LimitsConfig(sessions=self.limits.connections, sessions_per_ip=0),
            timeouts=engine.TimeoutsConfig(data_connect=max(self.timeout.connect, 30.0), data_stall=self.timeout.read),
        )
