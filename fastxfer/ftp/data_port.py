"""The end of transfers: the data connection is closed, and the server's verdict fetched or done without."""

from __future__ import annotations

import logging
import time

from fastxfer.ftp.commands import shown
from fastxfer.ftp.data_connection import DataConnection
from fastxfer.ftp.errors import ConnectionLostError, FTPError, ReplyError, TimedOutError
from fastxfer.ftp.ready_transfer import ReadyOpener
from fastxfer.ftp.refusals import GRACE, NOOP_REPLIES, reason
from fastxfer.ftp.replies import Reply

__all__ = ["DataPort"]

log = logging.getLogger("fastxfer.ftp")

_ANSWERING = frozenset({"pure-ftpd", "vsftpd", "proftpd", "fastxfer"})
"""Servers that give one final reply when the client hangs up in the middle of a download."""
_NOOP_WAIT = 10.0
"""Seconds to wait for the answer to a NOOP when the transfer has ended."""


class DataPort(ReadyOpener):
    """Opens the data connections of one session, and ends their transfers."""

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
                reply = await session.reply(data.line, seconds=GRACE if short else None)
                if data.noops and reply.code in NOOP_REPLIES:
                    # A server that reads commands during a transfer.
                    data.noops -= 1
                    reply = None
            if data.preopening:
                await self.open_next()
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
            return await reason(session, data.line, 0.1 if isinstance(error, TimedOutError) else GRACE, data.noops)
        finally:
            session.fail()

    async def break_off(self, data: DataConnection) -> None:
        """Enough was received: hang up, and keep the session where the server answers that with one reply."""
        session = self._session
        data.close()
        if data.final is None and session.profile.kind in _ANSWERING and not data.preopening and not data.noops:
            await reason(session, data.line, GRACE)
        else:
            session.fail()
        if session.broken:
            self.close()

    async def take_back(self, data: DataConnection, path: str) -> bool:
        """Give an upload, and with it the session, up, and remove what the server has stored of it at *path*.

        On the same connection, where nothing overtakes what the server still has to do, and without waiting long.
        False where the server did not say that it is removed.
        """
        session = self._session
        data.reset()
        try:
            reply = data.final
            while reply is None:
                reply = await session.reply(data.line, seconds=GRACE)
                if data.noops and reply.code in NOOP_REPLIES:
                    data.noops -= 1
                    reply = None
            for line in [*["EPSV"] * data.preopening, *["NOOP"] * data.noops]:
                await session.reply(line, seconds=GRACE)
            line = f"DELE {path}"
            await session.send([line])
            return (await session.reply(line, seconds=GRACE)).positive
        except FTPError as error:
            log.debug("%s may keep %s: %s", session.server, path, error)
            return False
        finally:
            self.abandon(data)

    def abandon(self, data: DataConnection) -> None:
        """Give the transfer, and with it the session, up."""
        self._session.fail()
        data.close()
        self.close()
