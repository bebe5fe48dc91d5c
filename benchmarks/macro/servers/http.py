"""The HTTP servers, each started with a root of its own, its files under /files/."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.macro.client import ROOT
from benchmarks.macro.servers.ftp_setup import PASSWORD, UID, USER, Setup, find_program, version_from
from benchmarks.macro.servers.program import Program, free_port
from benchmarks.macro.servers.python_program import installed_version, python_command


def _fastxfer(folder: Path, root: Path, port: int) -> tuple[str, list[str]]:
    from fastxfer import __version__

    installed_version("aiohttp")
    setup = Setup(folder, root, "127.0.0.1", free_port(), (9900, 9999), None)
    return __version__, [*python_command("ftp_fastxfer", setup), "", str(port)]


def _nginx(folder: Path, root: Path, port: int) -> tuple[str, list[str]]:
    program = find_program("nginx")
    user = "user root;" if os.geteuid() == 0 else ""
    scratch = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; {user} worker_processes 1; pid {folder}/pid; error_log {folder}/errors;"
        "events { worker_connections 1024; }"
        f"http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; {scratch}"
        f"server {{ listen 127.0.0.1:{port}; location /files/ {{ alias {root}/; }} }} }}\n"
    )
    return version_from([program, "-v"], r"nginx/([\d.]+)"), [
        program,
        "-e",
        f"{folder}/errors",
        "-c",
        f"{folder}/nginx.conf",
    ]


def _aiohttp(folder: Path, root: Path, port: int) -> tuple[str, list[str]]:
    version = installed_version("aiohttp")
    return version, [sys.executable, "-m", "benchmarks.macro.servers.http_aiohttp", "127.0.0.1", str(port), str(root)]


KINDS = {"fastxfer": _fastxfer, "nginx": _nginx, "aiohttp": _aiohttp}


class HttpServer:
    """A running HTTP server.

    Args:
        name: a key of :data:`KINDS`.
        folder: a directory that is its own; the root is ``root`` in it.

    Raises:
        Missing: when it cannot run on this machine.
        ServerError: when it does not start.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.root = folder / "root"
        self.root.mkdir(parents=True)
        if os.geteuid() == 0:
            os.chown(self.root, UID, UID)
        port = free_port()
        self.version, command = KINDS[name](folder, self.root, port)
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))}
        self._program = Program(command, ("127.0.0.1", port), folder / "log", environment, cwd=ROOT)
        self.server: dict[str, Any] = {"host": "127.0.0.1", "port": port, "user": USER, "password": PASSWORD}

    @property
    def pids(self) -> list[int]:
        return self._program.pids

    def stop(self) -> None:
        self._program.stop()
