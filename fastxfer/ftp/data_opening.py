"""The opening of data connections: who opens them and where, and in which order that and the transfer command are sent.

The fewest round trips for one file are: ask for the address and for the transfer in one piece (``EPSV RETR x``),
connect when the address comes, and read. Where a server is known to read no command while it transfers, the address for
the *next* transfer is asked for in the same piece too (``RETR x EPSV``), so that the next file costs one round trip.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence

from fastxfer.core.ftpexchange import Exchange
from fastxfer.ftp.commands import shown
from fastxfer.ftp.data_connection import DataConnection
from fastxfer.ftp.data_sockets import accept, announce, listen
from fastxfer.ftp.errors import (
    ConnectionFailedError,
    ConnectionLostError,
    FTPError,
    ProtocolError,
    ReplyError,
    TimedOutError,
)
from fastxfer.ftp.passive import address_in, extended, passive_address, passive_stream
from fastxfer.ftp.refusals import GRACE, reason
from fastxfer.ftp.replies import Reply
from fastxfer.ftp.session import Session
from fastxfer.net.stream import Stream
from fastxfer.net.tls_channel import TLSChannel

__all__ = ["BURST", "DataOpener"]

_PREOPENED_LIFE = 5.0
"""Seconds after which a connection opened in advance is not trusted any more: servers and firewalls drop them."""
BURST = 1.0
"""Seconds between two transfers that make the second one probably not the last."""


class DataOpener:
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
        # The answer to EPSV is still to come, and so much of it has.
        self._owed = False
        self._rest = b""

    def close(self) -> None:
        """Close what was opened in advance, and let go of the control connection: before that is closed."""
        self._exchanging = False
        if self._exchange is not None:
            if self._exchange.owes:
                self._owed, self._rest = True, self._exchange.take_rest()
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
        ask = "EPSV" if extended(session) else "PASV"
        together = (
            session.profile.passive_seen
            and session.pipelining
            and not restart
            # What follows a proxy's consent at once is lost in some of them.
            and session.config.proxy is None
        )
        if not together:
            replies = await session.ask_all([*before]) if before else []
            stream = await passive_stream(session, await passive_address(session, path))
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
        stream = await passive_stream(session, address_in(session, answer))
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
        seconds = self._session.config.timeouts.sending
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
                await self.open_next()
            raise session.refusal(reply, line, path)
        if reply.code >= 300:
            raise ProtocolError(
                f"an odd reply to a transfer: {reply.code} {reply.text}", server=session.server, command=line
            )
        session.profile.passive_seen = True
        session.profile.consenting = session.profile.consenting or reply.preliminary
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
        refusal = await reason(self._session, line, GRACE)
        if refusal is not None:
            return refusal
        lost = isinstance(error, (ConnectionResetError, BrokenPipeError))
        kind = ConnectionLostError if lost else ConnectionFailedError
        return kind(f"no data connection: {error}", server=self._session.server, command=shown(line))

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
        return self._exchanging and session.profile.passive_seen and session.pipelining and extended(session)

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
        if self._preopened is not None:
            exchange.adopt_next(self._preopened.give_up(), time.monotonic() - self._preopened_at)
            self._preopened = None
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
        return await self._take_stock(
            exchange, line, path, before, payload, ahead=ahead, preopening=preopening, begun=begun
        )

    async def _take_stock(
        self,
        exchange: Exchange,
        line: str,
        path: str,
        before: Sequence[str],
        payload: bytes | None,
        *,
        ahead: bool,
        preopening: bool,
        begun: bool,
        owed: bool = False,
    ) -> DataConnection:
        """Go on from where *exchange* stands. It had its data connection *ahead* or not; *owed*: the answer that tells
        where that is comes before all others.
        """
        session = self._session
        answer = await session.reply("EPSV") if owed else None
        replies = [await session.reply(command) for command in before]
        address = None
        if not ahead:
            if answer is None:
                answer = await session.reply("EPSV")
            if answer.code != 229:
                return await self._passive_refused(answer, "EPSV", line, path, preopening)
            address = address_in(session, answer)
        fd = exchange.detach() if begun else exchange.detach_next()
        if begun and exchange.ended:
            reply = await self._consent(line, path, preopening)
            return self._connection(None, reply, replies, line, preopening, body=exchange.body)
        if fd < 0:
            assert address is not None
            stream = await passive_stream(session, address)
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
            and extended(session)
            and time.monotonic() - self._last_end < BURST
        )

    async def open_next(self) -> None:
        """Read the answer to the EPSV sent along, and begin to connect."""
        session = self._session
        reply = await session.reply("EPSV")
        if reply.code != 229 or (self._exchange is not None and self._exchange.next_age >= 0):
            return
        try:
            self._preopened = await passive_stream(session, address_in(session, reply))
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
            await announce(session, listener, path, extended=extended(session))
            await self._restart(restart, path)
            await session.send([line])
            reply = await session.any_reply(line)
            if reply.code >= 400:
                raise session.refusal(reply, line, path)
            stream = await accept(session, listener, line)
        finally:
            listener.close()
        return self._connection(stream, reply, replies, line, False)
