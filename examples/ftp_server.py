"""Serve a directory by FTP, FTPS and HTTP: one user who may do everything, and guests who may read /public.

    FTP_PASSWORD=secret python ftp_server.py /srv/files 2121 server.pem

``fastxfer cert server.pem`` makes a certificate for a start; without one there is no TLS.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from fastxfer.server import FtpServer, LimitsConfig, TlsConfig, User, WebConfig


async def main(root: str, port: int, certificate: str = "") -> None:
    os.makedirs(os.path.join(root, "public"), exist_ok=True)
    server = FtpServer(
        root,
        port=port,
        users=[(User(name="me"), os.environ["FTP_PASSWORD"])],
        anonymous=True,
        anonymous_root="/public",
        tls=TlsConfig(cert=certificate),
        web=WebConfig(enabled=True),
        limits=LimitsConfig(sessions_per_ip=50),
    )
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        print(f"FTP on port {server.port}, HTTP on port {server.web_port}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4 or "FTP_PASSWORD" not in os.environ:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
