"""A FastDFS cluster on this machine, a client, and a storage that dies. Run it with Python, without arguments."""

from __future__ import annotations

import tempfile

from fastxfer.fdfs import Client, ClientConfig, parse_file_id
from fastxfer.fdfs.node import Fault, Node, NodeConfig


def main() -> None:
    config = NodeConfig(use_storage_id=True)
    with (
        tempfile.TemporaryDirectory() as directory,
        Node(directory, groups={"group1": 2}, config=config) as node,
        Client(ClientConfig(tracker_addrs=node.tracker_addrs)) as client,
    ):
        file_id = client.upload_buffer(b"Hello, FastDFS!", "txt", {"author": "me"})
        print("stored as", file_id)

        for storage in node.storages:
            print(storage.name, "has", storage.path_of(file_id).read_bytes())

        # The storage it was uploaded to dies; the other one answers.
        source = next(storage for storage in node.storages if storage.id == str(parse_file_id(file_id).storage_id))
        source.kill()
        print("without", source.name, "the other still serves", client.download_file(file_id))
        source.start()

        # What comes back changed is an error, not a result.
        node.inject(Fault(command=14, corrupt=0, times=None))
        try:
            client.download_file(file_id)
        except Exception as error:
            print("refused:", error)
        node.faults.clear()
        client.delete_file(file_id)


if __name__ == "__main__":
    main()
