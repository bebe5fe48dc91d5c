"""Sockets for data: their options, and those on which the server connects to here (active mode)."""

from __future__ import annotations

import random
import socket
import time

from fastxfer.ftp.commands import shown
from fastxfer.ftp.config import ClientConfig
from fastxfer.ftp.errors import ConnectionFailedError, TimedOutError
from fastxfer.ftp.session import Session
from fastxfer.net.stream import Stream

__all__ = ["accept", "announce", "listen", "tune"]

_SLICE = 1.0
"""Seconds between two looks for a refusal while the server's connection is awaited."""


def tune(config: ClientConfig, sock: socket.socket) -> None:
    """Give a socket for data the buffers and the congestion control that the settings ask for."""
    if config.socket_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, config.socket_buffer)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, config.socket_buffer)
    if config.congestion_control is not None and hasattr(socket, "TCP_CONGESTION"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, config.congestion_control.encode())


def listen(session: Session) -> socket.socket:
    """A socket for the server to connect to, on one of the ports that are allowed."""
    control = session.stream.socket
    host, _, *zone = control.getsockname()
    ports = [0]
    if session.config.active_ports is not None:
        first, last = session.config.active_ports
        ports = list(range(first, last + 1))
        random.shuffle(ports)
    failure: OSError | None = None
    for port in ports:
        listener = socket.socket(control.family, socket.SOCK_STREAM)
        try:
            tune(session.config, listener)
            listener.bind((host, port, *zone))
            listener.listen(1)
        except OSError as error:
            listener.close()
            failure = error
            continue
        listener.setblocking(False)
        return listener
    raise ConnectionFailedError(f"no port to listen on: {failure}", server=session.server) from failure


async def announce(session: Session, listener: socket.socket, path: str, *, extended: bool) -> None:
    """Tell the server where to connect to: EPRT (RFC 2428), or PORT."""
    host, port = listener.getsockname()[:2]
    host = session.config.active_address or str(host).removeprefix("::ffff:").partition("%")[0]
    if extended or ":" in host:
        kind = 2 if ":" in host else 1
        line = f"EPRT |{kind}|{host}|{port}|"
        reply = await session.ask(line)
        if reply.positive:
            return
        if ":" in host or reply.code not in (500, 501, 502, 504, 522):
            raise session.refusal(reply, line, path)
        session.profile.extended = False
    line = f"PORT {host.replace('.', ',')},{port >> 8},{port & 255}"
    await session.command(line, path)


async def accept(session: Session, listener: socket.socket, line: str) -> Stream:
    """The server's connection; those of others are closed and not counted."""
    peer = session.stream.socket.getpeername()[0]
    seconds = session.config.timeouts.connect
    end = None if seconds is None else time.monotonic() + seconds
    while end is None or time.monotonic() < end:
        try:
            await session.driver.wait_readable(listener, _SLICE)
            sock, address = listener.accept()
        except (TimeoutError, BlockingIOError):
            session.check_refusal(line)
            continue
        if address[0] != peer:
            sock.close()
            continue
        return session.driver.stream(sock)
    raise TimedOutError(
        f"the server opened no data connection within {seconds} s", server=session.server, command=shown(line)
    )
