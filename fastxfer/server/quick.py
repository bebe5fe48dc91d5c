"""Transfers of the machine's files in plain image mode, without a task of their own.

A small download whose data connection stands already is done between two reads of the control connection. An upload
waits in the poll set of the runner and is finished by a call. What needs more than that (TLS, ASCII, compression,
limits, quotas, hooks that are asked, a connection that is still to come) goes the ways of
:mod:`fastxfer.server.transfers`.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from fastxfer.core.xfer import FRAMING_RAW, Transfer
from fastxfer.server import paths, replies
from fastxfer.server.hooks import Direction
from fastxfer.server.localfiles import LocalReader
from fastxfer.server.shortcuts import shorten
from fastxfer.server.transfers import Progress, error_of, failed, receive_file, record, send_file

if TYPE_CHECKING:
    from fastxfer.core.ftpserve import Rest
    from fastxfer.server.localfiles import AtomicWriter
    from fastxfer.server.session import Session

__all__ = ["failure", "go_on", "receive_quickly", "send_quickly"]

logger = logging.getLogger("fastxfer.server")

SMALL = 65536
"""Files up to so many bytes are sent in the loop's own turn, as far as the connection takes them at once."""
HAS_SENDFILE = hasattr(os, "sendfile")


def _simple(session: Session) -> bool:
    """Whether bytes pass as they are and nobody has to be waited for."""
    return not (
        session.private
        or session.type_ascii
        or session.mode_z
        or session.service.awaits_transfers
        or session.account.local is None
    )


def send_quickly(session: Session, path: str, offset: int) -> bytes | Coroutine[Any, Any, None] | None:
    """Send the file at *path* from *offset* on.

    Returns:
        The replies; or a coroutine that finishes what was begun; or None where nothing was done at all.

    Raises:
        OSError: the file cannot be opened.
    """
    data = session.data
    if data is None or session.download_limits or not HAS_SENDFILE or not _simple(session):
        return None
    fd, status = session.account.open_file(path)
    connection = -1
    try:
        count = status.st_size - offset
        if not 0 <= count <= SMALL:
            return None
        connection = data.take_descriptor()
        if connection < 0:
            return None
        progress = Progress(Direction.DOWNLOAD, path, offset, False)
        try:
            progress.moved = os.sendfile(connection, fd, offset, count) if count else 0
            ending = replies.TRANSFER_COMPLETE
        except BlockingIOError:
            progress.moved = 0
        except OSError as error:
            of_file = error.errno == errno.EIO
            ending = failed(session, progress, error if of_file else ConnectionError(error.errno, error.strerror))
        if progress.moved < count and not progress.error:
            reader, fd = LocalReader(fd, status, path), -1
            sock, connection = data.wrap(connection), -1
            return _send_rest(session, path, reader, offset, sock, progress.moved)
        # However that ends, the descriptor is gone.
        given_back, connection = connection, -1
        os.close(given_back)
        (data.close if progress.error else data.keep)()
        record(session, progress)
        if not progress.error:
            shorten(session)
        return b"%b%d%b%b" % (replies.SENDING, count, replies.BYTES, ending)
    finally:
        if fd >= 0:
            os.close(fd)
        if connection >= 0:
            os.close(connection)


def go_on(session: Session, rest: Rest, error: OSError | None = None) -> Coroutine[Any, Any, None] | None:
    """Finish the transfer of which a shortcut has left *rest*: by itself, or by the coroutine.

    With *error*, an upload has failed, and is ended.
    """
    data = session.runtime.data(session)
    local = session.account.local
    assert local is not None
    if len(rest) == 5:
        _, path, fd, connection, moved = rest
        data.settle()
        return _send_rest(session, path, LocalReader(fd, os.fstat(fd), path), 0, data.wrap(connection), moved)
    _, path, fd, connection, directory, partial, unsent, received = rest
    session.control.write(unsent)
    if fd < 0:
        os.close(connection)
        _end_unnamed(session, path, error or OSError(received, os.strerror(received), path))
        return None
    writer = local.adopt_upload(path, fd, directory, partial, paths.basename(path), replace=True)
    upload = _Upload(session, path, connection, writer, received)
    if error is None:
        upload.begin()
    else:
        upload.fail(error)
    return None


