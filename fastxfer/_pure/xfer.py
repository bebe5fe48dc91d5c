"""Pure twin of ``fastxfer._ext.xfer``: the same state machine on :mod:`socket`, :func:`os.sendfile` and :mod:`select`.

It is written for clarity; splice and preallocation are left to the compiled module.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from fastxfer._pure.ratelimit import RateLimit
from fastxfer._pure.transfer_receive import Receiving
from fastxfer._pure.transfer_send import Sending
from fastxfer._pure.transfer_state import (
    CHUNK,
    DEFAULT_LIMIT,
    FRAMING_FASTDFS,
    FRAMING_NONE,
    FRAMING_RAW,
    SIGNAL_SLICE,
    WANT_READ,
    WANT_TIME,
    WANT_WRITE,
    Blocked,
    Failed,
    ready,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from fastxfer._pure.places import Spin

__all__ = ["FRAMING_FASTDFS", "FRAMING_NONE", "FRAMING_RAW", "RateLimit", "Transfer", "exchange"]

DEFAULT_BUDGET: Final = 1 << 20


class Transfer(Sending, Receiving):
    """First everything that is to be sent, then everything that is to be received, over one socket."""

    def advance(self, max_bytes: int = DEFAULT_BUDGET) -> bool:
        """Move what can be moved without waiting, at most about *max_bytes*; True when done."""
        if max_bytes <= 0:
            raise ValueError(f"max_bytes must be positive: {max_bytes}")
        self._claim("advanced")
        try:
            if not self._done:
                self._move(max_bytes)
        finally:
            self._busy = ""
        return self._done

    def run(self) -> None:
        """Carry the transfer to its end in the calling thread."""
        self._claim("run")
        try:
            while not self._done:
                self._move(DEFAULT_BUDGET)
                if not self._done and self._want:
                    self._wait()
        except BaseException:
            self._finish(errno.ECANCELED, "")
            raise
        finally:
            with self._guard:
                self._busy = ""

    def cancel(self) -> None:
        """End it with ECANCELED as soon as its thread looks, from any thread."""
        if self._busy and self._process != os.getpid():
            # The parent process carries it, over a socket that is the parent's too.
            return
        with self._guard:
            if self._done:
                return
            self._cancelled = True
            # Shutting the socket down is what wakes a thread that sleeps on it.
            if self._busy == "run":
                for held in (self._socket, self._relay_socket):
                    if held is not None:
                        with contextlib.suppress(OSError):
                            held.shutdown(socket.SHUT_RDWR)
            if self._ring is not None:
                self._ring()

    def _claim(self, busy: str) -> None:
        with self._guard:
            if self._busy:
                raise RuntimeError(f"the transfer is already being {self._busy}")
            self._busy = busy
            self._process = os.getpid()

    def _move(self, budget: int) -> None:
        """Move about *budget* bytes at most; leaves what is waited for in ``_want``, 0 for nothing."""
        now = time.monotonic()
        self._want = 0
        try:
            if self._socket is None:
                self._begin(now)
            if self._cancelled:
                raise Failed(errno.ECANCELED, "")
            if self._timeout is not None and now >= self._started + self._timeout:
                raise Failed(errno.ETIMEDOUT, "socket")
            while budget > 0:
                if self._queue or self._file_open:
                    moved = self._send(budget)
                else:
                    moved = self._fold() if self._unfolded else self._receive(budget)
                budget = 0 if self._done else budget - moved
                if moved:
                    self._moved = time.monotonic()
            # What takes no bytes from the socket must not wait for the next turn: no readiness would bring it.
            while not (self._done or self._queue or self._file_open or self._unfolded) and self._nothing_to_come:
                self._receive(1)
        except Blocked as blocked:
            self._want = blocked.want
            # Judged when the socket has been asked: a peer is not idle because we were away.
            if self._idle is not None and time.monotonic() >= self._moved + self._idle:
                self._finish(errno.ETIMEDOUT, "socket")
        except Failed as failed:
            self._finish(failed.error, failed.side)

    # For the runner of an event loop.

    @property
    def _uses_file(self) -> bool:
        return self._send_fd >= 0 or self._recv_fd >= 0

    def _start(self) -> bool:
        """Do what can be done at once; True if what is left is big or may have to wait for a disk."""
        if self._uses_file:
            return True
        self.advance(CHUNK)
        return not self._done and not self._want

    # How an engine in Python drives a transfer; the compiled one has the same methods.

    def _drive(self, ring: Callable[[], None]) -> None:
        self._claim("driven by an engine")
        self._ring = ring

    def _let_go(self) -> None:
        self._ring = None
        self._busy = ""

    def _abandon(self, error: int) -> None:
        self._finish(error, "")

    def _step(self, budget: int) -> tuple[int, int, float]:
        if not self._done:
            self._move(budget)
        due = self._due()
        return self._want, self._want_fd, min(due, self._want_at) if self._want == WANT_TIME else due

    def _wait(self) -> None:
        """Sleep until what is wanted comes, the transfer is due, or it is time to look for signals."""
        now = time.monotonic()
        until = min(self._due(), now + SIGNAL_SLICE)
        if self._want == WANT_TIME:
            until = min(until, self._want_at)
        ready(self._want_fd, self._want & (WANT_READ | WANT_WRITE), max(0.0, until - now))


def let_sleep(fd: int, /) -> bool:
    """Whether :func:`exchange` may sleep in its receive: never, here."""
    return False


def exchange(
    fd: int,
    request: Buffer | Sequence[Buffer],
    timeout: float | None,
    spin: int | Spin = 0,
    recv_limit: int = DEFAULT_LIMIT,
    sleeps: bool = False,
    busy: int = 0,
    /,
) -> tuple[int, int, bytes]:
    """One small FastDFS request and its reply in one call: ``(errno, status, body)``."""
    polls = spin if isinstance(spin, int) else 0
    if not isinstance(spin, int) and not hasattr(spin, "plan"):
        raise TypeError(f"neither an integer nor a Spin: {spin!r}")
    transfer = Transfer(fd, send=request, framing=FRAMING_FASTDFS, timeout=timeout, spin=polls, recv_limit=recv_limit)
    transfer.run()
    return transfer.error, transfer.status, transfer.body
