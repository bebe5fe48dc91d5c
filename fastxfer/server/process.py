"""The process around a server: signals, sockets that were inherited, workers, changing root and account."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import grp
import logging
import os
import pickle
import pwd
import secrets
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from fastxfer.server.config import ListenerConfig, ServerConfig
from fastxfer.server.handover import Boxes, Handover
from fastxfer.server.heap import use_one_arena
from fastxfer.server.server import FtpServer
from fastxfer.server.sharedbooks import SharedBooks, WorkerBooks

__all__ = ["inherited_listeners", "run", "run_workers", "take_privileges_away"]

logger = logging.getLogger("fastxfer.server")

SD_LISTEN_FDS_START = 3
STOPPING = (signal.SIGTERM, signal.SIGINT)
SIGNALS = (*STOPPING, signal.SIGHUP)
"""Those that the parent of workers takes care of."""
AT_ONCE = signal.SIGQUIT
"""What it sends instead of another SIGTERM, which a service manager may send to the workers by itself."""
_READY = b"+"
RESTART_PAUSE = 1.0
"""Seconds before a worker that died is replaced."""


def inherited_listeners() -> tuple[ListenerConfig, ...]:
    """Listeners for the sockets that systemd hands over (sd_listen_fds(3)); empty if there are none.

    A socket whose name (``FileDescriptorName=``) is ``implicit`` speaks TLS from the first byte.
    """
    if os.environ.get("LISTEN_PID", "") != str(os.getpid()):
        return ()
    count = int(os.environ.get("LISTEN_FDS", "0") or "0")
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    listeners = []
    for index in range(count):
        descriptor = SD_LISTEN_FDS_START + index
        os.set_inheritable(descriptor, False)
        name = names[index] if index < len(names) else ""
        listeners.append(ListenerConfig(fd=descriptor, implicit_tls=name == "implicit"))
    return tuple(listeners)


def notify(state: str) -> None:
    """Tell systemd how it stands (sd_notify(3)); nothing happens where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock, contextlib.suppress(OSError):
        sock.sendto(state.encode("ascii"), "\0" + address[1:] if address.startswith("@") else address)


def take_privileges_away(config: ServerConfig) -> None:
    """Change root directory and account as the configuration says.

    Raises:
        ValueError: the account or group does not exist, or something else that is set cannot be had then.
        PermissionError: the process is not allowed to.
    """
    process = config.process
    account = None
    group = None
    try:
        if process.user:
            account = pwd.getpwnam(process.user)
            group = account.pw_gid
        if process.group:
            group = grp.getgrnam(process.group).gr_gid
    except KeyError as error:
        raise ValueError(f"no such account or group: {process.user or process.group}") from error
    if process.chroot:
        os.chroot(config.root)
        os.chdir("/")
        if config.tls.require_session_reuse and not os.path.isdir("/proc/self/fd"):
            raise ValueError("tls.require_session_reuse needs /proc, which process.chroot has put out of reach")
    if group is not None:
        os.setgroups([group])
        os.setgid(group)
    if account is not None:
        os.setuid(account.pw_uid)
        with contextlib.suppress(PermissionError):
            os.setuid(0)
            raise RuntimeError("privileges could be taken back")


class Life:
    """When a process that runs a server is to end.

    Args:
        impatient: whether another SIGTERM or SIGINT means that nobody waits for transfers any longer, as SIGQUIT does.
        parent: descriptor that ends when the process that started this one does; -1 for none.
    """

    def __init__(self, *, impatient: bool = True, parent: int = -1) -> None:
        self._impatient = impatient
        self._parent = parent
        self._ending = asyncio.Event()
        self._server: FtpServer | None = None

    def begin(self, server: FtpServer) -> None:
        """Look out for signals that concern *server*."""
        self._server = server
        loop = asyncio.get_running_loop()
        for number in STOPPING:
            loop.add_signal_handler(number, self._told)
        loop.add_signal_handler(AT_ONCE, self._told_at_once)
        loop.add_signal_handler(signal.SIGHUP, server.reload)
        if self._parent >= 0:
            loop.add_reader(self._parent, self._orphaned)

    async def end(self) -> None:
        """Wait until it is time."""
        await self._ending.wait()

    def _told(self) -> None:
        if self._ending.is_set() and self._impatient and self._server is not None:
            self._server.hurry()
        self._ending.set()

    def _told_at_once(self) -> None:
        self._ending.set()
        if self._server is not None:
            self._server.hurry()

    def _orphaned(self) -> None:
        asyncio.get_running_loop().remove_reader(self._parent)
        logger.error("the parent of this worker is gone; stopping")
        self._ending.set()


def run(
    make: Callable[[], FtpServer],
    ready: Callable[[FtpServer], None] | None = None,
    *,
    impatient: bool = True,
    parent: int = -1,
) -> None:
    """Run one server in this process until SIGTERM or SIGINT; a second one, or SIGQUIT, cuts transfers off.

    SIGHUP opens the logs anew and looks at certificates.

    Args:
        make: makes the server.
        ready: called once it serves.
        impatient: False where a second signal means no more than the first.
        parent: descriptor whose end means to stop, too; -1 for none.
    """
    use_one_arena()

    def serve() -> Coroutine[Any, Any, None]:
        return _serve(make, ready, impatient=impatient, parent=parent)

    try:
        import uvloop
    except ImportError:
        asyncio.run(serve())
        return
    if sys.version_info >= (3, 11):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())
    else:
        uvloop.install()
        asyncio.run(serve())


