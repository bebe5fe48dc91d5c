"""A bare connection to a server of a node: one request, one reply, nothing clever."""

from __future__ import annotations

import socket
import struct
from types import TracebackType

from fastxfer.core.wire import (
    HEADER_SIZE,
    download_request,
    file_request,
    group_request,
    unpack_file_id,
    unpack_header,
    unpack_store_target,
    upload_request,
)
from fastxfer.fdfs.node import Node

PATIENCE = 30.0
OK, ENOENT, EEXIST, EINVAL, ENOSPC = 0, 2, 17, 22, 28


def split_address(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


class Raw:
    """A connection; replies are ``(status, body)``."""

    def __init__(self, address: str) -> None:
        self.socket = socket.create_connection(split_address(address), timeout=PATIENCE)

    def __enter__(self) -> Raw:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise EOFError(f"closed after {len(data)} of {count} bytes")
            data += part
        return data

    def reply(self) -> tuple[int, bytes]:
        length, command, status = unpack_header(self.receive(HEADER_SIZE))
        assert command == 100
        return status, self.receive(length)

    def ask(self, request: bytes) -> tuple[int, bytes]:
        self.send(request)
        return self.reply()

    def closed(self) -> bool:
        """Wait for the server to close; False where it sends something instead."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def closed_already(self) -> bool:
        """Whether the server has closed it up to now."""
        self.socket.setblocking(False)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)

    def alive(self) -> bool:
        """Whether it still answers."""
        return self.ask(empty(111)) == (OK, b"")

    # Commands that many tests need

    def upload(self, data: bytes, extension: str = "txt", *, command: int = 11, index: int = 0) -> str:
        status, body = self.ask(upload_request(command, index, len(data), extension) + data)
        assert status == OK, status
        return unpack_file_id(body)

    def download(self, file_id: str) -> bytes:
        status, body = self.ask(download_request(file_id))
        assert status == OK, status
        return body

    def status_of(self, file_id: str) -> int:
        return self.ask(file_request(22, file_id))[0]


def empty(command: int) -> bytes:
    """A request without a body."""
    return struct.pack(">qBB", 0, command, 0)


def upload_target(node: Node, group: str = "") -> str:
    """Address of the storage that the first tracker gives for an upload."""
    with Raw(node.tracker_addrs[0]) as tracker:
        status, body = tracker.ask(group_request(104, group) if group else empty(101))
        assert status == OK, status
        _, host, port, _ = unpack_store_target(body)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
