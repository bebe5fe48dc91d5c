"""An FTP drop box: every file that arrives is weighed, and goes to /accepted or /rejected by its first bytes.

FTP_PASSWORD=secret python server_with_hooks.py /srv/dropbox 2121
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from fastxfer.server import Direction, FtpServer, Hooks, Permissions, SessionInfo, TransferInfo, User

INBOX = "/inbox"


class DropBox(Hooks):
    """Looks at what has come when it is whole."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def on_login(self, session: SessionInfo) -> None:
        print(f"{session.user} from {session.address}", flush=True)

    async def on_transfer_start(self, transfer: TransferInfo) -> None:
        if transfer.direction is not Direction.DOWNLOAD and transfer.path.endswith(".exe"):
            raise PermissionError("programs are not taken")

    async def on_transfer_end(self, transfer: TransferInfo) -> None:
        if not transfer.ok or transfer.direction is Direction.DOWNLOAD:
            return
        await asyncio.to_thread(self._sort, transfer.path)

    def _sort(self, path: str) -> None:
        arrived = self._root / path.lstrip("/")
        with arrived.open("rb") as file:
            good = file.read(5) == b"%PDF-"
        target = self._root / ("accepted" if good else "rejected") / arrived.name
        arrived.replace(target)
        print(f"{path} -> {target.parent.name}, {target.stat().st_size} bytes", flush=True)


async def main(directory: str, port: int) -> None:
    root = Path(directory)
    for name in ("inbox", "accepted", "rejected"):
        (root / name).mkdir(parents=True, exist_ok=True)
    # Nothing but uploads under new names, and only in the inbox.
    sender = User(name="sender", home=INBOX, permissions=Permissions("list", {INBOX: "upload-only list"}))
    server = FtpServer(root, port=port, users=[(sender, os.environ["FTP_PASSWORD"])], hooks=DropBox(root))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        print(f"FTP on port {server.port}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    if len(sys.argv) != 3 or "FTP_PASSWORD" not in os.environ:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
