"""What the sessions of one running server ask it for: rules, contexts, threads, counters."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from fastxfer.core.ftpexchange import AVAILABLE as HAS_POLL_SETS
from fastxfer.core.ftpserve import Uploads
from fastxfer.net.aio import TransferRunner
from fastxfer.net.tls_channel import TLSChannel
from fastxfer.server import replies
from fastxfer.server.config import ListenerConfig
from fastxfer.server.datachannel import DataChannel
from fastxfer.server.heap import Rush, give_memory_back
from fastxfer.server.networks import Networks, parse_address
from fastxfer.server.outlast import outlast
from fastxfer.server.replies import ReplyError, reply
from fastxfer.server.service import Service
from fastxfer.server.session import Session
from fastxfer.server.sockets import set_congestion
from fastxfer.server.threads import LingeringThreads

if TYPE_CHECKING:
    from fastxfer.net.tls_pump import ReceivePump, SendPump
    from fastxfer.server.certificates import Certificates
    from fastxfer.server.control import Control
    from fastxfer.server.datastream import DataStream
    from fastxfer.server.handover import Handover
    from fastxfer.server.transfers import Progress

__all__ = ["Runtime"]

logger = logging.getLogger("fastxfer.server")

SWEEP = 1.0
"""Seconds between two looks at timeouts."""
LAST_WORDS = 5.0
"""Seconds for which a connection that is being closed waits for its peer to take the last replies."""
MAX_TURNS = 8
"""Threads for work that takes long, at most."""


class Runtime:
    """The state of one started server on one event loop."""

    def __init__(self, service: Service, certificates: Certificates | None, handover: Handover | None = None) -> None:
        self.service = service
        self._handover = handover
        self.certificates = certificates
        self.controls: set[Control] = set()
        self.banner = (
            reply(220, service.config.banner.splitlines() or "Ready.")
            if ("\n" in service.config.banner)
            else reply(220, service.config.banner or "Ready.")
        )
        self._metrics = service.metrics
        self._loop = asyncio.get_running_loop()
        self.runner = TransferRunner()
        self.uploads = Uploads(replies.TRANSFER_COMPLETE) if HAS_POLL_SETS else None
        """Small ones that native code waits for."""
        if self.uploads is not None and self.uploads.fileno() >= 0:
            self._loop.add_reader(self.uploads.fileno(), self._collect_uploads, self.uploads)
        self._pumps = LingeringThreads("fastxfer-data")
        self._turns = LingeringThreads("fastxfer-turns", max(2, min(MAX_TURNS, os.cpu_count() or 1)))
        self._rush = Rush()
        self._deserted: asyncio.Event | None = None
        self._hurried = False
        self._spawned: set[asyncio.Future[Any]] = set()
        passive = service.config.passive
        # What clients could not connect to is to be told now.
        self._told_addresses = [
            (
                Networks((network,), "passive.address_by_network"),
                _address_to_tell(told, "passive.address_by_network"),
            )
            for network, told in passive.address_by_network.items()
        ]
        if passive.address:
            _address_to_tell(passive.address, "passive.address")
        if passive.congestion:
            _try_congestion(passive.congestion)
        self._proxies: dict[tuple[str, ...], Networks] = {}
        self.kept_ports: set[DataChannel] = set()
        """Those whose port waits for the next PASV or EPSV of its session."""
        timeouts = service.config.timeouts
        shortest = min((t for t in (timeouts.login, timeouts.idle, timeouts.data_stall) if t > 0), default=SWEEP * 4)
        self._sweep_interval = max(0.02, min(SWEEP, shortest / 4))
        self._sweeper: asyncio.TimerHandle | None = self._loop.call_later(self._sweep_interval, self._sweep)

    # Life

    def _collect_uploads(self, uploads: Uploads) -> None:
        for control, end in uploads.collect():
            control.uploaded(end)

    def _sweep(self) -> None:
        """Close what has been silent for too long."""
        timeouts = self.service.config.timeouts
        now = self._loop.time()
        moment = time.monotonic()
        for control in list(self.controls):
            session = control.session
            control.take_over(moment - self._sweep_interval)
            if control.closing_for(now) > LAST_WORDS:
                control.abort()
            elif control.blocked_since:
                if timeouts.data_stall and now - control.blocked_since > timeouts.data_stall:
                    control.abort()
            elif session is None or not session.logged_in:
                # A login under way does not stop this clock: whoever needs so long is no client.
                started = control.last if session is None else session.login_clock
                if timeouts.login and now - started > timeouts.login:
                    control.finish(replies.TIMEOUT)
            elif timeouts.idle and not control.busy and control.silent_for(now) > timeouts.idle:
                control.finish(replies.TIMEOUT)
        if self.kept_ports:
            for channel in list(self.kept_ports):
                channel.close_if_kept(moment)
        if self.certificates is not None:
            self.certificates.refresh()
        if self._metrics is not None:
            self._metrics.publish()
        if self._rush.over(len(self.controls)):
            self._loop.run_in_executor(self._pumps, give_memory_back)
        self._sweeper = self._loop.call_later(self._sweep_interval, self._sweep)

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run *coroutine* beside everything else, but not beyond the end of the server."""
        self.await_end(self._loop.create_task(coroutine))

    def await_end(self, task: asyncio.Future[Any]) -> None:
        """Have :meth:`close` wait for *task*, which still holds what belongs to the server."""
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)

    @property
    def transfers(self) -> int:
        """Transfers under way."""
        return sum(control.session is not None and control.session.progress is not None for control in self.controls)

    async def end_sessions(self, patience: float) -> None:
        """End every session: idle ones at once, others when their transfer is done or *patience* seconds (0: any
        number) are over."""
        deadline = self._loop.time() + (patience or float("inf"))
        for control in list(self.controls):
            control.take_over()
            if not control.busy:
                control.finish(replies.SHUTTING_DOWN)
        while self.controls and self._loop.time() < deadline and not self._hurried and self.transfers:
            await asyncio.sleep(0.05)
            for control in list(self.controls):
                if not control.busy:
                    control.finish(replies.SHUTTING_DOWN)
        for control in list(self.controls):
            control.abort()
        if self.controls:
            self._deserted = asyncio.Event()
            await self._deserted.wait()
        while self._spawned:
            await asyncio.wait(self._spawned)

    def hurry(self) -> None:
        """Let :meth:`end_sessions` wait no longer."""
        self._hurried = True

    async def close(self) -> None:
        """Give back everything, once there are no sessions any more."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        await self.runner.aclose()
        if self.uploads is not None and self.uploads.fileno() >= 0:
            self._loop.remove_reader(self.uploads.fileno())
            self.uploads.close()
        self._pumps.shutdown(wait=True)
        self._turns.shutdown(wait=True)

    async def ask_connect(self, session: Session) -> None:
        """Ask the hooks whether *session* may go on."""
        try:
            await self.service.hooks.on_connect(session.info())
        except PermissionError as error:
            logger.info("connection from %s refused by a hook: %s", session.address, error)
            session.control.finish(replies.TOO_MANY)
            return
        except Exception:
            logger.exception("on_connect failed")
        session.control.greet()

    def logout(self, session: Session) -> None:
        """The user of *session* leaves; the connection stays."""
        account = session.leave()
        if account is not None:
            self.service.guard.leave_user(account.user.name)
        if session.data is not None:
            session.data.close()
        session.reset()
        session.login_clock = self._loop.time()

    def gone(self, control: Control) -> None:
        """A control connection has come to its end."""
        self.controls.discard(control)
        if self._deserted is not None and not self.controls:
            self._deserted.set()

    def ended(self, session: Session) -> None:
        """The control connection of *session* is gone."""
        info = session.info() if self.service.hooks.listens("on_disconnect") else None
        account = session.leave()
        if account is not None:
            self.service.guard.leave_user(account.user.name)
        if session.data is not None:
            session.data.close()
        self.service.guard.leave(session.address)
        if self._metrics is not None:
            self._metrics.sessions.dec()
        if self._handover is not None and session.data is None:
            self._handover.looked_in(session.started)
        if info is not None:
            self.spawn(self.service.call("on_disconnect", info, info))

    # Data connections

    def data(self, session: Session) -> DataChannel:
        """The data connection of *session*."""
        channel = session.data
        if channel is None:
            channel = session.data = DataChannel(session)
        return channel

    def data_refusal(self, session: Session) -> bytes | None:
        """Why no transfer can begin now, or None."""
        if session.data is None or not session.data.prepared:
            return replies.NO_DATA_CONNECTION
        if not session.private and self.service.config.tls.require_data and self.certificates is not None:
            return replies.DATA_MUST_BE_PRIVATE
        return None

    def masquerade(self, session: Session) -> str | None:
        """The address that PASV tells *session*, with commas; None where there is no IPv4 address to tell."""
        address = self.service.config.passive.address or session.told_address
        for networks, told in self._told_addresses:
            if session.address in networks:
                address = told
                break
        return None if ":" in address else address.replace(".", ",")

    def may_connect(self, session: Session, host: str, port: int) -> bool:
        """Whether a data connection to *host* is for the client itself, or FXP is permitted."""
        if self.service.config.passive.fxp:
            return True
        try:
            wanted = ipaddress.ip_address(host)
            client = ipaddress.ip_address(session.address.partition("%")[0])
        except ValueError:
            return False
        return (getattr(wanted, "ipv4_mapped", None) or wanted) == client

    def begins(self, session: Session, progress: Progress) -> None:
        """A transfer of *session* is under way from now on, if it was not aborted before."""
        session.progress = progress
        if session.control.abort_asked():
            self.abort(session)

    def abort(self, session: Session) -> None:
        """End the transfer of *session*; its command then replies 426, and ABOR 226 (RFC 959 section 4.1.3)."""
        progress = session.progress
        if progress is not None and not progress.aborted:
            progress.aborted = True
            session.control.cancel()

    async def run_in_turn(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call *function*, a piece of some long work, in one of the few threads for such; who came first goes first.

        Whoever has more to do asks again and stands at the end, so that nobody waits for the whole work of another,
        and uploads, listings and archives, which have threads of their own, do not wait at all.
        """
        job = self._turns.submit(function, *arguments)
        work = asyncio.wrap_future(job)
        await outlast(work, job.cancel)

    async def run_pump(self, session: Session, pump: SendPump | ReceivePump, channel: TLSChannel | None) -> None:
        """Carry *pump*, which speaks through *channel*, to its end in a thread."""
        work = self._loop.run_in_executor(self._pumps, self._pump, session, pump, channel)
        await outlast(work, pump.cancel)

    def _pump(self, session: Session, pump: SendPump | ReceivePump, channel: TLSChannel | None) -> None:
        pump.handshake()
        self._check_resumed(session, channel)
        pump.run()

    def trusted_proxies(self, listener: ListenerConfig) -> Networks:
        """The load balancers that tell at *listener* who the client is."""
        key = tuple(listener.trusted_proxies)
        found = self._proxies.get(key)
        if found is None:
            found = self._proxies[key] = Networks(key, "trusted_proxies")
        return found

    # TLS

    @property
    def tls_available(self) -> bool:
        return self.certificates is not None

    def tls_required(self, listener: ListenerConfig) -> bool:
        """Whether nobody logs in at *listener* without TLS."""
        if listener.require_tls is not None:
            return listener.require_tls
        return self.service.config.tls.require_control and self.certificates is not None

    def control_context(self, listener: ListenerConfig) -> ssl.SSLContext:
        """The context for a control connection that is about to be encrypted."""
        if self.certificates is None:
            raise RuntimeError("no certificate is configured")
        return self.certificates.control_context()

    def data_channel(self, session: Session) -> TLSChannel | None:
        """The TLS side of a new data connection of *session*; None if it is to be plain."""
        if not session.private:
            return None
        begun = session.data.begun() if session.data is not None else None
        if begun is not None:
            return begun
        context = session.tls_context
        if context is None:
            raise RuntimeError("PROT P without TLS on the control connection")
        # Session tickets are for the control connection to give. A client that only sends never reads them, and
        # where it closes a socket with something unread in it, the connection is reset and the end of the upload lost.
        tickets = context.num_tickets
        context.num_tickets = 0
        try:
            return TLSChannel(context, None, server_side=True)
        finally:
            context.num_tickets = tickets

    async def data_handshake(self, session: Session, stream: DataStream) -> None:
        """Shake hands on a data connection that the loop drives."""
        await stream.handshake()
        self._check_resumed(session, stream.channel)

    def _check_resumed(self, session: Session, channel: TLSChannel | None) -> None:
        if channel is not None and self.service.config.tls.require_session_reuse and not channel.session_reused:
            logger.warning("data connection of %s does not resume the TLS session", session.address)
            raise ReplyError(522, "The data connection must resume the TLS session of the control connection.")

    def handshaken(self, channel: TLSChannel) -> None:
        """The TLS handshake of a control connection is done."""
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("TLS %s %s", channel.version, channel.cipher)

    # Counting

    def count_opened(self) -> None:
        """A session has begun."""
        if self._metrics is not None:
            self._metrics.opened.inc()
            self._metrics.sessions.inc()

    def count_refused(self) -> None:
        """A connection was refused by a limit."""
        if self._metrics is not None:
            self._metrics.refused.inc()

    def count_tls_failure(self) -> None:
        """A handshake has failed."""
        if self._metrics is not None:
            self._metrics.tls_failures.inc()

    def count_active(self, change: int) -> None:
        """A transfer begins (1) or ends (-1)."""
        if self._metrics is not None:
            self._metrics.active.inc(change)


def _address_to_tell(address: str, setting: str) -> str:
    try:
        return parse_address(address)
    except ValueError as error:
        raise ValueError(f"{setting}: {error}") from None


def _try_congestion(algorithm: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        try:
            set_congestion(sock, algorithm)
        except (OSError, UnicodeError) as error:
            raise ValueError(f"passive.congestion: this system has no {algorithm!r}") from error
