"""The FtpPy API: a server and a client of it in one program. Run it with Python, without arguments."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from fastxfer.ftppy import FtpPy
from fastxfer.ftppy.auth import Basic
from fastxfer.ftppy.config import Limits, Retry, Timeout

LOGIN = Basic("admin", "a long enough password")


async def use(endpoint: str, directory: Path) -> None:
    ftp = FtpPy(
        endpoint,
        auth=LOGIN,
        timeout=Timeout(connect=5.0, read=30.0),
        retry=Retry(total=3),
        limits=Limits(connections=4),
    )
    names = ["one.txt", "two.txt", "three.txt"]
    for name in names:
        (directory / name).write_text(f"this is {name}")

    async with ftp.client() as client:
        results = await client.batch([(str(directory / name), f"/uploads/{name}") for name in names])
        print("uploaded", sum(results.values()), "of", len(results))
        for entry in await client.list("/uploads"):
            print(entry["name"], entry["size"], "bytes")
        print("the same as here:", all((await client.verify(directory, "/uploads")).values()))
        print("moved:", await client.move("/uploads/one.txt", "/archive/2026/one.txt"))
        print("found:", [entry["path"] for entry in await client.search("*.txt", "/")])


async def main() -> None:
    with tempfile.TemporaryDirectory() as served, tempfile.TemporaryDirectory() as local:
        # Port 0 is any free one; server.port tells which.
        async with FtpPy("ftp://127.0.0.1:0", auth=LOGIN).server(served) as server:
            await use(f"ftp://127.0.0.1:{server.port}", Path(local))


if __name__ == "__main__":
    asyncio.run(main())
