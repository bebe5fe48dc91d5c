"""How a data connection comes to stand: the passive listener, the active connect, and who may be at the other end."""

from __future__ import annotations

import _socket
import asyncio
import errno
import logging
import os
import socket
import time
from typing import TYPE_CHECKING, cast

from fastxfer.core.ftpserve import accept, turn_away
from fastxfer.server import replies
from fastxfer.server.earlytls import EarlyConnection
from fastxfer.server.replies import ReplyError
from fastxfer.server.sockets import set_congestion, wait_readable, wait_writable

if TYPE_CHECKING:
    from fastxfer.net.tls_channel import TLSChannel
    from fastxfer.server.session import Session

__all__ = ["DataChannel"]

logger = logging.getLogger("fastxfer.server")

BACKLOG = 4
"""A stranger who connects first must not keep the client out."""
DYNAMIC_PORTS = (49152, 65535)
"""RFC 6335 section 6. Port 0 would do, but Linux then searches all ports in order, and where some thousand
connections linger that takes longer than a transfer."""
PORT_TRIES = 16
SWEEP = 4096
"""Ports tried in order when chance has found none."""
LISTEN_TRIES = 8
KEPT_USES = 64
"""Transfers that one passive port serves, so that where it is stays hard to guess."""
KEPT_SECONDS = 2.0
"""A port that no PASV or EPSV has asked for again is closed after so long."""
KEPT_SHARE = 8
"""At most one port in so many of the range is kept by sessions that do not wait for a connection."""
SOCK_NONBLOCK = getattr(_socket, "SOCK_NONBLOCK", 0)
LISTENER_TYPE = _socket.SOCK_STREAM | SOCK_NONBLOCK
_new_socket = cast("type[socket.socket]", _socket.socket)
"""The class in C under :class:`socket.socket`: it does all that is needed here and is much quicker to make."""


