"""A control connection: commands go out, their replies come in, in order (RFC 959, section 5.4)."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Sequence

from fastxfer.core.ftpexchange import Exchange
from fastxfer.ftp.commands import encode, shown
from fastxfer.ftp.config import ClientConfig
from fastxfer.ftp.driver import Driver
from fastxfer.ftp.errors import (
    ConnectionLostError,
    FTPError,
    ProtocolError,
    ReplyError,
    TimedOutError,
    reply_error,
)
from fastxfer.ftp.profile import ServerProfile
from fastxfer.ftp.replies import Reply, ReplyQueue
from fastxfer.net.stream import Stream
from fastxfer.net.tls_channel import TLSTruncatedError

__all__ = ["ControlConnection"]

log = logging.getLogger("fastxfer.ftp")

_MOST_PRELIMINARY = 50
"""Replies that only say that another will come, before one command is given up: each of them may take its time."""
_ONLY_WORD = "(measured here)"
"""In the 150 that is all Pure-FTPd says of a download whose connection broke: no other reply follows it."""


class ControlConnection:
    """Commands and their replies.

    Its methods raise :class:`~fastxfer.ftp.errors.FTPError` only. After an error that leaves the order of replies in
    doubt :attr:`broken` is true and the connection can only be closed.

    Args:
        driver: the outside world.
        config: settings.
        server: its address, for errors and logs.
        profile: what is known of the server; added to.
    """

    def __init__(self, driver: Driver, config: ClientConfig, server: str, profile: ServerProfile) -> None:
        self.driver = driver
        self.config = config
        self.profile = profile
        self.server = server
        self.last_used = time.monotonic()
        self._stream: Stream | None = None
        self._reader = ReplyQueue(config.encoding)
        self._outstanding = 0
        self._failed = False

    # State

    @property
    def broken(self) -> bool:
        """Of no more use: a reply is missing, or the connection is gone."""
        return self._failed or self._outstanding != 0 or self._stream is None or self._stream.closed

    @property
    def stream(self) -> Stream:
        if self._stream is None:
            raise ConnectionLostError("not connected", server=self.server)
        return self._stream

    @property
    def pipelining(self) -> bool:
        """Whether several commands may be sent in one piece."""
        return self.profile.pipelining if self.config.pipelining is None else self.config.pipelining

    def fail(self) -> None:
        """It is of no more use."""
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
