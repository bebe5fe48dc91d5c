"""Set, merge, replace and remove metadata. Arguments: the trackers, e.g. 192.168.1.100:22122."""

from __future__ import annotations

import sys

from fastxfer.fdfs import Client, ClientConfig, FastDFSError, InvalidMetadataError, MetadataFlag


def main(trackers: list[str]) -> None:
    with Client(ClientConfig(trackers)) as client:
        file_id = client.upload_buffer(b"a picture", "jpg", {"width": "1024", "height": "768"})
        try:
            print("uploaded with", client.get_metadata(file_id))
            client.set_metadata(file_id, {"author": "Łukasz"}, MetadataFlag.MERGE)
            print("merged:", client.get_metadata(file_id))
            client.set_metadata(file_id, {"title": "Sunrise"})
            print("replaced:", client.get_metadata(file_id))
            try:
                client.set_metadata(file_id, {"title": "x" * 257})
            except InvalidMetadataError as error:
                print("refused:", error)
            client.set_metadata(file_id, None)
            print("removed:", client.get_metadata(file_id))
        finally:
            client.delete_file(file_id)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except FastDFSError as error:
        sys.exit(f"fastdfs_metadata: {error}")
