"""Write many small files to an FTP server and read them back, several at a time.

FTP_PASSWORD=secret python ftp_small_files.py ftp://me@files.example.org/inbox 1000
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from fastxfer.ftp import AsyncClient

CONNECTIONS = 8
SIZE = 4096


async def main(url: str, count: int) -> None:
    files = {f"small-{number:06}.bin": os.urandom(SIZE) for number in range(count)}
    async with AsyncClient(url, password=os.environ.get("FTP_PASSWORD"), connections=CONNECTIONS) as client:
        # The pool bounds how many files are on their way; tasks beyond that wait for a connection.
        began = time.perf_counter()
        # Nobody looks at these names before they are complete, so the temporary name can be saved.
        await asyncio.gather(*(client.upload(content, name, atomic=False) for name, content in files.items()))
        print(f"uploaded   {count / (time.perf_counter() - began):8.0f} files/s")

        began = time.perf_counter()
        contents = await asyncio.gather(*(client.read(name) for name in files))
        print(f"downloaded {count / (time.perf_counter() - began):8.0f} files/s")
        if contents != list(files.values()):
            sys.exit("what came back is not what was sent")

        await asyncio.gather(*(client.remove(name) for name in files))
        print("every byte is the same; removed again")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
