"""A node starts, takes a file, gives it back, and has it still after a restart."""

from __future__ import annotations

import socket
from pathlib import Path

from fastxfer.core.wire import (
    download_request,
    unpack_file_id,
    unpack_header,
    unpack_store_target,
    upload_request,
)
from fastxfer.fdfs.node import Node
from tests.node.replay import receive_exactly, split_address


def ask(address: tuple[str, int], request: bytes) -> bytes:
    with socket.create_connection(address, timeout=30) as sock:
        sock.sendall(request)
        length, _, status = unpack_header(receive_exactly(sock, 10))
        assert status == 0
        return receive_exactly(sock, length)


def test_a_file_is_there_after_a_restart(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4000
    with Node(tmp_path) as node:
        _, host, port, index = unpack_store_target(
            ask(split_address(node.tracker_addrs[0]), (0).to_bytes(8, "big") + bytes([101, 0]))
        )
        file_id = unpack_file_id(ask((host, port), upload_request(11, index, len(content), "bin") + content))
        assert node.storages[0].path_of(file_id).read_bytes() == content
    with Node(tmp_path) as node:
        assert ask((host, node.storages[0].port), download_request(file_id)) == content
