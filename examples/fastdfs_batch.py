"""Upload all files below a directory to FastDFS; started again, it goes on where it was stopped.

python fastdfs_batch.py 192.168.1.100:22122 photos photos.journal
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

from fastxfer.fdfs import AsyncClient, ClientConfig, UploadItem


def files(directory: str) -> Iterator[UploadItem]:
    for path in sorted(Path(directory).rglob("*")):
        if path.is_file():
            yield UploadItem(str(path), metadata={"name": path.name})


async def main(tracker: str, directory: str, journal: str) -> int:
    done = failed = skipped = 0
    async with AsyncClient(ClientConfig(tracker_addrs=[tracker])) as client:
        async for result in client.upload_many(files(directory), concurrency=32, journal=journal):
            if result.ok:
                done += 1
                skipped += result.skipped
                print(result.value, result.item.source)
            else:
                failed += 1
                print("FAILED", result.item.source, result.error, file=sys.stderr)
    print(f"{done} stored, {skipped} of them before; {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(asyncio.run(main(*sys.argv[1:])))
