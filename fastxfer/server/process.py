"""The process around a server: signals, sockets that were inherited, workers, changing root and account."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import grp
import logging
import os
import pwd
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable

from fastxfer.server.config import ListenerConfig, ServerConfig
from fastxfer.server.handover import Boxes, Handover
from fastxfer.server.heap import use_one_arena
from fastxfer.server.server import FtpServer
from fastxfer.server.sharedbooks import SharedBooks, WorkerBooks

__all__ = ["inherited_listeners", "run", "run_workers", "take_privileges_away"]

logger = logging.getLogger("fastxfer.server")

SD_LISTEN_FDS_START = 3
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Those that the parent of workers passes on."""
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


def run(make: Callable[[], FtpServer], ready: Callable[[FtpServer], None] | None = None) -> None:
    """Run one server in this process until SIGTERM or SIGINT; SIGHUP opens the logs anew and looks at certificates.

    Args:
        make: makes the server.
        ready: called once it serves.
    """
    use_one_arena()
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(make, ready))
        return
    if sys.version_info >= (3, 11):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(make, ready))
    else:
        uvloop.install()
        asyncio.run(_serve(make, ready))


async def _serve(make: Callable[[], FtpServer], ready: Callable[[FtpServer], None] | None) -> None:
    server = make()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with server:
        loop.add_signal_handler(signal.SIGHUP, server.reload)
        take_privileges_away(server.config)
        notify("READY=1")
        if ready is not None:
            ready(server)
        await stop.wait()
        notify("STOPPING=1")
        logger.info("stopping")


def run_workers(
    config: ServerConfig, make: Callable[[ServerConfig], FtpServer], ready: Callable[[FtpServer], None]
) -> None:
    """Run ``config.workers`` processes that share the ports (SO_REUSEPORT); one that dies is replaced.

    Limits, bans and quotas hold for all of them together. With port 0 the first worker finds the port for all.
    """
    config = _with_common_secret(_with_fixed_ports(config))
    books = SharedBooks(config.workers)
    boxes = Boxes(config.workers)
    children: dict[int, int] = {}
    stopping = False

    def worker_server(number: int) -> FtpServer:
        server = make(config)
        server.share(WorkerBooks(books, number), Handover(boxes, books, number))
        return server

    def start(number: int) -> None:
        # A signal between the fork and its entry would reach neither the child nor anyone who knows of it.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        child = -1
        try:
            if not stopping:
                child = os.fork()
            if child > 0:
                children[child] = number
        finally:
            if child:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        if child:
            return
        code = 1
        try:
            for signal_number in SIGNALS:
                signal.signal(signal_number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            run(lambda: worker_server(number), ready if number == 0 else None)
            code = 0
        except BaseException:
            logger.exception("worker %d failed", number)
        finally:
            logging.shutdown()
            os._exit(code)

    def pass_on(number: int, _: object) -> None:
        nonlocal stopping
        stopping = stopping or number != signal.SIGHUP
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)

    for number in SIGNALS:
        signal.signal(number, pass_on)
    for worker in range(config.workers):
        start(worker)
    while children:
        try:
            child, status = os.wait()
        except ChildProcessError:
            break
        worker = children.pop(child, -1)
        if worker < 0 or stopping:
            continue
        books.strike_out(worker)
        logger.error("worker %d ended with status %d; starting another", worker, status)
        time.sleep(RESTART_PAUSE)
        if not stopping:
            start(worker)


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
            family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                probe.bind((listener.host, 0))
                listener = dataclasses.replace(listener, port=probe.getsockname()[1])
        listeners.append(listener)
    return dataclasses.replace(config, listeners=tuple(listeners))