def _end_unnamed(session: Session, path: str, error: OSError) -> None:
    """End an upload of which nothing could be kept."""
    progress = Progress(Direction.UPLOAD, path, 0, False)
    session.control.write(failed(session, progress, error))
    session.runtime.data(session).close()
    record(session, progress)


def failure(number: int, of_file: bool) -> OSError:
    """Why an upload has failed: the file did, or the connection."""
    return (OSError if of_file else ConnectionError)(number, os.strerror(number))


async def _send_rest(
    session: Session, path: str, reader: LocalReader, offset: int, sock: socket.socket, moved: int
) -> None:
    try:
        await send_file(session, path, reader, offset, sock, moved)
    finally:
        await reader.close()


def receive_quickly(session: Session, path: str) -> bool | Coroutine[Any, Any, None]:
    """Receive the whole file *path*.

    Returns:
        True: it is under way, and the rest happens by itself; or a coroutine that does it; or False where nothing was
        done at all.

    Raises:
        OSError: the file cannot be opened for writing.
    """
    data = session.data
    if data is None or session.upload_limits or session.config.uploads.fsync or not _simple(session):
        return False
    writer = session.account.open_upload(path)
    if writer is None:
        return False
    try:
        connection = data.take_descriptor()
    except BaseException:
        writer.abort_now()
        raise
    if connection < 0:
        return receive_file(session, path, writer, False, replies.OPENING)
    session.control.write(replies.OPENING)
    _Upload(session, path, connection, writer).begin()
    return True


class _Upload:
    """An upload under way; it takes the place of a task as what the control connection is busy with."""

    __slots__ = ("_connection", "_error", "_progress", "_session", "_transfer", "_writer")

    def __init__(self, session: Session, path: str, connection: int, writer: AtomicWriter, received: int = 0) -> None:
        self._session = session
        self._connection = connection
        self._writer = writer
        timeouts = session.config.timeouts
        self._transfer = Transfer(
            connection,
            framing=FRAMING_RAW,
            recv_fd=writer.fileno(),
            recv_offset=received,
            timeout=timeouts.transfer or None,
            idle_timeout=timeouts.data_stall or None,
        )
        self._progress = Progress(Direction.UPLOAD, path, received, False)
        self._error: OSError | None = None
        self._progress.counter = self._transfer

    def begin(self) -> None:
        """Go on with it; its 150 was said."""
        session = self._session
        session.progress = self._progress
        session.runtime.count_active(1)
        try:
            ended = session.runtime.runner.begin(self._transfer, self._ended)
        except BaseException:
            self._writer.abort_now()
            os.close(self._connection)
            session.progress = None
            session.runtime.count_active(-1)
            raise
        if ended:
            self._finish()
        else:
            session.control.hold(self)

    def fail(self, error: OSError) -> None:
        """End it: it has failed already."""
        self._error = error
        self._session.runtime.count_active(1)
        self._finish()

    def cancel(self) -> None:
        """End it soon: at ABOR, or because the control connection is gone."""
        self._transfer.cancel()

    def _ended(self) -> None:
        control = self._session.control
        try:
            self._finish()
        except Exception as error:
            control.fault("STOR", error)
        finally:
            control.release()

    def _finish(self) -> None:
        """Name the file, or leave it unfinished; reply, and tidy up."""
        session, progress, transfer = self._session, self._progress, self._transfer
        data = session.runtime.data(session)
        tidy = data.close
        progress.settle()
        try:
            if self._error is not None:
                raise self._error
            if transfer.error:
                raise error_of(transfer)
            self._name_and_reply()
            tidy = data.keep
        except OSError as error:
            with contextlib.suppress(OSError):
                self._writer.abort_now()
            session.control.write(failed(session, progress, error))
        finally:
            # The client has its answer already, and goes on while we tidy up.
            tidy()
            if self._connection >= 0:
                os.close(self._connection)
            session.progress = None
            session.runtime.count_active(-1)
            record(session, progress)
            if not progress.error and session.control.shortcut is None:
                shorten(session)

    def _name_and_reply(self) -> None:
        control = self._session.control
        direct = control.direct()
        sent = -1
        if direct >= 0:
            sent = self._writer.land(self._connection, direct, replies.TRANSFER_COMPLETE)
        if sent < 0:
            self._writer.commit_now()
            control.write(replies.TRANSFER_COMPLETE)
            return
        self._connection = -1
        control.write(replies.TRANSFER_COMPLETE[sent:])
