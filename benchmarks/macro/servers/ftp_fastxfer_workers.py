"""Our own server from the command line with two workers, as one runs it on a machine with several cores."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks.macro.servers.ftp_setup import PASSWORD, USER, Setup
from fastxfer import __version__

WORKERS = 2


def version() -> str:
    return __version__


def command(setup: Setup) -> Sequence[str]:
    secret = setup.folder / "password"
    secret.write_text(PASSWORD)
    call = [sys.executable, "-m", "fastxfer", "serve", str(setup.root), "--workers", str(WORKERS)]
    call += ["--host", setup.host, "--port", str(setup.port), "--user", USER, "--password-file", str(secret)]
    call += ["--limits-list-entries", "1000000"]
    return [*call, "--tls-cert", str(setup.certificate.both)] if setup.certificate else call
