"""pyftpdlib, as a program: HOST PORT ROOT FIRST LAST [CERTIFICATE]."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from benchmarks.macro.servers.ftp_setup import PASSWORD, USER, Setup
from benchmarks.macro.servers.python_program import installed_version, python_command


def version() -> str:
    return installed_version("pyftpdlib")


def command(setup: Setup) -> Sequence[str]:
    if setup.certificate:
        installed_version("pyOpenSSL")
    return python_command("ftp_pyftpdlib", setup)


def main(host: str, port: str, root: str, first: str, last: str, both: str = "") -> None:
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import FTPServer

    logging.basicConfig(level=logging.WARNING)
    handler = FTPHandler
    if both:
        from pyftpdlib.handlers import TLS_FTPHandler

        handler = TLS_FTPHandler
        handler.certfile = both
    authorizer = DummyAuthorizer()
    authorizer.add_user(USER, PASSWORD, root, perm="elradfmwMT")
    handler.authorizer = authorizer
    handler.passive_ports = range(int(first), int(last) + 1)
    handler.timeout = 600
    server = FTPServer((host, int(port)), handler, backlog=512)
    server.max_cons = server.max_cons_per_ip = 8192
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
