"""The FTP/FTPS server that applications start and stop."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import socket
import ssl
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fastxfer.server.config import ListenerConfig, ServerConfig
from fastxfer.server.control import Control
from fastxfer.server.filesystem import Filesystem
from fastxfer.server.handover import Arrival, Handover
from fastxfer.server.hooks import Hooks
from fastxfer.server.leftovers import sweep_regularly
from fastxfer.server.localfs import LocalFilesystem
from fastxfer.server.runtime import Runtime
from fastxfer.server.service import Service, local_root
from fastxfer.server.sockets import stop_accepting
from fastxfer.server.users import Authenticator, Chain, User, UserTable

if TYPE_CHECKING:
    from fastxfer.server.certificates import Certificates
    from fastxfer.server.sharedbooks import WorkerBooks
    from fastxfer.server.web import WebInterface

__all__ = ["FtpServer"]

logger = logging.getLogger("fastxfer.server")

_NEEDS_A_CERTIFICATE = (
    "require_control", "require_data", "require_session_reuse", "require_client_cert", "client_ca", "key"
)  # fmt: skip


class FtpServer:
    """Serves a directory, or any :class:`Filesystem`, by FTP and FTPS.

    Use it as an async context manager, or :meth:`start` and :meth:`stop` it.

    Args:
        root: directory to be served; goes before ``config.root``.
        config: settings; *settings* are laid over them.
        filesystem: serve this instead of a directory. It is closed with the server.
        authenticator: who may log in. Without it and without *users*, what the configuration says.
        users: users with their passwords.
        hooks: listeners for events.
        tls_context: a ready context for TLS, instead of the certificate that the settings name.
        settings: fields of :class:`ServerConfig` by name.

    Raises:
        ValueError: the settings contradict each other.
        OSError: the directory, a certificate or an address cannot be used (from :meth:`start`).
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        config: ServerConfig | None = None,
        filesystem: Filesystem | None = None,
        authenticator: Authenticator | None = None,
        users: Iterable[tuple[User, str]] = (),
        hooks: Hooks | None = None,
        tls_context: ssl.SSLContext | None = None,
        **settings: Any,
    ) -> None:
        config = config or ServerConfig()
        if root is not None:
            settings["root"] = os.fspath(root)
        self.config = dataclasses.replace(config, **settings)
        self.hooks = hooks or Hooks()
        self._filesystem = filesystem
        self._authenticator = authenticator
        self._tls_context = tls_context
        self._users = list(users)
        self._service: Service | None = None
        self._runtime: Runtime | None = None
        self._servers: list[asyncio.Server] = []
        self._web: WebInterface | None = None
        self._stopped: asyncio.Event | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._books: WorkerBooks | None = None
        self._handover: Handover | None = None
        self._under_way: tuple[Runtime | None, WebInterface | None] = (None, None)
        self._hurried = False

    # Life

    def share(self, books: WorkerBooks, handover: Handover | None = None) -> None:
        """Keep limits, bans and quotas together with other workers, and share connections; before :meth:`start`."""
        self._books = books
        self._handover = handover

    async def start(self) -> None:
        """Open the ports and serve. RuntimeError when started already."""
        if self._runtime is not None:
            raise RuntimeError("the server is running")
        config = self.config
        self._hurried = False
        certificates = self._certificates()
        service = Service(config, self._open_filesystem(), self._open_authenticator(), self.hooks, self._books)
        runtime = Runtime(service, certificates, self._handover)
        self._service, self._runtime = service, runtime
        self._stopped = asyncio.Event()
        try:
            for number, listener in enumerate(config.effective_listeners()):
                await self._listen(listener, number)
        except BaseException:
            await self.stop()
            raise
        if self._handover is not None:
            self._handover.open(self._adopt)
        if config.uploads.partial_age > 0:
            self._sweeping = asyncio.create_task(sweep_regularly(service.filesystem, config.uploads.partial_age))
        for host, port in self.addresses:
            logger.info("FTP on %s port %d", host, port)
        if config.web.enabled:
            try:
                await self._start_web(service, runtime, certificates)
            except BaseException:
                await self.stop()
                raise

    async def _start_web(self, service: Service, runtime: Runtime, certificates: Certificates | None) -> None:
        from fastxfer.server.web import WebInterface

        web = self.config.web
        port = self.port
        asked = self.config.effective_listeners()[0]
        wanted = web.port if web.port is not None else (port + 1 if asked.port or asked.fd >= 0 else 0)
        self._web = WebInterface(
            service,
            runtime.runner,
            ftp_port=port,
            tls=certificates.context if certificates is not None else None,
            on_connection=certificates.refresh if certificates is not None else None,
        )
        await self._web.start(
            web.host if web.host is not None else asked.host or None, wanted, reuse_port=self.config.workers > 1
        )

    async def _listen(self, listener: ListenerConfig, number: int) -> None:
        loop = asyncio.get_running_loop()
        runtime = self.runtime
        handover = self._handover
        # What cannot be understood is to be told now, not to the first client.
        runtime.trusted_proxies(listener)

        def connected() -> asyncio.Protocol:
            control = Control(runtime, listener, loop)
            return control if handover is None or not handover.crowded() else Arrival(control, handover, number)

        for sock in await _bind(listener, self.config):
            self._servers.append(await loop.create_server(connected, sock=sock, backlog=self.config.backlog))

    def _adopt(self, connection: socket.socket, number: int) -> None:
        """Take over a connection that came to the listener *number* of another worker."""
        runtime = self.runtime
        loop = asyncio.get_running_loop()
        control = Control(runtime, self.config.effective_listeners()[number], loop)
        runtime.spawn(_accepted(loop, control, connection))

    async def stop(self) -> None:
        """Close the ports, let transfers end within ``timeouts.shutdown``, give everything back. Idempotent."""
        if self._handover is not None:
            self._handover.close()
        await stop_accepting(self._servers)
        sweeping, self._sweeping = self._sweeping, None
        if sweeping is not None:
            sweeping.cancel()
            await asyncio.wait([sweeping])
        web, self._web = self._web, None
        runtime, self._runtime = self._runtime, None
        service, self._service = self._service, None
        self._under_way = runtime, web
        if self._hurried:
            self.hurry()
        ends = [web.stop()] if web is not None else []
        if runtime is not None:
            ends.append(runtime.end_sessions(self.config.timeouts.shutdown))
        await asyncio.gather(*ends)
        self._under_way = None, None
        if runtime is not None:
            await runtime.close()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()
        if service is not None:
            await service.close()
        if self._stopped is not None:
            self._stopped.set()

    def hurry(self) -> None:
        """Let :meth:`stop`, now or later, cut off what is under way."""
        self._hurried = True
        runtime, web = self._under_way
        if runtime is not None:
            runtime.hurry()
        if web is not None:
            web.hurry()

    def reload(self) -> None:
        """Open the transfer logs anew and look at the certificates now (what SIGHUP does)."""
        if self._service is not None:
            self._service.reopen_logs()
        if self._runtime is not None and self._runtime.certificates is not None:
            self._runtime.certificates.refresh(now=True)

    async def wait_stopped(self) -> None:
        """Wait until somebody calls :meth:`stop`. RuntimeError when never started."""
        if self._stopped is None:
            raise RuntimeError("the server was not started")
        await self._stopped.wait()

    async def serve_forever(self) -> None:
        """Start if need be, and wait until somebody calls :meth:`stop` or cancels this."""
        if self._runtime is None:
            await self.start()
        try:
            await self.wait_stopped()
        finally:
            await self.stop()

    async def __aenter__(self) -> FtpServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # State

    @property
    def service(self) -> Service:
        """What FTP and HTTP share. RuntimeError unless started."""
        if self._service is None:
            raise RuntimeError("the server is not running")
        return self._service

    @property
    def runtime(self) -> Runtime:
        """The running state. RuntimeError unless started."""
        if self._runtime is None:
            raise RuntimeError("the server is not running")
        return self._runtime

    @property
    def sockets(self) -> list[socket.socket]:
        """The listening sockets."""
        return [sock for server in self._servers for sock in server.sockets]

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where FTP is spoken: host and port of each listening socket."""
        return [sock.getsockname()[:2] for sock in self.sockets]

    @property
    def port(self) -> int:
        """The port of the first listener."""
        return self.addresses[0][1]

    @property
    def web_port(self) -> int:
        """The port of the HTTP interface; 0 where there is none."""
        return self._web.port if self._web is not None else 0

    @property
    def sessions(self) -> int:
        """Control connections that stand."""
        return len(self._runtime.controls) if self._runtime is not None else 0

    # Parts

    def _certificates(self) -> Certificates | None:
        tls = self.config.tls
        if self._tls_context is not None:
            from fastxfer.server.certificates import ReadyContext

            return ReadyContext(self._tls_context)
        if not tls.cert:
            wanted = [name for name in _NEEDS_A_CERTIFICATE if getattr(tls, name)]
            listeners = self.config.effective_listeners()
            if wanted or any(listener.implicit_tls or listener.require_tls for listener in listeners):
                because = f" (tls.{wanted[0]})" if wanted else ""
                raise ValueError(f"TLS is demanded{because} but tls.cert names no certificate")
            return None
        from fastxfer.server.certificates import Certificates

        return Certificates(tls)

    def _open_filesystem(self) -> Filesystem:
        if self._filesystem is not None:
            return self._filesystem
        uploads = self.config.uploads
        return LocalFilesystem(
            local_root(self.config.root), atomic=uploads.atomic, keep_partial=uploads.keep_partial, umask=uploads.umask
        )

    def _open_authenticator(self) -> Authenticator:
        if self._authenticator is not None:
            return self._authenticator
        from fastxfer.server.logins import configured_authenticators

        configured = configured_authenticators(self.config)
        if self._users:
            return Chain([UserTable(self._users), *configured])
        return configured[0] if len(configured) == 1 else Chain(configured)


async def _accepted(loop: asyncio.AbstractEventLoop, control: Control, connection: socket.socket) -> None:
    try:
        await loop.connect_accepted_socket(lambda: control, connection)
    except OSError as error:
        logger.info("a connection was lost on its way between workers: %s", error)
        connection.close()


async def _bind(listener: ListenerConfig, config: ServerConfig) -> list[socket.socket]:
    """The listening sockets of *listener*, one for each address of its host."""
    if listener.fd >= 0:
        inherited = socket.socket(fileno=os.dup(listener.fd))
        inherited.setblocking(False)
        inherited.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        return [inherited]
    loop = asyncio.get_running_loop()
    host = listener.host or None
    # Not the loop's own lookup: uvloop's forgets the zone of a link-local address.
    found = await loop.run_in_executor(
        None, socket.getaddrinfo, host, listener.port, socket.AF_UNSPEC, socket.SOCK_STREAM, 0, socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    port = listener.port
    try:
        for family, kind, protocol, _, address in sorted(set(found), key=lambda entry: entry[0] != socket.AF_INET):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Accepted sockets inherit it: an urgent ABOR stays in its place between the other bytes (RFC 854).
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
            if config.workers > 1:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                # Only a bare "::" takes IPv4 too; where both are bound singly they must not meet.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(listener.host != "::"))
            sock.bind((address[0], port or 0, *address[2:]))
            port = port or sock.getsockname()[1]
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise OSError(
            error.errno, f"cannot listen on {listener.host or '*'} port {listener.port}: {error.strerror}"
        ) from error
    return sockets
