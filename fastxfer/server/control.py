"""The control connection: bytes to commands, commands to functions, functions to replies."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Awaitable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, cast

from fastxfer.core.ftpwire import LINE_EMPTY, LINE_TOO_LONG
from fastxfer.server import replies
from fastxfer.server.commands import COMMANDS
from fastxfer.server.config import ListenerConfig, at_most
from fastxfer.server.controlshortcut import ControlShortcut, Running
from fastxfer.server.networks import peer_of, plain_address
from fastxfer.server.proxyheader import ProxyHeader
from fastxfer.server.replies import ReplyError, from_os_error
from fastxfer.server.session import Session

if TYPE_CHECKING:
    from fastxfer.server.runtime import Runtime

__all__ = ["Control"]

logger = logging.getLogger("fastxfer.server")

TURN = 64
"""Commands of one session carried out in one turn of the event loop."""
FOREIGN_VERBS = frozenset(
    [
        "GET",
        "POST",
        "HEAD",
        "PUT",
        "DELETE",
        "OPTIONS",
        "CONNECT",
        "TRACE",
        "PATCH",
        "PRI",
        "EHLO",
        "HELO",
        "SSH-2.0-OPENSSH",
        "RTSP",
        "DESCRIBE",
    ]
)
"""Words of other protocols: a browser or mail client is being made to talk to this server."""
MAX_NONSENSE = 10
"""Lines without any known command, before login, after which the connection is closed."""

if sys.version_info >= (3, 12):

    def _start(
        coroutine: Coroutine[Any, Any, bytes | None], loop: asyncio.AbstractEventLoop
    ) -> asyncio.Task[bytes | None]:
        """Run *coroutine* up to its first real wait at once: most commands end there."""
        return asyncio.Task(coroutine, loop=loop, eager_start=True)

else:

    def _start(
        coroutine: Coroutine[Any, Any, bytes | None], loop: asyncio.AbstractEventLoop
    ) -> asyncio.Task[bytes | None]:
        return loop.create_task(coroutine)


class Control(ControlShortcut):
    """One control connection, from its first byte to its last."""

    __slots__ = (
        "_abort_asked",
        "_blocked",
        "_ended",
        "_nonsense",
        "_paused",
        "_proxy",
        "_queue",
        "_scheduled",
        "_verb",
        "blocked_since",
    )

    def __init__(self, runtime: Runtime, listener: ListenerConfig, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(runtime, listener, loop)
        self._queue: deque[tuple[str, str]] | None = None
        self._proxy: ProxyHeader | None = None
        self._verb = ""
        self._abort_asked = False
        self._blocked = False
        self._paused = False
        self._ended = False
        self._scheduled = False
        self._nonsense = 0
        self.blocked_since = 0.0

    # The connection begins

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._runtime.controls.add(self)
        address, port = peer_of(transport)
        if self._listener.proxy_protocol:
            if address in self._runtime.trusted_proxies(self._listener):
                self._proxy = ProxyHeader()
                return
            logger.warning("connection from %s refused: it is no load balancer of ours", address)
            self._runtime.count_refused()
            self._abort()
            return
        self._open(address, port)

    def _open(self, address: str, port: int, proxy: ProxyHeader | None = None) -> None:
        runtime = self._runtime
        peer = address
        if proxy is not None and proxy.address:
            address, port = plain_address(proxy.address), proxy.port
        refusal = runtime.service.guard.enter(address)
        if refusal:
            logger.info("connection from %s refused: %s", address, refusal)
            runtime.count_refused()
            self.finish(replies.BANNED if refusal == "banned" else replies.TOO_MANY)
            return
        session = self.session = Session(runtime, self, self._listener, address, port)
        if proxy is not None:
            session.come_through(peer, plain_address(proxy.told_address))
        runtime.count_opened()
        limit = runtime.service.config.limits.unread_replies
        self._transport.set_write_buffer_limits(high=at_most(limit))
        if self._listener.implicit_tls:
            # Whatever the hook says: what comes meanwhile is TLS already.
            self._begin_tls()
        if runtime.service.hooks.listens("on_connect"):
            self._begin(runtime.ask_connect(session), "")
        else:
            self.greet()

    def greet(self) -> None:
        """Nobody has anything against this client: go on, with TLS from the first byte once hands are shaken."""
        if self._handshaking:
            self._greets = True
        else:
            self.write(self._runtime.banner)

    # Bytes in

    def data_received(self, data: bytes) -> None:
        shortcut = self.shortcut
        if shortcut is not None:
            if self._task or shortcut.uploading_since or self._queue or self._closing:
                # Something else is under way.
                self.take_over()
                self._end_shortcut()
            elif self._reader.idle and self._serve(shortcut, data):
                return
        if self._proxy is not None:
            data = self._read_proxy_header(data)
        if self._channel is not None and data:
            data = self._decrypt(data)
        if not data or self._closing:
            return
        channel = self._channel
        commands = self._reader.feed(data)
        if not commands:
            return
        self.last = self._loop.time()
        if self._task is None and not self._queue and not self._blocked:
            if len(commands) == 1:
                self._dispatch(*commands[0])
            else:
                self._carry_out(commands)
        else:
            self._enqueue(commands)
        if self._channel is not channel and channel is None and self._reader.pending:
            self._injected()

    def _read_proxy_header(self, data: bytes) -> bytes:
        header = cast(ProxyHeader, self._proxy)
        try:
            if not header.feed(data):
                return b""
        except ValueError as error:
            logger.warning("bad PROXY header: %s", error)
            self._abort()
            return b""
        self._proxy = None
        self._open(*peer_of(self._transport), header)
        return header.rest

    def eof_received(self) -> bool:
        self.take_over()
        session = self.session
        if (self._task is None and not self._queue) or (session is not None and session.progress is not None):
            return False
        # Commands sent before the end are still carried out, but nobody waits for the end of a transfer.
        self._ended = True
        return self._channel is None

    # Commands

    def _enqueue(self, commands: Iterable[tuple[str, str]]) -> None:
        queue = self._queue
        if queue is None:
            queue = self._queue = deque()
        busy = self._task is not None
        transferring = busy and self.session is not None and self.session.progress is not None
        for entry in commands:
            if busy and entry[0] == "ABOR":
                if transferring:
                    self._runtime.abort(cast(Session, self.session))
                else:
                    self._abort_asked = True
                queue.append(entry)
            elif transferring and entry[0] == "STAT" and not entry[1] and not queue:
                self._dispatch_now(entry)
            else:
                queue.append(entry)
        if len(queue) > at_most(self._runtime.service.config.limits.pipeline) and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _dispatch_now(self, entry: tuple[str, str]) -> None:
        result = COMMANDS[entry[0]].run(cast(Session, self.session), entry[1])
        if isinstance(result, bytes):
            self.write(result)

    def _carry_out(self, commands: Iterable[tuple[str, str]]) -> None:
        turn = TURN
        iterator = iter(commands)
        for verb, argument in iterator:
            plain = self._channel is None
            self._carry_out_one(verb, argument)
            turn -= 1
            if self._task is not None or self._blocked or self._closing or turn == 0:
                break
            if plain and self._channel is not None:
                break
        else:
            return
        rest = list(iterator)
        if not rest or self._closing:
            return
        if plain and self._channel is not None:
            self._injected()
            return
        self._enqueue(rest)
        if turn == 0:
            self._schedule()

    def _carry_out_one(self, verb: str, argument: str) -> None:
        if self.shortcut is None or not self._served(self.shortcut, verb, argument):
            self._dispatch(verb, argument)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        self._scheduled = False
        queue = self._queue
        if not queue:
            if self._ended and self._task is None:
                self._transport.close()
            return
        turn = TURN
        while queue and self._task is None and not self._blocked and not self._closing:
            if turn == 0:
                self._schedule()
                return
            turn -= 1
            plain = self._channel is None
            self._carry_out_one(*queue.popleft())
            if plain and self._channel is not None and queue:
                self._injected()
                return
        if self._closing:
            queue.clear()
            return
        if self._paused and len(queue) <= at_most(self._runtime.service.config.limits.pipeline) // 2:
            self._paused = False
            self._transport.resume_reading()
        if self._ended and self._task is None and not queue:
            self._transport.close()

    def _dispatch(self, verb: str, argument: str) -> None:
        command = COMMANDS.get(verb)
        session = self.session
        if session is None:
            return
        if self.shortcut is not None and not (command is not None and command.neutral):
            self._end_shortcut()
        if command is None:
            self._unknown(verb, argument)
            return
        if command.login and not session.logged_in:
            self.write(replies.NOT_LOGGED_IN)
            return
        if command.argument is not None and bool(argument) is not command.argument:
            self.write(replies.BAD_SYNTAX)
            return
        if session.rename_from and verb != "RNTO":
            session.rename_from = ""
        try:
            result = command.run(session, argument)
            if result.__class__ is bytes:
                self.write(result)
            elif result is not None:
                self._begin(cast("Awaitable[bytes | None]", result), verb)
        except OSError as error:
            self.write(from_os_error(error))
        except ReplyError as error:
            self.write(error.reply)
        except Exception as error:
            self.fault(verb, error)
        if not command.keeps and self._task is None:
            session.rest = 0
            session.range = None

    def _unknown(self, verb: str, argument: str) -> None:
        session = cast(Session, self.session)
        if verb in FOREIGN_VERBS:
            logger.warning("%s speaks another protocol: connection closed", session.address)
            self._abort()
            return
        if not session.logged_in:
            self._nonsense += 1
            if self._nonsense > MAX_NONSENSE:
                self.finish(replies.UNKNOWN)
                return
        if verb or argument == LINE_EMPTY:
            self.write(replies.UNKNOWN)
        else:
            self.write(replies.LINE_TOO_LONG if argument == LINE_TOO_LONG else replies.BAD_SYNTAX)
            if argument == LINE_TOO_LONG and not session.logged_in:
                self.finish(b"")

    def _begin(self, awaitable: Awaitable[bytes | None], verb: str) -> None:
        task = _start(cast("Coroutine[Any, Any, bytes | None]", awaitable), self._loop)
        self._verb = verb
        if task.done():
            self._conclude(task)
        else:
            self._task = task
            task.add_done_callback(self._completed)

    def abort_asked(self) -> bool:
        """Whether ABOR came before the transfer that begins now had begun. Told once."""
        asked, self._abort_asked = self._abort_asked, False
        return asked

    def hold(self, running: Running) -> None:
        """The command is being carried out by *running*; :meth:`release` follows."""
        self._task = running

    def release(self) -> None:
        """What was held has ended and has replied: go on with the commands that wait."""
        self._task = None
        self.last = self._loop.time()
        self._resume()

    def _completed(self, task: asyncio.Task[bytes | None]) -> None:
        self._task = None
        self._abort_asked = False
        session = self.session
        self._conclude(task)
        if session is not None and not (self._verb in COMMANDS and COMMANDS[self._verb].keeps):
            session.rest = 0
            session.range = None
        self.last = self._loop.time()
        self._resume()

    def _conclude(self, task: asyncio.Task[bytes | None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            result = task.result()
            if result is not None:
                self.write(result)
        elif isinstance(error, OSError):
            self.write(from_os_error(error))
        elif isinstance(error, ReplyError):
            self.write(error.reply)
        else:
            self.fault(self._verb, error)

    def fault(self, verb: str, error: BaseException) -> None:
        """Something broke that should not: log it, and tell the client and the hooks."""
        logger.error("%s failed (session with %s)", verb, self._address, exc_info=error)
        self.write(replies.LOCAL_ERROR)
        session = self.session
        if session is not None and self._runtime.service.hooks.listens("on_error"):
            info = session.info()
            self._runtime.spawn(self._runtime.service.call("on_error", info, info, error))

    def pause_writing(self) -> None:
        self._blocked = True
        self.blocked_since = self._loop.time()

    def resume_writing(self) -> None:
        self._blocked = False
        self.blocked_since = 0.0
        self._schedule()

    # The end

    def cancel(self) -> None:
        """Cancel the command that is being carried out."""
        self.take_over()
        if self._task is not None:
            self._task.cancel()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._closing = True
        self.take_over()
        task = self._task
        if task is not None:
            task.cancel()
            if isinstance(task, asyncio.Task):
                self._runtime.await_end(task)
        session = self.session
        if session is not None:
            self._runtime.ended(session)
        if self._queue is not None:
            self._queue.clear()
        self._channel = None
        if task is None:
            # Nobody needs it any more: both are to be gone now, and not when cycles are looked for.
            self.session = None
        self._runtime.gone(self)
