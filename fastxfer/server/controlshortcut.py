"""The side of a control connection on which small files are served natively (see :mod:`fastxfer.server.shortcuts`)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol, cast

from fastxfer.server.config import ListenerConfig
from fastxfer.server.controlwire import ControlWire
from fastxfer.server.quick import failure, go_on
from fastxfer.server.replies import from_os_error
from fastxfer.server.session import Session

if TYPE_CHECKING:
    from fastxfer.core.ftpserve import Rest, Shortcut
    from fastxfer.server.runtime import Runtime

__all__ = ["ControlShortcut", "Running"]


class Running(Protocol):
    """What carries out a command that takes longer: a task, or something lighter."""

    def cancel(self) -> object: ...


class ControlShortcut(ControlWire):
    """What :class:`fastxfer.server.control.Control` is while a shortcut carries out its commands."""

    __slots__ = ("_task", "last", "shortcut")

    def __init__(self, runtime: Runtime, listener: ListenerConfig, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(runtime, listener, loop)
        self._task: Running | None = None
        self.last = loop.time()
        """When the client was last heard."""
        self.shortcut: Shortcut | None = None
        """What carries out the commands around small files, while nothing else is asked for."""

    if TYPE_CHECKING:
        # What the whole control connection does.

        def _begin(self, awaitable: Awaitable[bytes | None], verb: str) -> None: ...

        def release(self) -> None: ...

        def fault(self, verb: str, error: BaseException) -> None: ...

    def _serve(self, shortcut: Shortcut, line: bytes) -> bool:
        """Whether *line* was carried out by the shortcut."""
        if self._transport.get_write_buffer_size():
            return False
        done = shortcut.serve(line)
        if done is False:
            return False
        if (session := self.session) is not None:
            # Nothing but RNTO may follow RNFR.
            session.rename_from = ""
        self.last = self._loop.time()
        if done is not True and done is not None:
            self._follow(done)
        return True

    def _end_shortcut(self) -> None:
        data = cast(Session, self.session).data
        if data is not None:
            data.settle()

    def take_over(self, latest: float = float("inf")) -> None:
        """Make an upload that native code waits for, since *latest* (:func:`time.monotonic`) or before, an ordinary
        one, which can be cancelled and has its deadlines.
        """
        shortcut = self.shortcut
        if shortcut is not None and 0 < shortcut.uploading_since <= latest:
            rest = shortcut.release()
            if rest is not None:
                self._follow(rest)

    def uploaded(self, end: bytes | tuple[Rest, int, bool]) -> None:
        """Native code has received an upload, or will not, and something is left to be done."""
        if isinstance(end, bytes):
            # No command waits: whatever the client says meanwhile makes the upload an ordinary one.
            self.write(end)
            return
        rest, error, of_file = end
        self._follow(rest, failure(error, of_file) if error else None)
        if self._task is None:
            self.release()

    def _follow(self, rest: bytes | Rest, error: OSError | None = None) -> None:
        """Do what the shortcut has left."""
        if isinstance(rest, bytes):
            self.write(rest)
            return
        try:
            begun = go_on(cast(Session, self.session), rest, error)
            if begun is not None:
                self._begin(begun, rest[0])
        except OSError as failed:
            self.write(from_os_error(failed))
        except Exception as fault:
            self.fault(rest[0], fault)

    def _served(self, shortcut: Shortcut, verb: str, argument: str) -> bool:
        """Whether one of several commands that came together was carried out by the shortcut.

        Uploads are not: what comes behind them would have to wait for what nobody here hears the end of.
        """
        if verb in ("EPSV", "PASV"):
            return not argument and self._serve(shortcut, b"%b\r\n" % verb.encode())
        return verb == "RETR" and self._serve(shortcut, b"RETR %b\r\n" % os.fsencode(argument))

    @property
    def busy(self) -> bool:
        """Whether a command is being carried out."""
        return self._task is not None or (self.shortcut is not None and self.shortcut.uploading_since > 0)

    def silent_for(self, now: float) -> float:
        """Seconds since something was heard of the client, or done for it."""
        shortcut = self.shortcut
        return now - (self.last if shortcut is None else max(self.last, shortcut.kept_since))
