"""The FTP servers, each started with a root of its own."""

from __future__ import annotations

import itertools
import os
import socket
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
PASSIVE_PORTS = 2400
_ranges = itertools.cycle(range(10000, 10000 + 8 * PASSIVE_PORTS, PASSIVE_PORTS))


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
        first = next(_ranges)
        host, port = "127.0.0.1", _control_port()
        setup = Setup(folder, self.root, host, port, (first, first + PASSIVE_PORTS - 1), certificate)
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))}
        self._program = Program(daemon.command(setup), (host, port), folder / "log", environment, cwd=ROOT)
        self.description = f"{name} {self.version}"
        self.server: dict[str, Any] = {
            "host": host,
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


def _control_port() -> int:
    """A free port outside the ranges of passive ports and of ports the system gives out."""
    for port in range(9000, 9900):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError("no free control port")