async def _serve(
    make: Callable[[], FtpServer], ready: Callable[[FtpServer], None] | None, *, impatient: bool, parent: int
) -> None:
    server = make()
    life = Life(impatient=impatient, parent=parent)
    life.begin(server)
    async with server:
        take_privileges_away(server.config)
        notify("READY=1")
        if ready is not None:
            ready(server)
        await life.end()
        notify("STOPPING=1")
        logger.info("stopping")


class _Worker:
    """What the parent knows of one worker process, and how the worker tells it.

    Args:
        number: the worker's.
        since: whether one of this number has served before.
    """

    def __init__(self, number: int, since: bool) -> None:
        self.number = number
        self.has_served = since
        self._inbox, self._outbox = os.pipe()

    def is_parent(self) -> None:
        """This process is the parent."""
        os.close(self._outbox)

    def tell_ready(self) -> None:
        """The worker serves."""
        os.write(self._outbox, _READY)

    def tell_failure(self, error: BaseException) -> None:
        """The worker has failed with *error*."""
        try:
            packed = pickle.dumps(error)
        except Exception:
            packed = pickle.dumps(RuntimeError(repr(error)))
        os.write(self._outbox, packed[: select.PIPE_BUF])

    def ended(self, status: int) -> BaseException | None:
        """The process has ended: why it has never served; None where it, or one before it, has."""
        told = os.read(self._inbox, len(_READY) + select.PIPE_BUF)
        os.close(self._inbox)
        self.has_served = self.has_served or told.startswith(_READY)
        if self.has_served:
            return None
        try:
            error = pickle.loads(told)
        except Exception:
            error = None
        return error if isinstance(error, BaseException) else RuntimeError(f"a worker ended with status {status}")


def run_workers(
    config: ServerConfig, make: Callable[[ServerConfig], FtpServer], ready: Callable[[FtpServer], None]
) -> None:
    """Run ``config.workers`` processes that share the ports (SO_REUSEPORT); one that dies is replaced.

    Limits, bans and quotas hold for all of them together. With port 0 the first worker finds the port for all. They
    stop with this process, whatever ends it.

    Raises:
        Exception: a worker could not begin to serve; what it raised.
    """
    config = _with_common_secret(_with_fixed_ports(config))
    books = SharedBooks(config.workers)
    boxes = Boxes(config.workers)
    children: dict[int, _Worker] = {}
    stopping = False
    failure: BaseException | None = None
    lifeline, held = os.pipe()

    def worker_server(number: int) -> FtpServer:
        server = make(config)
        server.share(WorkerBooks(books, number), Handover(boxes, books, number))
        return server

    def start(number: int, has_served: bool = False) -> None:
        # A signal between the fork and its entry would reach neither the child nor anyone who knows of it.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        child = -1
        try:
            if not stopping:
                worker = _Worker(number, has_served)
                child = os.fork()
            if child > 0:
                worker.is_parent()
                children[child] = worker
        finally:
            if child:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        if child:
            return
        code = 1
        try:
            os.close(held)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for signal_number in (signal.SIGINT, signal.SIGHUP):
                # A terminal sends the one to the parent as well, which says what is to be done; who begins now has
                # nothing that is to be opened anew.
                signal.signal(signal_number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

            def serves(server: FtpServer) -> None:
                if number == 0:
                    ready(server)
                worker.tell_ready()

            run(lambda: worker_server(number), serves, impatient=False, parent=lifeline)
            code = 0
        except BaseException as error:
            if worker.has_served:
                logger.exception("worker %d failed", number)
            worker.tell_failure(error)
        finally:
            logging.shutdown()
            os._exit(code)

    def tell(number: int) -> None:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)

    def pass_on(number: int, _: object) -> None:
        nonlocal stopping
        if number == signal.SIGHUP:
            tell(number)
        else:
            tell(AT_ONCE if stopping else signal.SIGTERM)
            stopping = True

    for number in SIGNALS:
        signal.signal(number, pass_on)
    for index in range(config.workers):
        start(index)
    while children:
        try:
            child, status = os.wait()
        except ChildProcessError:
            break
        if child not in children:
            continue
        worker = children.pop(child)
        error = worker.ended(status)
        if stopping:
            continue
        books.strike_out(worker.number)
        if error is not None:
            failure = error
            stopping = True
            tell(signal.SIGTERM)
            continue
        logger.error("worker %d ended with status %d; starting another", worker.number, status)
        time.sleep(RESTART_PAUSE)
        if not stopping:
            start(worker.number, has_served=True)
    os.close(lifeline)
    os.close(held)
    if failure is not None:
        raise failure


def _with_common_secret(config: ServerConfig) -> ServerConfig:
    """The same settings with a secret for the cookies of the HTTP interface, so that any worker knows those of all."""
    if config.web.secret:
        return config
    return dataclasses.replace(config, web=dataclasses.replace(config.web, secret=secrets.token_urlsafe(32)))


def _with_fixed_ports(config: ServerConfig) -> ServerConfig:
    """The same settings with every port 0 replaced by a free port, so that all workers open the same."""
    listeners = []
    for listener in config.effective_listeners():
        if listener.port == 0 and listener.fd < 0:
            listener = dataclasses.replace(listener, port=_free_port(listener.host))
        listeners.append(listener)
    web = config.web
    if web.enabled and (web.port == 0 or (web.port is None and config.effective_listeners()[0].port == 0)):
        host = listeners[0].host if web.host is None else web.host
        web = dataclasses.replace(web, port=_free_port(host))
    return dataclasses.replace(config, listeners=tuple(listeners), web=web)


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
