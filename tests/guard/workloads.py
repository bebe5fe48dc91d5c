"""The hot paths as a program whose system calls and instructions can be counted: WORKLOAD COUNT [ARGUMENT...].

What one operation costs is the difference between a run that does many and one that does few, divided by how many more
it did; so nothing that happens once counts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

FILE_ID = "group1/M00/00/00/wKgBcGXq0KqAHVaNAAAAEsGFZ2I123.bin"


def fdfs(operation: str) -> Callable[..., None]:
    """A blocking FastDFS client doing one operation of the given tracker's files again and again."""

    def run(count: int, tracker: str, file_id: str) -> None:
        from fastxfer.fdfs import Client, ClientConfig

        data = b"x" * 4096
        config = ClientConfig(tracker_addrs=[tracker], spin=0, upload_target_age=3600.0, topology_age=3600.0)
        with Client(config) as client:
            for _ in range(count):
                if operation == "upload":
                    client.upload_buffer(data, "bin")
                elif operation == "download":
                    client.download_file(file_id)
                else:
                    client.get_file_info(file_id)

    return run


def ftp_download(count: int, port: str, target: str) -> None:
    """A blocking FTP client fetching a small file again and again on one connection."""
    from fastxfer.ftp import Client

    with Client(f"ftp://user@127.0.0.1:{port}/", password="pass") as client:
        for _ in range(count):
            client.download("/small", target)


def ftp_upload(count: int, port: str, source: str) -> None:
    """A blocking FTP client storing a small file again and again on one connection."""
    from fastxfer.ftp import Client

    with Client(f"ftp://user@127.0.0.1:{port}/", password="pass") as client:
        for _ in range(count):
            client.upload(source, "/small")


def ftp_serve(_: int, root: str) -> None:
    """An FTP server that says its port and runs until its input ends."""
    import asyncio

    from fastxfer.server import FtpServer, User

    async def main() -> None:
        async with FtpServer(root, port=0, users=[(User(name="user"), "pass")]) as server:
            print(server.port, flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

    asyncio.run(main())


def crc32(count: int) -> None:
    """The checksum of a small buffer."""
    from fastxfer.core.crc32 import crc32 as checksum

    data = b"x" * 256
    for _ in range(count):
        checksum(data)


def pack_upload(count: int) -> None:
    """The head of an upload request."""
    from fastxfer.core.wire import upload_request

    for _ in range(count):
        upload_request(11, 0, 4096, "bin")


def pack_download(count: int) -> None:
    """The head of a download request."""
    from fastxfer.core.wire import download_request

    for _ in range(count):
        download_request(FILE_ID, 0, 0)


def file_id_parts(count: int) -> None:
    """A file ID taken apart."""
    from fastxfer.core.wire import decode_file_id

    for _ in range(count):
        decode_file_id(FILE_ID)


WORKLOADS: dict[str, Callable[..., None]] = {
    "fdfs_upload": fdfs("upload"),
    "fdfs_download": fdfs("download"),
    "fdfs_info": fdfs("info"),
    "ftp_download": ftp_download,
    "ftp_upload": ftp_upload,
    "ftp_serve": ftp_serve,
    "crc32": crc32,
    "pack_upload": pack_upload,
    "pack_download": pack_download,
    "decode_file_id": file_id_parts,
}

if __name__ == "__main__":
    WORKLOADS[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:])