class DataChannel:
    """The data connection of one session that is about to be."""

    __slots__ = (
        "_begun",
        "_early",
        "_family",
        "_kept_since",
        "_listener",
        "_port",
        "_session",
        "_socket",
        "_taken",
        "_target",
        "_uses",
        "_watched",
    )

    def __init__(self, session: Session) -> None:
        self._session = session
        self._family = int(socket.AF_INET6 if ":" in session.local_address else socket.AF_INET)
        self._listener: socket.socket | None = None
        self._target: tuple[str, int] | None = None
        self._socket: socket.socket | None = None
        self._taken: tuple[int, str] | None = None
        """A connection that was accepted already, and where it comes from."""
        self._port = 0
        self._uses = 0
        self._kept_since = 0.0
        """When the listener was put aside for the next PASV or EPSV; 0 while a connection is expected."""
        self._watched: asyncio.AbstractEventLoop | None = None
        """The loop that calls when a client comes before its command."""
        self._early: EarlyConnection | None = None
        self._begun: TLSChannel | None = None
        """The TLS side of the connection taken last, where it came early."""

    @property
    def prepared(self) -> bool:
        """Whether the client has said where the connection is to come from."""
        return (self._listener is not None and not self._kept_since) or self._target is not None

    def listen(self) -> int:
        """Open a passive port in place of whatever was prepared before; its number, 0 if none is to be had.

        A port that has just served a transfer is taken again; whoever has connected to it meanwhile is sent away.
        """
        port = self._open_port()
        if port and self._session.private:
            self._watch()
        return port

    def _open_port(self) -> int:
        if self._kept_since and self._listener is not None:
            self._session.runtime.kept_ports.discard(self)
            self._kept_since = 0.0
            if self._uses < KEPT_USES and turn_away(self._listener.fileno(), 4 * BACKLOG):
                self._uses += 1
                return self._port
        self.close()
        session = self._session
        host = session.local_address
        ports = session.config.passive.ports or DYNAMIC_PORTS
        for _ in range(LISTEN_TRIES):
            listener = _new_socket(self._family, LISTENER_TYPE)
            try:
                self._tune(listener)
                # Else a port on which an old connection lingers in TIME_WAIT would count as taken.
                listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
                if not _bind_in_range(listener, host, ports, session.local_zone):
                    listener.close()
                    return 0
                listener.listen(BACKLOG)
                port: int = listener.getsockname()[1]
            except OSError as error:
                listener.close()
                if error.errno == errno.EADDRINUSE:
                    # Another socket was bound to the port too, and listened first.
                    continue
                logger.warning("no passive port for %s: %s", session.address, error)
                return 0
            if not SOCK_NONBLOCK:
                listener.setblocking(False)
            self._listener = listener
            self._port = port
            self._uses = 1
            return port
        return 0

    def connect_to(self, host: str, port: int) -> None:
        """Connect to *host* when a transfer begins."""
        self.close()
        self._begun = None
        self._target = (host, port)

    def _tune(self, sock: socket.socket) -> None:
        passive = self._session.config.passive
        if passive.congestion:
            set_congestion(sock, passive.congestion)
        if passive.buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, passive.buffer)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, passive.buffer)

    def take_now(self) -> socket.socket | None:
        """The connection, if the client has made it already; :meth:`keep` or :meth:`close` must follow."""
        fd = self.take_descriptor()
        return self.wrap(fd) if fd >= 0 else None

    def wrap(self, descriptor: int) -> socket.socket:
        """The socket of a *descriptor* that :meth:`take_descriptor` has given."""
        sock = _new_socket(self._family, _socket.SOCK_STREAM, 0, descriptor)
        sock.setblocking(False)
        return sock

    def take_descriptor(self) -> int:
        """As :meth:`take_now`, but the bare descriptor, which is the caller's; -1 if there is none."""
        self._begun = None
        self.settle()
        if self._watched is not None:
            self._stop_watching()
        if self._early is not None:
            early, self._early = self._early, None
            self._begun = early.channel
            return early.release().detach()
        listener = self._listener
        if listener is None:
            return -1
        session = self._session
        taken, self._taken = self._taken, None
        while found := taken or accept(listener.fileno()):
            taken = None
            fd, address = found
            if address == session.address or self._welcome(address):
                return fd
            logger.warning("data connection of %s: stranger %s turned away", session.address, address)
            os.close(fd)
        return -1

    def _watch(self) -> None:
        """Look out for a client that shakes hands before it sends its command."""
        listener = self._listener
        assert listener is not None
        self._watched = asyncio.get_running_loop()
        self._watched.add_reader(listener.fileno(), self._arrived)

    def _stop_watching(self) -> None:
        loop, self._watched = self._watched, None
        if loop is not None and self._listener is not None:
            loop.remove_reader(self._listener.fileno())

    def _arrived(self) -> None:
        session = self._session
        if not session.private:
            self._stop_watching()
            return
        fd = self.take_descriptor()
        if fd < 0:
            self._watch()
            return
        channel = session.runtime.data_channel(session)
        assert channel is not None
        self._early = EarlyConnection(self.wrap(fd), channel, self._early_failed)

    def _early_failed(self) -> None:
        logger.info("early data connection of %s failed", self._session.address)
        self._early = None
        self.close()

    def begun(self) -> TLSChannel | None:
        """The TLS side of the connection taken last, if its client came before its command; for once."""
        begun, self._begun = self._begun, None
        return begun

    def _welcome(self, peer: str) -> bool:
        session = self._session
        return (
            peer in (session.address, session.peer_address)
            or session.config.passive.fxp
            or (peer.startswith("::ffff:") and peer[7:] in (session.address, session.peer_address))
        )

    async def take(self) -> socket.socket:
        """Wait for the connection. ReplyError 425 where it does not come about in time."""
        timeout = self._session.config.timeouts.data_connect
        try:
            # wait_for on 3.10 and 3.11 may lose a result that comes with the timeout; this one cannot.
            return await _within(self._wait(), timeout)
        except (OSError, asyncio.TimeoutError) as error:
            logger.info("no data connection with %s: %s", self._session.address, error or "timeout")
            raise _cannot_open() from error
        finally:
            self.close()

    async def _wait(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        if self._target is not None:
            return await self._connect(loop, self._target)
        while True:
            listener = self._listener
            if listener is None:
                raise _cannot_open()
            sock = self.take_now()
            if sock is not None:
                return sock
            await wait_readable(loop, listener.fileno())

    async def _connect(self, loop: asyncio.AbstractEventLoop, target: tuple[str, int]) -> socket.socket:
        session = self._session
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        self._socket = sock
        sock.setblocking(False)
        self._tune(sock)
        if self._family == family:
            # From the address that the client knows, so that its own peer check holds.
            sock.bind(_end(session.local_address, 0, session.local_zone))
        # The client cannot name the interface on which its link-local address is; it is that of the control connection.
        zone = session.local_zone if target[0] == session.address else 0
        code = sock.connect_ex(_end(*target, zone))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, "connect failed")
        if code:
            await wait_writable(loop, sock.fileno())
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, "connect failed")
        self._socket = None
        return sock

    def kept_port(self) -> tuple[int, int, int] | None:
        """Descriptor and number of a port that waits for the next PASV or EPSV, and how many it may still answer."""
        if self._listener is None or not self._kept_since:
            return None
        return self._listener.fileno(), self._port, KEPT_USES - self._uses

    def settle(self) -> None:
        """End the shortcut over the port; what it has come to holds from now on."""
        control = self._session.control
        control.take_over()
        shortcut, control.shortcut = control.shortcut, None
        if shortcut is None:
            return
        control.last = max(control.last, shortcut.kept_since)
        self._uses = KEPT_USES - shortcut.uses
        self._kept_since = 0.0 if shortcut.prepared else shortcut.kept_since
        self._taken = shortcut.take()
        if shortcut.prepared:
            self._session.runtime.kept_ports.discard(self)

    def keep(self) -> None:
        """After a transfer that went well: hold the port ready for the next one, where ports are plenty."""
        shortcut = self._session.control.shortcut
        if shortcut is not None:
            shortcut.keep()
            return
        listener = self._listener
        if listener is None or self._kept_since:
            return
        passive = self._session.config.passive
        first, last = passive.ports or DYNAMIC_PORTS
        kept = self._session.runtime.kept_ports
        if passive.fxp or (len(kept) + 1) * KEPT_SHARE > last - first + 1:
            self.close()
            return
        self._kept_since = time.monotonic()
        kept.add(self)

    def close_if_kept(self, now: float) -> None:
        """Close the port if it has been kept in vain."""
        shortcut = self._session.control.shortcut
        if shortcut is not None:
            if shortcut.prepared or now - shortcut.kept_since <= KEPT_SECONDS:
                return
            self.settle()
        if self._kept_since and now - self._kept_since > KEPT_SECONDS:
            self.close()

    def close(self) -> None:
        """Drop what was prepared. Idempotent."""
        self.settle()
        self._target = None
        taken, self._taken = self._taken, None
        if taken is not None:
            os.close(taken[0])
        self._stop_watching()
        if self._early is not None:
            self._early.close()
            self._early = None
        if self._kept_since:
            self._kept_since = 0.0
            self._session.runtime.kept_ports.discard(self)
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()


