"""Data connections: who opens them and where, and in which order that and the transfer command are sent.

The fewest round trips for one file are: ask for the address and for the transfer in one piece (``EPSV RETR x``),
connect when the address comes, and read. Where a server is known to read no command while it transfers, the address for
the *next* transfer is asked for in the same piece too (``RETR x EPSV``), so that the next file costs one round trip.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Sequence

from fastxfer.core.ftpexchange import Exchange
from fastxfer.core.ftpwire import parse_epsv, parse_pasv
from fastxfer.ftp.commands import shown
from fastxfer.ftp.data_connection import DataConnection
from fastxfer.ftp.data_sockets import accept, announce, listen, tune
from fastxfer.ftp.errors import (
    ConnectionFailedError,
    ConnectionLostError,
    FTPError,
    ProtocolError,
    ReplyError,
    TimedOutError,
)
from fastxfer.ftp.proxy import connect_through
from fastxfer.ftp.replies import Reply
from fastxfer.ftp.session import Session
from fastxfer.net.stream import Stream
from fastxfer.net.tls_channel import TLSChannel

__all__ = ["DataPort"]

log = logging.getLogger("fastxfer.ftp")

_PREOPENED_LIFE = 5.0
"""Seconds after which a connection opened in advance is not trusted any more: servers and firewalls drop them."""
_BURST = 1.0
"""Seconds between two transfers that make the second one probably not the last."""
_ANSWERING = frozenset({"pure-ftpd", "vsftpd", "proftpd", "fastxfer"})
"""Servers that give one final reply when the client hangs up in the middle of a download."""
_NOOP_REPLIES = frozenset({200, 500, 502})
"""What NOOP is answered with, and a transfer is not."""
_NOOP_WAIT = 10.0
"""Seconds to wait for the answer to a NOOP when the transfer has ended."""
_GRACE = 1.5
"""Seconds to wait for the server's reason when its data connection failed."""


