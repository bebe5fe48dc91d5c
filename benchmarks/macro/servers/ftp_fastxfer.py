"""Our own server, as a program: HOST PORT ROOT FIRST LAST [CERTIFICATE]; ``web`` after it also opens the HTTP port."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from typing import Any

from benchmarks.macro.servers.ftp_setup import PASSWORD, USER, Setup
from benchmarks.macro.servers.python_program import python_command
from fastxfer import __version__


def version() -> str:
    return __version__


def command(setup: Setup) -> Sequence[str]:
    return python_command("ftp_fastxfer", setup)


async def main(host: str, port: str, root: str, first: str, last: str, both: str = "", web: str = "") -> None:
    from fastxfer.server import FtpServer, LimitsConfig, PassiveConfig, ServerConfig, TlsConfig, User, WebConfig

    config = ServerConfig(
        root=root,
        host=host,
        port=int(port),
        tls=TlsConfig(cert=both),
        passive=PassiveConfig(ports=(int(first), int(last))),
        limits=LimitsConfig(list_entries=1_000_000),
        web=WebConfig(enabled=bool(web), port=int(web) if web else None),
    )
    async with FtpServer(config=config, users=[(User(name=USER), PASSWORD)]):
        await asyncio.Event().wait()


def run(program: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(program)
    else:
        uvloop.run(program)


if __name__ == "__main__":
    run(main(*sys.argv[1:]))
