"""Upload a directory with asyncio, resumable, and fetch it all back. Arguments: the trackers."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from fastxfer.fdfs import AsyncClient, BatchProgress, ClientConfig, FastDFSError


def show(state: BatchProgress) -> None:
    left = "?" if state.remaining is None else f"{state.remaining:.0f}"
    print(f"{state.done} files, {state.failed} failed, {state.rate:.0f} a second, {left} s left")


async def upload(client: AsyncClient, directory: Path, journal: Path) -> dict[Path, str]:
    stored = {}
    paths = sorted(directory.iterdir())
    async for result in client.upload_many(paths, concurrency=32, journal=journal, progress=show):
        if result.ok:
            stored[result.item] = result.unwrap()
        else:
            print("failed:", result.item, result.error)
    return stored


async def main(trackers: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        source, copies, journal = Path(name, "source"), Path(name, "copies"), Path(name, "upload.journal")
        source.mkdir()
        for number in range(200):
            (source / f"{number:03}.txt").write_bytes(b"%d\n" % number * 1000)

        async with AsyncClient(ClientConfig(trackers, max_conns=32)) as client:
            stored = await upload(client, source, journal)
            print("uploaded", len(stored))
            again = await upload(client, source, journal)
            print("nothing is uploaded twice:", again == stored)

            pairs = [(file_id, copies / path.name) for path, file_id in stored.items()]
            async for result in client.download_many(pairs, concurrency=32):
                result.unwrap()
            print("all the same:", all((copies / path.name).read_bytes() == path.read_bytes() for path in stored))

            async for deleted in client.delete_many(stored.values(), concurrency=32):
                deleted.unwrap()
            print("deleted")


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1:]))
    except FastDFSError as error:
        sys.exit(f"fastdfs_async_batch: {error}")
