"""The FTP servers, each started with a root of its own."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.macro.client import ROOT, Missing
from benchmarks.macro.servers import (
    ftp_aioftp,
    ftp_fastxfer,
    ftp_fastxfer_workers,
    ftp_proftpd,
    ftp_pureftpd,
    ftp_pyftpdlib,
    ftp_vsftpd,
)
from benchmarks.macro.servers.ftp_setup import PASSWORD, UID, USER, Certificate, Setup
from benchmarks.macro.servers.program import Program, ServerError

DAEMONS = {
    "fastxfer": ftp_fastxfer,
    "fastxfer-workers": ftp_fastxfer_workers,
    "vsftpd": ftp_vsftpd,
    "proftpd": ftp_proftpd,
    "pure-ftpd": ftp_pureftpd,
    "pyftpdlib": ftp_pyftpdlib,
    "aioftp": ftp_aioftp,
}
HOST = "127.0.0.1"
CONTROL_PORTS = range(9000, 9900)
PASSIVE_PORTS = 2400
"""With half as many, Pure-FTPd gives two of 200 clients the same port now and then, and both wait for a minute."""
RANGES = range(10000, 10000 + 8 * PASSIVE_PORTS, PASSIVE_PORTS)
"""First passive ports: outside of the ports that the system gives out."""


class FtpDaemon:
    """A running FTP server.

    Args:
        name: a key of :data:`DAEMONS`.
        folder: a directory that is its own; the root is ``root`` in it.
        certificate: for explicit TLS; None for a plain server.

    Raises:
        Missing: when it cannot run on this machine.
        ServerError: when it does not start.
    """

    def __init__(self, name: str, folder: Path, certificate: Certificate | None = None) -> None:
        daemon = DAEMONS[name]
        self.version = daemon.version()
        self.root = folder / "root"
        self.root.mkdir(parents=True)
        if os.geteuid() == 0:
            os.chown(self.root, UID, UID)
        self._claims = contextlib.ExitStack()
        try:
            first = self._claims.enter_context(_claim(RANGES))
        except ServerError:
            # Runs beside each other may have more servers than there are ranges. Those of servers can be shared.
            first = random.choice(RANGES)
        port = self._claims.enter_context(_claim(CONTROL_PORTS))
        setup = Setup(folder, self.root, HOST, port, (first, first + PASSIVE_PORTS - 1), certificate)
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))}
        try:
            self._program = Program(daemon.command(setup), (HOST, port), folder / "log", environment, cwd=ROOT)
        except BaseException:
            self._claims.close()
            raise
        self.description = f"{name} {self.version}"
        self.server: dict[str, Any] = {
            "host": HOST,
            "port": port,
            "user": USER,
            "password": PASSWORD,
            "tls": certificate is not None,
            "ca": str(certificate.ca) if certificate else "",
        }

    @property
    def pids(self) -> list[int]:
        return self._program.pids

    def stop(self) -> None:
        self._program.stop()
        self._claims.close()


def first_available(names: tuple[str, ...], folder: Path, certificate: Certificate | None) -> FtpDaemon:
    """The first of *names* that runs on this machine.

    Raises:
        ServerError: when none does.
    """
    reasons = []
    for name in names:
        try:
            return FtpDaemon(name, folder / name, certificate)
        except (Missing, ServerError) as error:
            reasons.append(f"{name}: {error}")
    raise ServerError("; ".join(reasons))


@contextlib.contextmanager
def _claim(ports: Iterable[int]) -> Iterator[int]:
    """The first of *ports* that nobody listens on and no other run beside this one has claimed.

    The claim is a UDP socket of that number: these servers have no use for it, and the system ends it with the process.
    """
    for port in ports:
        with socket.socket() as probe, socket.socket(type=socket.SOCK_DGRAM) as claim:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                claim.bind((HOST, port))
                probe.bind((HOST, port))
            except OSError:
                continue
            probe.close()
            yield port
            return
    raise ServerError("no free port")
