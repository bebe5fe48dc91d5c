"""Pure-FTPd."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.macro.servers.ftp_setup import Setup, find_program, need_root, version_from, with_accounts


def version() -> str:
    return version_from([find_program("pure-ftpd"), "--help"], r"pure-ftpd v([\d.]+)")


def command(setup: Setup) -> Sequence[str]:
    need_root("pure-ftpd")
    options = "-4 -H -l unix -u 1 -A -E -c 4000 -C 4000 -I 10 -z -D -L 200000:100 -f none"
    call = [find_program("pure-ftpd"), "-S", f"{setup.host},{setup.port}", *options.split()]
    call += ["-p", f"{setup.passive[0]}:{setup.passive[1]}", "-g", str(setup.folder / "pid")]
    call += ["-Y", "1", "-2", str(setup.certificate.both)] if setup.certificate else ["-Y", "0"]
    return with_accounts(setup, call)
