"""How a listing gets to the client."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from fastxfer.core.ftpserve import send_now
from fastxfer.core.transforms import Deflate
from fastxfer.server import replies
from fastxfer.server.datastream import DataStream
from fastxfer.server.hooks import Direction
from fastxfer.server.listing import CHUNK
from fastxfer.server.transfers import Progress, failed

if TYPE_CHECKING:
    from fastxfer.core.ftpwire import DirectoryLister
    from fastxfer.server.session import Session

__all__ = ["send_directory", "send_listing", "stepwise"]

SLOW_PIECE = 0.005
"""Seconds that a piece may take on the event loop; after a slower one the rest is made in a thread."""
_SENT = replies.OPENING + replies.TRANSFER_COMPLETE


def send_directory(session: Session, path: str, lister: DirectoryLister) -> bytes | Coroutine[Any, Any, None]:
    """Send what *lister* makes of the directory *path*: at once, where it is little and the connection stands already.

    Returns:
        The replies; or a coroutine that sends it, with all replies.
    """
    data = session.runtime.data(session)
    if session.private or session.mode_z or (connection := data.take_descriptor()) < 0:
        return send_listing(session, path, lister)
    try:
        piece = next(lister, b"")
        sent = send_now(connection, piece, len(piece) < CHUNK)
        if sent == len(piece) < CHUNK:
            # However that ends, the descriptor is gone.
            given_back, connection = connection, -1
            os.close(given_back)
            data.keep()
            return _SENT
        sock, connection = data.wrap(connection), -1
        rest = (piece[sent:],) if sent < len(piece) else ()
        return send_listing(session, path, itertools.chain(rest, lister), sock)
    except OSError as error:
        data.close()
        return replies.OPENING + failed(session, Progress(Direction.DOWNLOAD, path, 0, False), error)
    finally:
        if connection >= 0:
            os.close(connection)


async def send_listing(
    session: Session,
    path: str,
    pieces: AsyncIterator[bytes] | Iterator[bytes],
    sock: socket.socket | None = None,
) -> None:
    """Send *pieces* over the data connection, which is *sock* if it was taken already, with all replies."""
    progress = Progress(Direction.DOWNLOAD, path, 0, session.private)
    session.runtime.begins(session, progress)
    opening = replies.OPENING
    data = session.runtime.data(session)
    write = session.control.write
    tidy = data.close

    def announce() -> None:
        """Most clients read nothing of the data before they have read this.

        It is not said earlier than it must be: lftp takes a compressed listing (MODE Z) for whole too early where the
        last reply comes after it.
        """
        nonlocal opening
        if opening:
            write(opening)
            opening = b""

    try:
        if progress.aborted:
            # Nothing below may have to wait.
            await asyncio.sleep(0)
        sock = sock or data.take_now()
        if sock is None:
            announce()
            sock = await data.take()
        stream = DataStream.of(session, sock)
        stream.before_waiting = announce
        if session.private:
            announce()
            await session.runtime.data_handshake(session, stream)
        deflate = Deflate(session.zlevel) if session.mode_z else None
        async for piece in stepwise(pieces):
            await stream.send(deflate.update(piece) if deflate is not None else piece)
            progress.moved += len(piece)
        if deflate is not None:
            await stream.send(deflate.finish())
        await stream.finish()
        sock.close()
        write(opening + replies.TRANSFER_COMPLETE)
        tidy = data.keep
    except BaseException as error:
        write(opening + failed(session, progress, error))
    finally:
        tidy()
        if sock is not None:
            sock.close()
        session.progress = None


async def stepwise(pieces: AsyncIterator[bytes] | Iterator[bytes]) -> AsyncIterator[bytes]:
    """Each piece in its turn; on the loop while that is quick, else in a thread."""
    if isinstance(pieces, AsyncIterator):
        async for piece in pieces:
            yield piece
        return
    slow = False
    loop = asyncio.get_running_loop()
    while True:
        if slow:
            piece = await loop.run_in_executor(None, next, pieces, b"")
        else:
            began = time.monotonic()
            piece = next(pieces, b"")
            slow = time.monotonic() - began > SLOW_PIECE
        if not piece:
            return
        yield piece
        if not slow:
            # A client that takes all at once makes no pauses in which other sessions have their turn.
            await asyncio.sleep(0)
