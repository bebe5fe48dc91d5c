"""Connections passed on between worker processes, so that none is crowded while another has time.

The system spreads connections over the listening sockets of the workers by chance: of eight, six may meet the same
worker. A worker that has more sessions than another when one more arrives sends it there, before a byte is read or
written: the descriptor goes through a socket of the other, which the parent made and keeps, so that what waits in it is
served even where the other dies and is replaced.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time
from collections.abc import Callable
from typing import cast

from fastxfer.server.sharedbooks import SharedBooks

__all__ = ["Arrival", "Boxes", "Handover"]

logger = logging.getLogger("fastxfer.server")

ROUND = 32
"""Connections taken out of the box in one turn of the event loop."""
SLACK = 8
"""One session in so many may be more than elsewhere: with hundreds it does not matter, and passing one on costs."""
BURST = 64
PER_SECOND = 64.0
"""Connections passed on at once, and a second after that: each that is passed on costs two workers."""
SHORT = 0.25
SHORT_COST = 4.0
"""As so many passed on counts a session that was over in so many seconds and moved nothing: where such come by the
hundreds (to see whether the server is there), passing them on brings nothing."""
KIND = socket.SOCK_SEQPACKET if sys.platform.startswith("linux") else socket.SOCK_DGRAM
"""Datagrams of Linux wait in a queue of ten at most; elsewhere this family may know nothing else."""
CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
MESSAGE = 16
RIGHTS = socket.CMSG_SPACE(4)
"""One descriptor with each message."""


class Boxes:
    """A box for each worker, into which the others put connections. Made by the parent before it forks.

    Args:
        workers: how many there are.
    """

    def __init__(self, workers: int) -> None:
        self.ends: list[tuple[socket.socket, socket.socket]] = []
        """For each worker where the others put in, and where it takes out."""
        for _ in range(workers):
            pair = socket.socketpair(socket.AF_UNIX, KIND)
            for end in pair:
                end.setblocking(False)
            self.ends.append(pair)

    def close(self) -> None:
        """Close all of them, with what is in them."""
        for pair in self.ends:
            for end in pair:
                end.close()


class Handover:
    """The boxes as the worker *number* sees them.

    Args:
        boxes: those of all workers.
        books: tell how many sessions each worker has, and how many are on their way to it.
        number: the worker.
    """

    def __init__(self, boxes: Boxes, books: SharedBooks, number: int) -> None:
        self._ends = boxes.ends
        self._books = books
        self._number = number
        self._loop: asyncio.AbstractEventLoop | None = None
        self._adopt: Callable[[socket.socket, int], None] | None = None
        self._leave = float(BURST)
        self._asked = time.monotonic()

    def open(self, adopt: Callable[[socket.socket, int], None]) -> None:
        """Begin to call *adopt* with each connection that comes, and the number of the listener it came to."""
        self._adopt = adopt
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ends[self._number][1].fileno(), self._take)

    def close(self) -> None:
        """Take nothing more. Idempotent."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.remove_reader(self._ends[self._number][1].fileno())

    def crowded(self) -> bool:
        """Whether another worker should have the next connection."""
        return self._may_pass_on() and self._least_loaded() != self._number

    def _may_pass_on(self) -> bool:
        now = time.monotonic()
        self._leave = min(self._leave + (now - self._asked) * PER_SECOND, BURST)
        self._asked = now
        return self._leave >= 1.0

    def _least_loaded(self) -> int:
        """The worker that should have the next connection; this one if none has clearly less to do."""
        loads = self._books.loads()
        mine = loads[self._number]
        least = min(loads)
        return self._number if mine - least <= mine // SLACK else loads.index(least)

    def looked_in(self, began: float) -> None:
        """A session is over that moved nothing and *began* at that moment of the monotonic clock."""
        if time.monotonic() - began < SHORT:
            self._leave = max(self._leave - SHORT_COST, -BURST)

    def pass_on(self, descriptor: int, listener: int) -> bool:
        """Send a new connection to a worker that has fewer sessions; False where it had better stay."""
        if self._loop is None or not self._may_pass_on():
            return False
        other = self._least_loaded()
        if other == self._number:
            return False
        # Counted at once: more may arrive before the other has seen this one.
        self._books.expect(other, 1)
        try:
            socket.send_fds(self._ends[other][0], [b"%d" % listener], [descriptor])
        except OSError as error:
            # The box is full, or the system lets no more descriptors be under way.
            self._books.expect(other, -1)
            logger.debug("worker %d takes no connection: %s", other, error)
            return False
        self._leave -= 1.0
        return True

    def _take(self) -> None:
        assert self._adopt is not None
        for _ in range(ROUND):
            try:
                data, rights, flags, _ = self._ends[self._number][1].recvmsg(MESSAGE, RIGHTS, CLOSE_ON_EXEC)
            except (BlockingIOError, InterruptedError):
                return
            self._books.expect(self._number, -1)
            if flags & socket.MSG_CTRUNC:
                # The system closes what does not fit: nobody has the connection any more.
                logger.warning("a connection from another worker is lost: this process has no descriptor left for it")
            for _, _, packed in rights:
                connection = socket.socket(fileno=int.from_bytes(packed, sys.byteorder))
                connection.setblocking(False)
                self._adopt(connection, int(data))


class Arrival(asyncio.Protocol):
    """A connection that came to a worker while it was crowded, and is another's if that one will have it.

    Args:
        protocol: what is to speak on it if it stays.
        handover: this worker's.
        listener: number of the listener it came to.
    """

    def __init__(self, protocol: asyncio.Protocol, handover: Handover, listener: int) -> None:
        self._protocol = protocol
        self._handover = handover
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        sock = transport.get_extra_info("socket")
        if sock is not None and self._handover.pass_on(sock.fileno(), self._listener):
            # This closes our descriptor and not the connection.
            cast(asyncio.Transport, transport).abort()
            return
        transport.set_protocol(self._protocol)
        self._protocol.connection_made(transport)
