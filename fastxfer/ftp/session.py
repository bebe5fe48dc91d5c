"""Sessions: a control connection that is opened, encrypted and logged in."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

from fastxfer.ftp.commands import shown
from fastxfer.ftp.config import ClientConfig, Credentials
from fastxfer.ftp.control import ControlConnection
from fastxfer.ftp.driver import Driver
from fastxfer.ftp.errors import (
    ConnectionFailedError,
    ConnectionLostError,
    ProtocolError,
    TimedOutError,
    TLSFailedError,
    reply_error,
)
from fastxfer.ftp.profile import ServerProfile
from fastxfer.ftp.proxy import connect_through
from fastxfer.net.address import Address
from fastxfer.net.tls_channel import TLSChannel

__all__ = ["Session"]


class Session(ControlConnection):
    """A logged-in control connection.

    Args:
        driver: the outside world.
        config: settings.
        address: the server.
        credentials: who logs in.
        tls: ``"none"``, ``"explicit"`` or ``"implicit"``.
        context: for TLS; made once for all sessions, since a TLS session is resumed only within one context.
        profile: what is known of the server; added to.
    """

    def __init__(
        self,
        driver: Driver,
        config: ClientConfig,
        address: Address,
        credentials: Credentials,
        tls: str,
        context: ssl.SSLContext | None,
        profile: ServerProfile,
    ) -> None:
        super().__init__(driver, config, str(address), profile)
        self.context = context
        self.protected = False
        """Data connections are encrypted."""
        self.type = ""
        """The representation type in force: ``I``, ``A`` or "" where unknown."""
        self.compressed = False
        """MODE Z is in force."""
        self.epsv_only = False
        """The server was promised that EPSV is all it will be asked (EPSV ALL)."""
        self.directory: str | None = None
        """The working directory, where it is not the one of the login: set by whoever changes it."""
        self._address = address
        self._credentials = credentials
        self._tls = tls
        self._tls_session: ssl.SSLSession | None = None
        self._peer: tuple[int, tuple[Any, ...]] | None = None

    # State

    @property
    def host(self) -> str:
        return self._address.host

    @property
    def peer(self) -> tuple[int, tuple[Any, ...]]:
        """Address family and address of the server, as the control connection has them."""
        if self._peer is None:
            control = self.stream.socket
            self._peer = int(control.family), control.getpeername()
        return self._peer

    @property
    def tls_session(self) -> ssl.SSLSession | None:
        """What a data connection resumes. Under TLS 1.3 the newest ticket received so far."""
        channel = self.stream.channel
        return self._tls_session if channel is None else channel.session

    @property
    def tls_hostname(self) -> str:
        return self.config.tls_settings.server_hostname or self._address.host.partition("%")[0]

    @property
    def tls_version(self) -> str | None:
        """``"TLSv1.3"`` and the like; None on a plain control connection."""
        channel = None if self._stream is None else self._stream.channel
        return None if channel is None else channel.version

    # Opening

    async def open(self, greeted: Callable[[], object]) -> None:
        """Connect, shake hands, log in, and learn what the server can; call *greeted* when it has said who it is."""
        try:
            await self._connect()
            if self._tls == "implicit":
                await self._start_tls()
            await self._greeting()
            greeted()
            if self._tls == "explicit":
                await self._auth_tls()
            await self._login()
            await self._prepare()
        except BaseException:
            self.close()
            raise

    async def _connect(self) -> None:
        host, port = self._address
        seconds = self.config.timeouts.connect
        if self.config.proxy is not None:
            try:
                self._stream = await connect_through(self.driver, self.config.proxy, host, port, seconds)
            except OSError as error:
                raise ConnectionFailedError(f"no connection through the proxy: {error}", server=self.server) from error
            self._tune()
            return
        try:
            found = await self.driver.resolve(host, port, self.config.family)
        except (OSError, UnicodeError) as error:
            raise ConnectionFailedError(f"the host name is not known: {error}", server=self.server) from error
        failures = []
        for family, kind, protocol, _, sockaddr in found:
            try:
                stream = self.driver.stream(socket.socket(family, kind, protocol))
            except OSError as error:
                failures.append(error)
                continue
            try:
                if self.config.local_address is not None:
                    stream.socket.bind((self.config.local_address, 0))
                stream.begin_connect(sockaddr)
                await stream.finish_connect(seconds)
            except OSError as error:
                stream.close()
                failures.append(error)
                continue
            except BaseException:
                stream.close()
                raise
            self._stream = stream
            self._tune()
            return
        message = "; ".join(dict.fromkeys(str(failure) for failure in failures)) or "no address"
        if failures and all(isinstance(failure, TimeoutError) for failure in failures):
            raise TimedOutError(f"no connection within {seconds} s", server=self.server)
        raise ConnectionFailedError(f"no connection: {message}", server=self.server) from next(iter(failures), None)

    def _tune(self) -> None:
        sock = self.stream.socket
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    async def _greeting(self) -> None:
        self._outstanding = 1
        # After 120, "ready in nnn minutes", the real greeting follows.
        reply = await self.reply()
        if reply.code != 220:
            self._failed = True
            if reply.code < 400:
                raise ProtocolError(f"an odd greeting: {reply.code} {reply.text[:200]}", server=self.server)
            raise reply_error(reply.code, reply.text, server=self.server)
        self.profile.greet(reply)

    async def _auth_tls(self) -> None:
        try:
            reply = await self.ask("AUTH TLS")
        except ConnectionLostError as error:
            raise TLSFailedError("the server hung up on AUTH TLS", server=self.server, command="AUTH TLS") from error
        if reply.code not in (234, 334):
            raise TLSFailedError(
                f"the server does not offer TLS: {reply.code} {reply.text}", server=self.server, command="AUTH TLS"
            )
        if not self._reader.empty:
            raise TLSFailedError("bytes in the clear came before the TLS handshake", server=self.server)
        await self._start_tls()

    async def _start_tls(self) -> None:
        if self.context is None:
            raise TLSFailedError("no TLS settings", server=self.server)
        channel = TLSChannel(self.context, self.tls_hostname)
        try:
            await self.stream.start_tls(channel, self.config.timeouts.connect)
        except TimeoutError as error:
            raise TimedOutError("the TLS handshake took too long", server=self.server) from error
        except OSError as error:
            # ssl.SSLError is one.
            raise TLSFailedError(f"TLS: {error}", server=self.server) from error

    async def _login(self) -> None:
        who = self._credentials
        command = f"USER {who.user}"
        reply = await self.ask(command)
        if reply.code == 331:
            command = f"PASS {who.password}"
            reply = await self.ask(command)
        if reply.code == 332:
            command = f"ACCT {who.account}"
            reply = await self.ask(command)
        if not reply.positive:
            if 300 <= reply.code < 400:
                raise ProtocolError(f"an odd login: {reply.code} {reply.text}", server=self.server)
            raise reply_error(reply.code, reply.text, server=self.server, command=shown(command))

    async def _prepare(self) -> None:
        """Everything else that a session needs, in one or two pieces."""
        profile = self.profile
        lines = []
        if self.context is not None and self.config.protect_data and self._tls != "none":
            lines += ["PBSZ 0", "PROT P"]
        if not profile.known:
            lines.append("FEAT")
        else:
            lines += self._options()
        lines.append("TYPE I")
        try:
            replies = dict(zip(lines, await self.ask_all(lines), strict=True))
        except TimedOutError:
            if len(lines) > 1 and self.config.pipelining is None:
                profile.pipelining = False
            raise
        if "PROT P" in lines:
            if not replies["PROT P"].positive:
                refusal = replies["PROT P"]
                raise TLSFailedError(
                    f"the server does not encrypt data connections: {refusal.code} {refusal.text}",
                    server=self.server,
                    command="PROT P",
                )
            self.protected = True
        if replies["TYPE I"].positive:
            self.type = "I"
        if "FEAT" in lines:
            profile.learn(replies["FEAT"])
            if lines := self._options():
                replies |= dict(zip(lines, await self.ask_all(lines), strict=True))
        self.compressed = "MODE Z" in replies and replies["MODE Z"].positive
        if "EPSV ALL" in replies:
            self.epsv_only = profile.epsv_all = replies["EPSV ALL"].positive
        if self.config.clear_control and self.stream.channel is not None:
            await self._clear_control()

    def _options(self) -> list[str]:
        options = []
        if self.profile.offers("UTF8") and self.config.encoding.lower().replace("-", "") == "utf8":
            options.append("OPTS UTF8 ON")
        if self.config.compress and "Z" in self.profile.features.get("MODE", "").upper():
            options.append("MODE Z")
        if self._wants_epsv_all():
            options.append("EPSV ALL")
        return options

    def _wants_epsv_all(self) -> bool:
        config, profile = self.config, self.profile
        if not (config.passive and config.extended and profile.epsv_all and profile.extended and profile.features):
            return False
        if config.epsv_all is not None:
            return config.epsv_all
        if "EPSV" not in profile.features or config.proxy is not None:
            return False
        return behind_translator(self.stream.socket.getsockname()[0], self.peer[1][0])

    async def _clear_control(self) -> None:
        reply = await self.ask("CCC")
        if not reply.positive:
            raise TLSFailedError(f"CCC was refused: {reply.code} {reply.text}", server=self.server, command="CCC")
        self._tls_session = self.tls_session
        try:
            await self.stream.end_tls(self.config.timeouts.reply)
        except TimeoutError as error:
            raise TimedOutError("no answer to the end of TLS", server=self.server, command="CCC") from error
        except OSError as error:
            raise TLSFailedError(
                f"TLS did not end in good order: {error}", server=self.server, command="CCC"
            ) from error


def behind_translator(own: str, server: str) -> bool:
    """Whether an address translator must lie between: *own* address is a private one, the *server*'s is not."""
    # Loading it takes longer than a login, and on one machine the answer is known.
    if own == server:
        return False
    from ipaddress import ip_address

    try:
        here, there = ip_address(own.partition("%")[0]), ip_address(server.partition("%")[0])
    except ValueError:
        return False
    return here.is_private and not here.is_loopback and there.is_global