class DataPort:
    """Opens the data connections of one session.

    Args:
        session: a logged-in one.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._preopened: Stream | None = None
        self._preopened_at = 0.0
        self._last_end = 0.0
        self._exchange: Exchange | None = None
        self._exchanging: bool | None = None

    def close(self) -> None:
        """Close what was opened in advance, and let go of the control connection: before that is closed."""
        self._exchanging = False
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None
        if self._preopened is not None:
            self._preopened.close()
            self._preopened = None

    def let_go(self) -> None:
        """Hold nothing that depends on the driver: the session may get another one."""
        self.close()
        self._exchanging = None

    @property
    def quiet(self) -> bool:
        """It is known without much ado that the control connection is open and nothing lies unread on it."""
        return self._exchange is not None and self._exchange.quiet

    def drop_next(self) -> None:
        """Close a connection opened in advance."""
        stream = self._take_preopened()
        if stream is not None:
            stream.close()

    # One transfer

    @property
    def sends_ahead(self) -> bool:
        """Whether a small upload may be sent along with its command, before the server agrees to it."""
        session = self._session
        return session.config.passive and session.config.proxy is None and not session.protected

    async def open(
        self,
        line: str,
        *,
        path: str = "",
        before: Sequence[str] = (),
        restart: int = 0,
        payload: bytes | None = None,
        small: bool = False,
    ) -> DataConnection:
        """Send a transfer command and open its data connection.

        Args:
            line: RETR, STOR, MLSD …
            path: for errors.
            before: commands sent ahead in the same piece; their replies are returned, whatever they are.
            restart: offset in bytes where the transfer is to begin (REST).
            payload: all that is to be sent, if that is little and :attr:`sends_ahead`: it goes out without waiting for
                the server's consent, which saves a round trip. If the server refuses, it throws the bytes away.
            small: little is expected: it is received here, as far as it comes, see :attr:`DataConnection.body`.

        Raises ReplyError where the server refuses; the session is then as usable as before.
        """
        session = self._session
        try:
            if not session.config.passive:
                return await self._open_active(line, path, before, restart)
            if (small or payload is not None) and not restart and self._may_exchange():
                return await self._open_exchanging(line, path, before, payload)
            return await self._open_passive(line, path, before, restart, payload)
        except ReplyError:
            raise
        except BaseException:
            session.fail()
            self.close()
            raise

    async def _open_passive(
        self, line: str, path: str, before: Sequence[str], restart: int, payload: bytes | None
    ) -> DataConnection:
        session = self._session
        ahead = self._take_preopened()
        if ahead is not None:
            preopening = self._wants_preopening()
            try:
                replies = await self._begin([*before], restart, line, ["EPSV"] if preopening else [])
            except BaseException:
                ahead.close()
                raise
            return await self._agreed(ahead, replies, line, path, preopening, payload)
        extended = self._extended()
        ask = "EPSV" if extended else "PASV"
        together = (
            session.profile.passive_seen
            and session.pipelining
            and not restart
            # What follows a proxy's consent at once is lost in some of them.
            and session.config.proxy is None
        )
        if not together:
            replies = await session.ask_all([*before]) if before else []
            stream = await self._passive_stream(await self._passive_address(path))
            try:
                await self._restart(restart, path)
                await session.send([line])
            except BaseException:
                stream.close()
                raise
            return await self._agreed(stream, replies, line, path, False, payload)
        preopening = self._wants_preopening()
        await session.send([*before, ask, line, *(["EPSV"] if preopening else [])])
        replies = [await session.reply(command) for command in before]
        answer = await session.reply(ask)
        if answer.code not in (227, 229):
            return await self._passive_refused(answer, ask, line, path, preopening)
        stream = await self._passive_stream(self._address_in(answer))
        return await self._agreed(stream, replies, line, path, preopening, payload)

    async def _passive_refused(self, answer: Reply, ask: str, line: str, path: str, preopening: bool) -> DataConnection:
        """No address: read what became of the commands sent with the question, then say so."""
        session = self._session
        following = await session.reply(line)
        if preopening:
            await session.reply("EPSV")
        if following.positive:
            raise ProtocolError("a transfer without a data connection", server=session.server, command=line)
        raise session.refusal(answer, ask, path)

    async def _begin(self, before: list[str], restart: int, line: str, after: list[str]) -> list[Reply]:
        session = self._session
        if restart:
            replies = await session.ask_all(before) if before else []
            await self._restart(restart, "")
            await session.send([line, *after])
            return replies
        await session.send([*before, line, *after])
        return [await session.reply(command) for command in before]

    async def _restart(self, restart: int, path: str) -> None:
        if not restart:
            return
        line = f"REST {restart}"
        reply = await self._session.ask(line)
        # Never go on without it: the server would send, or overwrite, from the beginning.
        if reply.code != 350:
            if reply.code < 400:
                raise ProtocolError(f"an odd reply to REST: {reply.code}", server=self._session.server, command=line)
            raise self._session.refusal(reply, line, path)

    async def _agreed(
        self,
        stream: Stream,
        replies: list[Reply],
        line: str,
        path: str,
        preopening: bool,
        payload: bytes | None,
    ) -> DataConnection:
        """The data connection is being opened: see that it opens, and whether the server takes the command."""
        try:
            await self._connected(stream, line)
            failure = None
            if payload is not None:
                failure = await self._send_payload(stream, payload)
            reply = await self._consent(line, path, preopening)
            return self._connection(stream, reply, replies, line, preopening, failure=failure)
        except BaseException:
            stream.close()
            raise

    async def _send_payload(self, stream: Stream, payload: bytes) -> OSError | None:
        """What broke the connection is no error yet: a server that refuses may have closed it, and its reply tells."""
        seconds = self._session.config.timeouts.data
        try:
            await stream.send(payload, seconds)
            await stream.send_eof(seconds)
        except OSError as error:
            return error
        return None

    async def _consent(self, line: str, path: str, preopening: bool) -> Reply:
        """The first reply to the transfer command. Raises where it is a refusal."""
        session = self._session
        reply = await session.any_reply(line)
        if reply.code >= 400:
            if preopening:
                await self._open_next()
            raise session.refusal(reply, line, path)
        if reply.code >= 300:
            raise ProtocolError(
                f"an odd reply to a transfer: {reply.code} {reply.text}", server=session.server, command=line
            )
        session.profile.passive_seen = True
        return reply

    def _connection(
        self,
        stream: Stream | None,
        reply: Reply,
        replies: list[Reply],
        line: str,
        preopening: bool,
        *,
        body: bytes = b"",
        failure: OSError | None = None,
    ) -> DataConnection:
        session = self._session
        channel = None
        if session.protected and session.context is not None:
            channel = TLSChannel(session.context, session.tls_hostname, session.tls_session)
        final = reply if reply.code >= 200 else None
        return DataConnection(stream, channel, reply, replies, line, final, preopening, body, stream is None, failure)

    async def _connected(self, stream: Stream, line: str) -> None:
        session = self._session
        seconds = session.config.timeouts.connect
        try:
            await stream.finish_connect(seconds)
        except TimeoutError as error:
            raise TimedOutError(
                f"the data connection did not open within {seconds} s", server=session.server, command=shown(line)
            ) from error
        except OSError as error:
            raise await self._not_connected(error, line) from error

    async def _not_connected(self, error: OSError, line: str) -> FTPError:
        """What to raise. A server that refuses the command may close its port first: then the refusal is the reason."""
        reason = await self._reason(line, _GRACE)
        if reason is not None:
            return reason
        lost = isinstance(error, (ConnectionResetError, BrokenPipeError))
        kind = ConnectionLostError if lost else ConnectionFailedError
        return kind(f"no data connection: {error}", server=self._session.server, command=shown(line))

    async def finish(self, data: DataConnection, *, bytes_done: int = 0, path: str = "", short: bool = False) -> Reply:
        """The transfer has moved its bytes: close the connection and fetch the server's verdict.

        Args:
            data: the connection.
            bytes_done: for the error.
            path: for the error.
            short: bytes are missing, so the verdict is not worth a long wait. Pure-FTPd never gives any when its
                connection broke.

        Raises ReplyError where the verdict is negative.
        """
        session = self._session
        data.close()
        try:
            reply = data.final
            while reply is None:
                # A second 1xx is a server's progress message.
                reply = await session.reply(data.line, seconds=_GRACE if short else None)
                if data.noops and reply.code in _NOOP_REPLIES:
                    # A server that reads commands during a transfer.
                    data.noops -= 1
                    reply = None
            if data.preopening:
                await self._open_next()
            if data.noops:
                await self._late_noops(data)
        except BaseException:
            session.fail()
            self.close()
            raise
        self._last_end = time.monotonic()
        if reply.code >= 300:
            raise session.refusal(reply, data.line, path, bytes_done)
        if data.failure is not None:
            raise ConnectionLostError(
                f"the data connection broke, though the server calls the transfer complete: {data.failure}",
                server=session.server,
                command=shown(data.line),
                path=path,
            )
        return reply

    async def _late_noops(self, data: DataConnection) -> None:
        """Fetch the answers of a server that reads no command during a transfer. One that drops them costs the session,
        not the transfer."""
        session = self._session
        try:
            for _ in range(data.noops):
                await session.reply("NOOP", seconds=_NOOP_WAIT)
        except FTPError as error:
            log.info("%s did not answer NOOP: %s", session.server, error)
            session.fail()
            self.close()

    async def verdict(self, data: DataConnection, error: FTPError) -> ReplyError | None:
        """The data connection broke: the server's reason, if it tells one soon. The session is given up."""
        session = self._session
        data.close()
        self.close()
        try:
            # One that was silent for so long already will not speak now.
            return await self._reason(data.line, 0.1 if isinstance(error, TimedOutError) else _GRACE, data.noops)
        finally:
            session.fail()

    async def _reason(self, line: str, seconds: float, noops: int = 0) -> ReplyError | None:
        """The refusal that comes within *seconds*, if any; answers to as many *noops* may come before it."""
        session = self._session
        try:
            reply = await session.reply(line, seconds=seconds)
            while noops and reply.code in _NOOP_REPLIES:
                noops -= 1
                reply = await session.reply(line, seconds=seconds)
        except ReplyError as refusal:
            return refusal
        except FTPError:
            return None
        return session.refusal(reply, line) if reply.code >= 400 else None

    async def break_off(self, data: DataConnection) -> None:
        """Enough was received: hang up, and keep the session where the server answers that with one reply."""
        session = self._session
        data.close()
        if data.final is None and session.profile.kind in _ANSWERING and not data.preopening and not data.noops:
            await self._reason(data.line, _GRACE)
        else:
            session.fail()
        if session.broken:
            self.close()

    def abandon(self, data: DataConnection) -> None:
        """Give the transfer, and with it the session, up."""
        self._session.fail()
        data.close()
        self.close()

    # Passive

    def _extended(self) -> bool:
        session = self._session
        family, peer = session.peer
        # An IPv4 server behind an IPv6 socket knows nothing of IPv6.
        if session.epsv_only or (family == socket.AF_INET6 and not str(peer[0]).startswith("::ffff:")):
            return True
        return session.config.extended and session.profile.extended

    async def _passive_address(self, path: str) -> tuple[str | None, int]:
        session = self._session
        if self._extended():
            reply = await session.ask("EPSV")
            if reply.code == 229:
                return self._address_in(reply)
            if session.epsv_only or reply.code not in (500, 501, 502, 504, 522):
                raise session.refusal(reply, "EPSV", path)
            session.profile.extended = False
        reply = await session.ask("PASV")
        if reply.code != 227:
            if reply.code < 400:
                raise ProtocolError(f"an odd reply to PASV: {reply.code}", server=session.server, command="PASV")
            raise session.refusal(reply, "PASV", path)
        return self._address_in(reply)

    def _address_in(self, reply: Reply) -> tuple[str | None, int]:
        """Host (None: the server's own) and port."""
        session = self._session
        try:
            if reply.code == 229:
                return None, parse_epsv(reply.text)
            host, port = parse_pasv(reply.text)
        except ValueError as error:
            raise ProtocolError(str(error), server=session.server) from error
        # An address other than the server's would make the client a tool against third parties.
        return (host if session.config.trust_passive_address else None), port

    async def _passive_stream(self, address: tuple[str | None, int]) -> Stream:
        session = self._session
        host, port = address
        config = session.config
        if config.proxy is not None:
            return await self._proxied_stream(host, port)
        family, peer = session.peer
        stream = session.driver.stream(socket.socket(family, socket.SOCK_STREAM))
        try:
            tune(config, stream.socket)
            if config.local_address is not None:
                stream.socket.bind((config.local_address, 0))
            stream.begin_connect((host or peer[0], port, *peer[2:]))
        except OSError as error:
            stream.close()
            raise ConnectionFailedError(f"no data connection: {error}", server=session.server) from error
        return stream

    async def _proxied_stream(self, host: str | None, port: int) -> Stream:
        session = self._session
        config = session.config
        try:
            return await connect_through(
                session.driver, config.proxy or "", host or session.host, port, config.timeouts.connect
            )
        except TimeoutError as error:
            raise TimedOutError("the proxy opened no data connection in time", server=session.server) from error
        except OSError as error:
            raise ConnectionFailedError(
                f"no data connection through the proxy: {error}", server=session.server
            ) from error

    # Small files, in one go

    async def ask_all(self, lines: Sequence[str]) -> list[Reply]:
        """As :meth:`Session.ask_all`, in the quickest way there is."""
        session = self._session
        if self._exchange is None or not session.pipelining:
            return await session.ask_all(lines)
        await session.exchange(self._exchange, lines)
        return [await session.reply(line) for line in lines]

    def _may_exchange(self) -> bool:
        """Whether commands, replies and data of a small file may be left to an exchange."""
        session = self._session
        if self._exchanging is None:
            config = session.config
            self._exchanging = (
                not session.protected
                and not session.compressed
                and session.stream.channel is None
                and config.proxy is None
                and config.local_address is None
                and config.socket_buffer is None
                and config.congestion_control is None
                and not config.trust_passive_address
            )
        return (
            self._exchanging
            and self._preopened is None
            and session.profile.passive_seen
            and session.pipelining
            and self._extended()
        )

    async def _open_exchanging(
        self, line: str, path: str, before: Sequence[str], payload: bytes | None
    ) -> DataConnection:
        """As :meth:`open`; what the server sends meanwhile is received, too, as long as all takes its course."""
        session = self._session
        if self._exchange is None:
            self._exchange = session.driver.exchange(session.stream.socket, *session.peer)
            if self._exchange is None:
                self._exchanging = False
                return await self._open_passive(line, path, before, 0, payload)
        exchange = self._exchange
        if exchange.next_age > _PREOPENED_LIFE:
            os.close(exchange.detach_next())
        ahead = exchange.next_age >= 0
        preopening = self._wants_preopening()
        ask = [] if ahead else ["EPSV"]
        lines = [*before, *ask, line, *(["EPSV"] if preopening else [])]
        transfer_at = len(before) + len(ask)
        begun = await session.exchange(
            exchange,
            lines,
            transfer_at=transfer_at,
            address_at=-1 if ahead else len(before),
            next_at=len(lines) - 1 if preopening else -1,
            payload=payload,
        )
        replies = [await session.reply(command) for command in before]
        address = None
        if not ahead:
            answer = await session.reply("EPSV")
            if answer.code != 229:
                return await self._passive_refused(answer, "EPSV", line, path, preopening)
            address = self._address_in(answer)
        fd = exchange.detach() if begun else exchange.detach_next()
        if begun and exchange.ended:
            reply = await self._consent(line, path, preopening)
            return self._connection(None, reply, replies, line, preopening, body=exchange.body)
        if fd < 0:
            assert address is not None
            stream = await self._passive_stream(address)
        else:
            stream = session.driver.stream(socket.socket(session.peer[0], socket.SOCK_STREAM, 0, fd))
            stream.connecting = not exchange.connected
        failure = OSError(exchange.data_error, os.strerror(exchange.data_error)) if exchange.data_error else None
        if failure is None and (payload is not None or not begun):
            rest = None if payload is None else payload[exchange.sent if begun else 0 :]
            return await self._agreed(stream, replies, line, path, preopening, rest)
        try:
            if failure is not None and not exchange.connected:
                raise await self._not_connected(failure, line) from failure
            if failure is None:
                await self._connected(stream, line)
            reply = await self._consent(line, path, preopening)
        except BaseException:
            stream.close()
            raise
        return self._connection(stream, reply, replies, line, preopening, body=exchange.body, failure=failure)

    # The next one

    def _wants_preopening(self) -> bool:
        session = self._session
        wanted = session.config.preopen
        if wanted is None:
            wanted = session.profile.preopening
        return (
            wanted
            and session.pipelining
            and session.config.proxy is None
            and self._extended()
            and time.monotonic() - self._last_end < _BURST
        )

    async def _open_next(self) -> None:
        """Read the answer to the EPSV sent along, and begin to connect."""
        session = self._session
        reply = await session.reply("EPSV")
        if reply.code != 229 or (self._exchange is not None and self._exchange.next_age >= 0):
            return
        try:
            self._preopened = await self._passive_stream(self._address_in(reply))
        except ConnectionFailedError:
            return
        self._preopened_at = time.monotonic()

    def _take_preopened(self) -> Stream | None:
        stream, self._preopened = self._preopened, None
        if self._exchange is not None and self._exchange.next_age >= 0:
            age = self._exchange.next_age
            session = self._session
            taken = socket.socket(session.peer[0], socket.SOCK_STREAM, 0, self._exchange.detach_next())
            stream, self._preopened_at = session.driver.stream(taken), time.monotonic() - age
            stream.connecting = True
        if stream is not None and time.monotonic() - self._preopened_at > _PREOPENED_LIFE:
            stream.close()
            return None
        return stream

    # Active

    async def _open_active(self, line: str, path: str, before: Sequence[str], restart: int) -> DataConnection:
        session = self._session
        listener = listen(session)
        try:
            replies = await session.ask_all(before) if before else []
            await announce(session, listener, path, extended=self._extended())
            await self._restart(restart, path)
            await session.send([line])
            reply = await session.any_reply(line)
            if reply.code >= 400:
                raise session.refusal(reply, line, path)
            stream = await accept(session, listener, line)
        finally:
            listener.close()
        return self._connection(stream, reply, replies, line, False)
