"""A log that grows, is corrected, cut, and sealed. Arguments: the trackers, e.g. 192.168.1.100:22122."""

from __future__ import annotations

import sys

from fastxfer.fdfs import Client, ClientConfig, FastDFSError, NetworkError


def append_once(client: Client, file_id: str, line: bytes) -> None:
    """Append *line*; where the connection breaks, only look whether it has arrived before sending it again."""
    size = client.get_file_info(file_id).file_size
    try:
        client.append_buffer(file_id, line)
    except NetworkError as error:
        if error.maybe_done and client.get_file_info(file_id).file_size == size + len(line):
            return
        client.truncate_file(file_id, size)
        client.append_buffer(file_id, line)


def main(trackers: list[str]) -> None:
    with Client(ClientConfig(trackers)) as client:
        file_id = client.upload_appender_buffer(b"begin\n", "log")
        try:
            for number in range(3):
                append_once(client, file_id, b"line %d\n" % number)
            print("appended:", client.download_file(file_id))
            client.modify_buffer(file_id, 0, b"BEGIN")
            client.truncate_file(file_id, 13)
            print("modified and cut:", client.download_file(file_id))
            file_id = client.regenerate_appender_file(file_id)
            print("sealed as a normal file:", client.download_file(file_id))
        finally:
            client.delete_file(file_id)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except FastDFSError as error:
        sys.exit(f"fastdfs_appender: {error}")
