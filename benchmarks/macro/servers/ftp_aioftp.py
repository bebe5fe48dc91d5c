"""aioftp's server, as a program: HOST PORT ROOT FIRST LAST. It has no AUTH TLS."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from benchmarks.macro.client import Missing
from benchmarks.macro.servers.ftp_setup import PASSWORD, USER, Setup
from benchmarks.macro.servers.python_program import installed_version, python_command


def version() -> str:
    return installed_version("aioftp")


def command(setup: Setup) -> Sequence[str]:
    if setup.certificate:
        raise Missing("aioftp has no explicit TLS (AUTH TLS)")
    return python_command("ftp_aioftp", setup)


async def main(host: str, port: str, root: str, first: str, last: str) -> None:
    import aioftp

    user = aioftp.User(USER, PASSWORD, base_path=root)
    server = aioftp.Server([user], data_ports=range(int(first), int(last) + 1))
    await server.start(host, int(port))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
