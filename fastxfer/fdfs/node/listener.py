"""Listening sockets: accept connections and hand them out to the workers in turn."""

from __future__ import annotations

import errno
import itertools
import selectors
import socket
from collections.abc import Sequence

from fastxfer.fdfs.node.actions import Service
from fastxfer.fdfs.node.connection import Connection
from fastxfer.fdfs.node.faults import Faults
from fastxfer.fdfs.node.worker import Worker, logger

BACKLOG = 1024
BURST = 64
"""Connections accepted before others of the same worker get their turn."""
PAUSE = 0.1
"""Seconds without accepting when descriptors have run out."""


class Listener:
    """The listening socket of one server of the node, and the connections that came through it."""

    def __init__(self, service: Service, workers: Sequence[Worker], faults: Faults, timeout: float) -> None:
        self._service = service
        self._workers = workers
        self._faults = faults
        self._timeout = timeout
        self._turn = itertools.cycle(workers)
        self._socket: socket.socket | None = None

    @property
    def running(self) -> bool:
        return self._socket is not None

    def start(self, host: str, port: int) -> int:
        """Listen, and return the port. OSError where the address cannot be had."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((host, port))
            sock.listen(BACKLOG)
            sock.setblocking(False)
        except OSError as error:
            sock.close()
            raise OSError(error.errno, f"cannot listen on {host} port {port}: {error.strerror}") from None
        self._socket = sock
        self._workers[0].call(lambda: self._register(sock))
        bound: int = sock.getsockname()[1]
        return bound

    def stop(self, *, reset: bool) -> None:
        """Stop listening and close every connection; with *reset* as if the server had been killed."""
        sock, self._socket = self._socket, None
        if sock is None:
            return

        def close_listener() -> None:
            self._workers[0].unregister(sock)
            sock.close()

        self._workers[0].call_and_wait(close_listener)
        for worker in self._workers:
            worker.call_and_wait(lambda worker=worker: self._close_connections(worker, reset))  # type: ignore[misc]

    def _close_connections(self, worker: Worker, reset: bool) -> None:
        for member in list(worker.members):
            if isinstance(member, Connection) and member.service is self._service:
                member.close(reset=reset)

    def _register(self, sock: socket.socket) -> None:
        if self._socket is sock:
            self._workers[0].register(sock, selectors.EVENT_READ, lambda mask: self._accept(sock))

    def _accept(self, sock: socket.socket) -> None:
        for _ in range(BURST):
            try:
                accepted, address = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                logger.warning("%s: cannot accept: %s", self._service.name, error)
                self._workers[0].unregister(sock)
                self._workers[0].later(PAUSE, lambda: self._register(sock))
                return
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            worker = next(self._turn)
            connection = Connection(accepted, address[0], worker, self._service, self._faults, self._timeout)
            worker.call(lambda connection=connection: self._open(connection))  # type: ignore[misc]

    def _open(self, connection: Connection) -> None:
        connection.open()
        if self._socket is None:
            connection.close(reset=True)
