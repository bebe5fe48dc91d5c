"""Small files that follow one another on one session, without the objects that other transfers need.

While a file is moved the connection of the next one is asked for already: ``RETR a EPSV``, and ``STOR a``, upon its
confirmation ``RNFR a RNTO b EPSV``. Once the verdict on the file has come its caller goes on, and the answer to EPSV is
left to the next file, which is asked for without knowing it: the server makes the connection ready while we deal with
the local files, and never waits for us.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from fastxfer.core.ftpexchange import Exchange
from fastxfer.ftp.data_connection import DataConnection
from fastxfer.ftp.data_opening import BURST, DataOpener
from fastxfer.ftp.errors import ProtocolError, ReplyError
from fastxfer.ftp.replies import Reply

__all__ = ["SMALL", "ReadyDownload", "ReadyOpener", "ReadyTransfer", "ReadyUpload"]

SMALL = 65536
"""Bytes of a file that is received along with the replies."""
_FOLLOWING = 3
"""RNFR, RNTO and EPSV."""


class ReadyTransfer(ABC):
    """A small file that has been asked for, or sent.

    Attributes:
        exchange: it moves the file, and the replies.
        path: the remote file.
        owed: the address of the data connection was still to come.
        commands: as many replies to them were to come, that to EPSV before them included.
        unsent: what the control connection did not take of them; the exchange was not begun then.
        payload: what is sent; None for a download.
        request: what is to go out when the server has confirmed it: RNFR, RNTO and EPSV, if the name is given then.
    """

    __slots__ = ("commands", "exchange", "owed", "path", "payload", "request", "unsent")

    def __init__(
        self,
        exchange: Exchange,
        path: str,
        owed: bool,
        commands: int,
        unsent: bytes,
        payload: bytes | None = None,
        request: bytes | None = None,
    ) -> None:
        self.exchange = exchange
        self.path = path
        self.owed = owed
        self.commands = commands
        self.unsent = unsent
        self.payload = payload
        self.request = request

    @property
    @abstractmethod
    def line(self) -> str:
        """The transfer command."""

    @property
    def before(self) -> list[str]:
        """The commands that went ahead of it."""
        return []

    @property
    def request_sent(self) -> int:
        """Bytes of *request* that were sent."""
        return 0 if self.unsent else self.exchange.then_sent


class ReadyDownload(ReadyTransfer):
    """A small file that has been asked for."""

    __slots__ = ("sized",)

    sized: bool
    """SIZE was sent ahead."""

    @property
    def line(self) -> str:
        return f"RETR {self.path}"

    @property
    def before(self) -> list[str]:
        return [f"SIZE {self.path}"] if self.sized else []


class ReadyUpload(ReadyTransfer):
    """A small file that has been sent."""

    __slots__ = ("written",)

    written: str
    """The name that it is stored under."""

    @property
    def line(self) -> str:
        return f"STOR {self.written}"


class ReadyOpener(DataOpener):
    """Asks for and sends small files on a session on which one has just been moved."""

    @property
    def ready(self) -> bool:
        """A small file may be moved at once: one was a moment ago, and the next one's connection is asked for.

        Nothing lies unread that might be taken for an answer, as far as that can be told.
        """
        exchange = self._exchange
        if exchange is None or self._session.type != "I":
            return False
        if exchange.owes:
            return time.monotonic() - self._last_end < BURST
        return 0 <= exchange.next_age < BURST and exchange.quiet

    @property
    def owing(self) -> bool:
        """The answer to EPSV is still to come: see :meth:`collect`."""
        return self._owed or (self._exchange is not None and self._exchange.owes)

    async def collect(self) -> None:
        """Fetch the answer to EPSV that was left: before anything but a small file."""
        session, exchange = self._session, self._exchange
        if exchange is not None and exchange.owes:
            exchange.resume()
            if not exchange.done:
                await session.driver.carry_exchange(exchange)
            if not self.owing:
                return
            self._owed, self._rest = True, exchange.take_rest()
        self._owed, rest = False, self._rest
        session.count_sent(1)
        session.take_in(rest, "EPSV")
        await session.reply("EPSV")

    def ask_at_once(self, path: str, sized: bool, file: int) -> ReadyDownload | None:
        """Ask for a small file where :attr:`ready`; None where it can not be, and nothing was sent.

        Args:
            path: the remote file.
            sized: ask for its size, too, and compare.
            file: descriptor of the empty file that it is written to.
        """
        session, exchange = self._session, self._exchange
        assert exchange is not None
        try:
            raw = path.encode(session.config.encoding, "surrogateescape").replace(b"\xff", b"\xff\xff")
        except UnicodeEncodeError:
            return None
        owed = exchange.owes
        if sized:
            data, transfer_at = b"SIZE %b\r\nRETR %b\r\nEPSV\r\n" % (raw, raw), 1 + owed
        else:
            data, transfer_at = b"RETR %b\r\nEPSV\r\n" % raw, 0 + owed
        next_at = transfer_at + 1
        session.count_sent(next_at + 1)
        sent = exchange.begin(
            data,
            next_at + 1,
            transfer_at,
            0 if owed else -1,
            next_at,
            None,
            SMALL,
            transfer_at - 1 if sized else -1,
            file,
            True,
        )
        asked = ReadyDownload(exchange, path, owed, next_at + 1, data[sent:])
        asked.sized = sized
        return asked

    def send_at_once(self, written: str, path: str, payload: bytes) -> ReadyUpload | None:
        """Send a small file where :attr:`ready`; None where it can not be, and nothing was sent.

        Args:
            written: the name that it is stored under, and what may be RNFR's.
            path: the name that it gets once the server has confirmed it.
            payload: all of it.
        """
        session, exchange = self._session, self._exchange
        assert exchange is not None
        encoding = session.config.encoding
        try:
            raw = written.encode(encoding, "surrogateescape").replace(b"\xff", b"\xff\xff")
            if written == path:
                data, request = b"STOR %b\r\nEPSV\r\n" % raw, None
            else:
                name = path.encode(encoding, "surrogateescape").replace(b"\xff", b"\xff\xff")
                data, request = b"STOR %b\r\n" % raw, b"RNFR %b\r\nRNTO %b\r\nEPSV\r\n" % (raw, name)
        except UnicodeEncodeError:
            return None
        owed = exchange.owes
        transfer_at = 0 + owed
        if request is None:
            finals, commands, named_at = transfer_at + 2, transfer_at + 2, -1
        else:
            finals, commands, named_at = transfer_at + 4, transfer_at + 1, transfer_at + 2
        session.count_sent(commands)
        sent = exchange.begin(
            data,
            finals,
            transfer_at,
            0 if owed else -1,
            finals - 1,
            payload,
            SMALL,
            -1,
            -1,
            True,
            request,
            named_at,
        )
        sending = ReadyUpload(exchange, path, owed, commands, data[sent:], payload, request)
        sending.written = written
        return sending

    def end_at_once(self, transfer: ReadyTransfer) -> None:
        """Everything took its course, and the session is free."""
        self._session.count_answered(transfer.commands)
        self._last_end = time.monotonic()

    async def open_at_once(self, transfer: ReadyTransfer) -> DataConnection:
        """As :meth:`open`: go on with *transfer*, which did not take its course."""
        session, exchange, line = self._session, transfer.exchange, transfer.line
        try:
            session.drop_strays()
            if transfer.request_sent:
                session.count_sent(_FOLLOWING)
            if transfer.unsent:
                session.take_in(exchange.take_rest() if transfer.owed else b"", line)
                await session.send_rest(transfer.unsent, line)
            else:
                session.take_in(exchange.replies, line)
                # It is among those, as far as it has come.
                exchange.take_rest()
            return await self._take_stock(
                exchange,
                line,
                transfer.path,
                transfer.before,
                transfer.payload,
                ahead=not transfer.owed,
                preopening=transfer.request is None,
                begun=not transfer.unsent,
                owed=transfer.owed,
            )
        except ReplyError:
            raise
        except BaseException:
            session.fail()
            self.close()
            raise

    async def follow_up(self, sending: ReadyUpload) -> list[Reply]:
        """The replies to RNFR and RNTO, which went out behind *sending*, by now finished; none where they did not."""
        session, sent, request = self._session, sending.request_sent, sending.request
        if request is None or not sent:
            return []
        lines = [f"RNFR {sending.written}", f"RNTO {sending.path}"]
        try:
            if rest := request[sent:]:
                await session.send_rest(rest, lines[0])
            replies = [await session.reply(line) for line in lines]
            await self.open_next()
            if replies[0].positive:
                raise ProtocolError(f"an odd reply to RNFR: {replies[0].code}", server=session.server, command=lines[0])
        except BaseException:
            session.fail()
            self.close()
            raise
        return replies
