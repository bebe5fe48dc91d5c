"""Upload, download, look, delete. Arguments: the trackers, e.g. 192.168.1.100:22122."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from fastxfer.fdfs import Client, ClientConfig, FastDFSError, FileNotFoundError, Progress, parse_file_id


def show(state: Progress) -> None:
    print(f"{state.transferred} of {state.total} bytes, {state.rate / 1e6:.0f} MB/s")


def main(trackers: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory, Client(ClientConfig(trackers)) as client:
        source, target = Path(directory, "report.pdf"), Path(directory, "copy.pdf")
        source.write_bytes(b"%PDF-1.7\n" * 100_000)

        file_id = client.upload_file(source, progress=show)
        print("stored as", file_id)
        parts = parse_file_id(file_id)
        print("its ID tells: group", parts.group, "size", parts.size, f"CRC-32 {parts.crc32:08x}")
        info = client.get_file_info(file_id)
        print("the server says:", info.file_size, "bytes on", info.source_ip_addr)

        print("begins with", client.download_file_range(file_id, 0, 8))
        client.download_to_file(file_id, target)
        print("the copy is the same:", target.read_bytes() == source.read_bytes())

        client.delete_file(file_id)
        print("still there:", client.file_exists(file_id))
        try:
            client.download_file(file_id)
        except FileNotFoundError as error:
            print("as expected:", error)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except FastDFSError as error:
        sys.exit(f"fastdfs_basic: {error}")
