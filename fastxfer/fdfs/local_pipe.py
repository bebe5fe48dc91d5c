"""Reading a named pipe so that the reading can be ended at any time."""

from __future__ import annotations

import os
import select
import threading
from types import TracebackType

__all__ = ["PipeReader"]


class PipeReader:
    """Reads *fd*, a pipe that does not block, from any thread; another thread may end that by closing it.

    Who closes it never waits for the pipe, and once it is closed nobody looks at *fd* any more, which whoever opened it
    may close, then.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._reading = threading.Lock()
        self._closed = False
        self._wake, self._waker = os.pipe()

    def __enter__(self) -> PipeReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, size: int, /) -> bytes:
        """Wait for bytes, up to *size*; empty at the end, when all writers have closed it."""
        with self._reading:
            if self._closed:
                return b""
            poller = select.poll()
            poller.register(self._fd, select.POLLIN)
            poller.register(self._wake, select.POLLIN)
            while True:
                # Reading at once would take a pipe that nobody has opened for writing yet for one at its end.
                if any(fd == self._wake for fd, _ in poller.poll()):
                    return b""
                try:
                    return os.read(self._fd, size)
                except BlockingIOError:
                    continue

    def close(self) -> None:
        """End what :meth:`read` waits for."""
        self._closed = True
        os.write(self._waker, b"\0")
        with self._reading:
            os.close(self._wake)
            os.close(self._waker)