async def _within(awaitable, seconds: float) -> socket.socket:  # type: ignore[no-untyped-def]
    task = asyncio.ensure_future(awaitable)
    try:
        done, _ = await asyncio.wait([task], timeout=seconds or None)
    except asyncio.CancelledError:
        done = set()
        await _discard(task)
        raise
    if not done:
        await _discard(task)
        raise asyncio.TimeoutError
    result: socket.socket = task.result()
    return result


async def _discard(task: asyncio.Future[socket.socket]) -> None:
    """Cancel *task*; a connection that it made in the same instant is closed."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _cannot_open() -> ReplyError:
    error = ReplyError(425, "no data connection")
    error.reply = replies.CANNOT_OPEN_DATA
    return error


class _Dice:
    """Numbers that nobody can guess, from the system, many at a time."""

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def below(self, limit: int) -> int:
        """A number from 0 to before *limit*, which is at most 65536; the bias is under 1 in 65536."""
        if self._at >= len(self._pool):
            self._pool = os.urandom(2048)
            self._at = 0
        self._at += 4
        return int.from_bytes(self._pool[self._at - 4 : self._at], "little") % limit


_dice = _Dice()


def _bind_in_range(listener: socket.socket, host: str, ports: tuple[int, int], zone: int) -> bool:
    """Bind to a port of the range that cannot be guessed; False if all of it seems taken."""
    first, last = ports
    span = last - first + 1
    for _ in range(PORT_TRIES):
        if _try_bind(listener, host, first + _dice.below(span), zone):
            return True
    start = _dice.below(span)
    return any(_try_bind(listener, host, first + (start + step) % span, zone) for step in range(min(span, SWEEP)))


def _end(host: str, port: int, zone: int) -> tuple[str, int] | tuple[str, int, int, int]:
    return (host, port, 0, zone) if zone else (host, port)


def _try_bind(listener: socket.socket, host: str, port: int, zone: int) -> bool:
    try:
        listener.bind(_end(host, port, zone))
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        return False
    return True
