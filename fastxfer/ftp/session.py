"""One control connection: opening, login, commands and their replies."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any

from fastxfer.core.ftpexchange import Exchange
from fastxfer.ftp.commands import encode, shown
from fastxfer.ftp.config import ClientConfig, Credentials
from fastxfer.ftp.driver import Driver
from fastxfer.ftp.errors import (
    ConnectionFailedError,
    ConnectionLostError,
    FTPError,
    ProtocolError,
    ReplyError,
    TimedOutError,
    TLSFailedError,
    reply_error,
)
from fastxfer.ftp.profile import ServerProfile
from fastxfer.ftp.proxy import connect_through
from fastxfer.ftp.replies import Reply, ReplyQueue
from fastxfer.net.address import Address
from fastxfer.net.stream import Stream
from fastxfer.net.tls_channel import TLSChannel, TLSTruncatedError

__all__ = ["Session"]

log = logging.getLogger("fastxfer.ftp")

_MOST_PRELIMINARY = 50
"""Replies that only say that another will come, before one command is given up: each of them may take its time."""
_ONLY_WORD = "(measured here)"
"""In the 150 that is all Pure-FTPd says of a download whose connection broke: no other reply follows it."""


class Session:
    """A logged-in control connection.

    Its methods raise :class:`~fastxfer.ftp.errors.FTPError` only. After an error that leaves the order of replies in
    doubt :attr:`broken` is true and the session can only be closed.

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
        self.driver = driver
        self.config = config
        self.profile = profile
        self.server = str(address)
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
        self.last_used = time.monotonic()
        self._address = address
        self._credentials = credentials
        self._tls = tls
        self._stream: Stream | None = None
        self._reader = ReplyQueue(config.encoding)
        self._outstanding = 0
        self._failed = False
        self._tls_session: ssl.SSLSession | None = None
        self._peer: tuple[int, tuple[Any, ...]] | None = None

    # State

    @property
    def broken(self) -> bool:
        """Of no more use: a reply is missing, or the connection is gone."""
        return self._failed or self._outstanding != 0 or self._stream is None or self._stream.closed

    @property
    def host(self) -> str:
        return self._address.host

    @property
    def stream(self) -> Stream:
        if self._stream is None:
            raise ConnectionLostError("not connected", server=self.server)
        return self._stream

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

    @property
    def pipelining(self) -> bool:
        """Whether several commands may be sent in one piece."""
        return self.profile.pipelining if self.config.pipelining is None else self.config.pipelining

    def fail(self) -> None:
        """This session is of no more use."""
        self._failed = True

    def close(self) -> None:
        """Close the connection without a word. Idempotent."""
        self._failed = True
        if self._stream is not None:
            self._stream.close()

    def abort(self) -> None:
        """Have whoever waits on the connection find it ended; may be called from another thread."""
        self._failed = True
        if self._stream is not None and not self._stream.closed:
            with contextlib.suppress(OSError):
                self._stream.socket.shutdown(socket.SHUT_RDWR)

    async def quit(self) -> None:
        """Say QUIT, where that makes sense, and close; does not wait for the answer."""
        if not self.broken:
            with contextlib.suppress(OSError):
                await self.stream.send(b"QUIT\r\n", 1.0)
        self.close()

    def let_go(self) -> None:
        """Have nobody wait on the connection: it may get another driver."""
        if self._stream is not None:
            self._stream.let_go()

    def move_to(self, driver: Driver) -> None:
        """Have *driver* wait on the connection from now on, which was let go."""
        old = self.stream
        stream = driver.stream(old.socket)
        stream.channel = old.channel
        self.driver, self._stream = driver, stream

    # Opening

    async def open(self) -> None:
        """Connect, shake hands, log in, and learn what the server can."""
        try:
            await self._connect()
            if self._tls == "implicit":
                await self._start_tls()
            await self._greeting()
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

    # Commands

    async def command(self, line: str, path: str = "") -> Reply:
        """Send one command; its final reply, if that is 2xx or 3xx. *path* is for the error."""
        reply = await self.ask(line)
        if reply.code >= 400:
            raise self.refusal(reply, line, path)
        return reply

    async def ask(self, line: str) -> Reply:
        """Send one command; its final reply, whatever it is."""
        await self.send([line])
        return await self.reply(line)

    async def ask_all(self, lines: Sequence[str]) -> list[Reply]:
        """Send commands, in one piece where the server takes that; their final replies in order."""
        if self.pipelining or len(lines) == 1:
            await self.send(lines)
            return [await self.reply(line) for line in lines]
        return [await self.ask(line) for line in lines]

    def refusal(self, reply: Reply, line: str, path: str = "", bytes_done: int = 0) -> ReplyError:
        """The exception for a negative reply."""
        if reply.code in (500, 502):
            self.profile.refused.add(line.partition(" ")[0].upper())
        return reply_error(
            reply.code, reply.text, server=self.server, command=shown(line), path=path, bytes_done=bytes_done
        )

    async def send(self, lines: Sequence[str]) -> None:
        """Send commands in one piece; as many final replies are to be fetched with :meth:`reply`."""
        await self._send(self._about_to_send(lines), lines[0])

    def _about_to_send(self, lines: Sequence[str]) -> bytes:
        """*lines* as they are sent, counted as sent."""
        encoding = self.config.encoding
        data = b"".join([encode(line, encoding) for line in lines])
        if not self._outstanding:
            self.drop_strays()
        if log.isEnabledFor(logging.DEBUG):
            for line in lines:
                log.debug("%s < %s", self.server, shown(line))
        self._outstanding += len(lines)
        return data

    async def _send(self, data: bytes, line: str) -> None:
        try:
            await self.stream.send(data, self.config.timeouts.reply)
        except OSError as error:
            await self._last_words(error, line)

    async def exchange(
        self,
        exchange: Exchange,
        lines: Sequence[str],
        *,
        transfer_at: int = -1,
        address_at: int = -1,
        next_at: int = -1,
        payload: bytes | None = None,
    ) -> bool:
        """Send commands, and let *exchange* fetch their replies and move the file as far as all takes its course.

        The replies are then to be fetched with :meth:`reply`, as after :meth:`send`. False where the commands were only
        sent.
        """
        data = self._about_to_send(lines)
        sent = exchange.begin(data, len(lines), transfer_at, address_at, next_at, payload)
        if sent != len(data):
            await self._send(data[sent:], lines[0])
            return False
        if not exchange.done:
            await self.driver.carry_exchange(exchange)
        self.take_in(exchange.replies, lines[transfer_at])
        return True

    def take_in(self, data: bytes, line: str) -> None:
        """Have what others have received of the control connection ready for :meth:`reply`."""
        try:
            self._reader.feed(data)
        except ValueError as error:
            self._failed = True
            raise ProtocolError(str(error), server=self.server, command=shown(line)) from error

    def count_sent(self, commands: int) -> None:
        """So many commands were sent by others; their replies are to be fetched, or counted as answered."""
        self._outstanding += commands

    def count_answered(self, commands: int) -> None:
        """So many final replies were received by others, and none of them matters here."""
        self._outstanding -= commands
        self.last_used = time.monotonic()

    async def send_rest(self, data: bytes, line: str) -> None:
        """Send what is left of commands that were counted as sent."""
        await self._send(data, line)

    async def reply(self, line: str = "", *, seconds: float | None = None) -> Reply:
        """The next final reply: not 1xx. *line* is for the error."""
        for _ in range(_MOST_PRELIMINARY):
            reply = await self.any_reply(line, seconds=seconds)
            if reply.code >= 200:
                return reply
        self._failed = True
        raise ProtocolError("preliminary replies without end", server=self.server, command=shown(line))

    async def any_reply(self, line: str = "", *, seconds: float | None = None) -> Reply:
        """The next reply, 1xx too. 421 closes the session and is raised.

        The whole reply is to be there within *seconds*: a server that sends a byte now and then gains no time by it.
        """
        reader = self._reader
        wait = left = self.config.timeouts.reply if seconds is None else seconds
        if wait == float("inf"):
            wait = left = None
        end = 0.0
        try:
            while (reply := reader.take()) is None:
                if wait is not None:
                    now = time.monotonic()
                    end = end or now + wait
                    left = max(end - now, 0.0)
                data = await self.stream.receive(left)
                if not data:
                    self._failed = True
                    raise ConnectionLostError(
                        "the server closed the control connection", server=self.server, command=shown(line)
                    )
                reader.feed(data)
        except FTPError:
            raise
        except TimeoutError as error:
            self._failed = True
            raise TimedOutError(f"no reply within {wait} s", server=self.server, command=shown(line)) from error
        except TLSTruncatedError as error:
            self._failed = True
            raise ConnectionLostError(str(error), server=self.server, command=shown(line)) from error
        except OSError as error:
            self._failed = True
            raise ConnectionLostError(
                f"the control connection broke: {error}", server=self.server, command=shown(line)
            ) from error
        except ValueError as error:
            self._failed = True
            raise ProtocolError(str(error), server=self.server, command=shown(line)) from error
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s > %d %s", self.server, reply.code, reply.text)
        if reply.code < 200 and _ONLY_WORD in reply.lines[-1]:
            reply = Reply(426, reply.lines)
        if reply.code >= 200:
            self._outstanding -= 1
            self.last_used = time.monotonic()
            if reply.code == 421:
                self._failed = True
                raise self.refusal(reply, line)
        return reply

    async def _last_words(self, error: OSError, line: str) -> None:
        """Sending failed: perhaps the server said why before it closed."""
        self._failed = True
        try:
            data = self.stream.receive_now()
            if data:
                self._reader.feed(data)
        except (OSError, ValueError):
            pass
        while (reply := self._reader.take()) is not None:
            if reply.code == 421:
                raise self.refusal(reply, line) from error
        if isinstance(error, TimeoutError):
            raise TimedOutError("the server takes no commands", server=self.server, command=shown(line)) from error
        raise ConnectionLostError(
            f"the control connection broke: {error}", server=self.server, command=shown(line)
        ) from error

    def drop_strays(self) -> None:
        """Replies to nothing must not be taken for the answer to what is sent next."""
        while (reply := self._reader.take()) is not None:
            log.warning("%s sent a reply to nothing: %d %s", self.server, reply.code, reply.text)
            if reply.code == 421:
                self._failed = True
                raise reply_error(reply.code, reply.text, server=self.server)

    def check_refusal(self, line: str) -> None:
        """While the server's data connection is awaited: raise the refusal, if it has come instead."""
        data = self.stream.receive_now()
        if data:
            self._reader.feed(data)
        reply = self._reader.take()
        if reply is None:
            return
        self._failed = True
        if reply.code >= 400:
            raise self.refusal(reply, line)
        raise ProtocolError("the transfer ended before it began", server=self.server, command=shown(line))

    def check(self) -> None:
        """Look, without waiting, whether an idle connection is still there. Raises where it is not."""
        try:
            data = self.stream.receive_now()
            if data:
                self._reader.feed(data)
                self.drop_strays()
        except FTPError:
            raise
        except (OSError, ValueError) as error:
            self._failed = True
            raise ConnectionLostError(f"the control connection broke: {error}", server=self.server) from error
        if data == b"":
            self._failed = True
            raise ConnectionLostError("the server closed the control connection", server=self.server)


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
