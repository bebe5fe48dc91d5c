"""Small files that follow one another on one session, without the objects that other transfers need.

While a file is fetched the connection of the next one is asked for already (``RETR a EPSV``). Once the verdict on the
file has come its caller goes on, and the answer to EPSV is left to the next file, which is asked for without knowing
it: the server makes the connection ready while we put the file in its place, and never waits for us.
"""

from __future__ import annotations

import time

from fastxfer.core.ftpexchange import Exchange
from fastxfer.ftp.data_connection import DataConnection
from fastxfer.ftp.data_opening import BURST, DataOpener
from fastxfer.ftp.errors import ReplyError

__all__ = ["ReadyDownload", "ReadyOpener"]

_SMALL = 65536
"""Bytes that are received along with the replies."""


class ReadyDownload:
    """A small file that has been asked for.

    Attributes:
        exchange: it moves the file, and the replies.
        path: the remote file.
        sized: SIZE was sent ahead.
        owed: the address of the data connection was still to come.
        unsent: what the control connection did not take of the commands; the exchange was not begun then.
    """

    __slots__ = ("exchange", "owed", "path", "sized", "unsent")

    def __init__(self, exchange: Exchange, path: str, sized: bool, owed: bool, unsent: bytes) -> None:
        self.exchange = exchange
        self.path = path
        self.sized = sized
        self.owed = owed
        self.unsent = unsent

    @property
    def before(self) -> list[str]:
        """The commands that went ahead of RETR."""
        return [f"SIZE {self.path}"] if self.sized else []

    @property
    def finals(self) -> int:
        """As many replies were to come, those to EPSV included."""
        return 2 + self.sized + self.owed


class ReadyOpener(DataOpener):
    """Asks for small files on a session on which one has just been fetched."""

    @property
    def ready(self) -> bool:
        """A small file may be asked for at once: one has come a moment ago, and the next one's connection is asked for.

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
        """Fetch the answer to EPSV that was left: before anything but a small download."""
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
            _SMALL,
            transfer_at - 1 if sized else -1,
            file,
            True,
        )
        return ReadyDownload(exchange, path, sized, owed, data[sent:])

    def end_at_once(self, download: ReadyDownload) -> None:
        """Everything took its course, and the session is free."""
        self._session.count_answered(download.finals)
        self._last_end = time.monotonic()

    async def open_at_once(self, download: ReadyDownload) -> DataConnection:
        """As :meth:`open`: go on with *download*, which did not take its course."""
        session, exchange, path = self._session, download.exchange, download.path
        line = f"RETR {path}"
        try:
            session.drop_strays()
            if download.unsent:
                session.take_in(exchange.take_rest() if download.owed else b"", line)
                await session.send_rest(download.unsent, line)
            else:
                session.take_in(exchange.replies, line)
                # It is among those, as far as it has come.
                exchange.take_rest()
            return await self._take_stock(
                exchange,
                line,
                path,
                download.before,
                None,
                ahead=not download.owed,
                preopening=True,
                begun=not download.unsent,
                owed=download.owed,
            )
        except ReplyError:
            raise
        except BaseException:
            session.fail()
            self.close()
            raise
