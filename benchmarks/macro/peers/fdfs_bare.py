"""The bare loop: kept sockets, struct and nothing else; with the tracker asked each time, or never.

It stands for what a blocking Python client could reach if a client had nothing else to do; it checks nothing.
"""

from __future__ import annotations

import os
import platform
import socket
import struct
import sys
import threading

from benchmarks.macro.worker import serve
from fastxfer.bench import Meter, Work, run_sync

HEADER = struct.Struct(">QBB")
UPLOAD, DELETE, DOWNLOAD, INFO = 11, 12, 14, 22
QUERY_STORE, QUERY_FETCH, QUERY_UPDATE = 101, 102, 103
BLOCK = 256 * 1024


class Link:
    """One kept connection of one thread."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.header = bytearray(10)

    def read(self, size: int) -> bytearray:
        data = bytearray(size)
        self.fill(memoryview(data))
        return data

    def fill(self, view: memoryview) -> None:
        while view:
            count = self.socket.recv_into(view)
            if not count:
                raise ConnectionError("the server closed")
            view = view[count:]

    def ask(self, command: int, body: bytes, follows: int = 0) -> None:
        self.socket.sendall(HEADER.pack(len(body) + follows, command, 0) + body)

    def answer(self) -> int:
        self.fill(memoryview(self.header))
        length, _, status = HEADER.unpack(self.header)
        if status:
            raise OSError(status, os.strerror(status))
        return length


class Store:
    def __init__(self, work: Work, use_tracker: bool) -> None:
        host, _, port = work.server["tracker"].split(",")[0].rpartition(":")
        self._tracker = (host, int(port))
        self._use_tracker = use_tracker
        self._links = threading.local()
        self._storage: tuple[str, int, int] | None = None

    def _link(self, address: tuple[str, int]) -> Link:
        links = self._links.__dict__
        link = links.get(str(address))
        if link is None:
            link = links[str(address)] = Link(*address)
        return link

    def _target(self) -> tuple[str, int, int]:
        if self._storage is None or self._use_tracker:
            tracker = self._link(self._tracker)
            tracker.ask(QUERY_STORE, b"")
            body = tracker.read(tracker.answer())
            wide = len(body) - 16 - 8 - 1
            self._storage = (
                body[16 : 16 + wide].rstrip(b"\0").decode(),
                int.from_bytes(body[16 + wide : 24 + wide], "big"),
                body[-1],
            )
        return self._storage

    def _source(self, query: int, group: str, name: str) -> tuple[str, int]:
        if not self._use_tracker:
            return self._target()[:2]
        tracker = self._link(self._tracker)
        tracker.ask(query, group.encode().ljust(16, b"\0") + name.encode())
        body = tracker.read(tracker.answer())
        return body[16:-8].rstrip(b"\0").decode(), int.from_bytes(body[-8:], "big")

    def _named(self, body: bytearray) -> str:
        return body[:16].rstrip(b"\0").decode() + "/" + body[16:].decode()

    def upload(self, data: bytes) -> str:
        host, port, path = self._target()
        link = self._link((host, port))
        link.ask(UPLOAD, bytes((path,)) + struct.pack(">Q", len(data)) + b"bin\0\0\0" + data)
        return self._named(link.read(link.answer()))

    def download(self, file_id: str) -> bytes:
        link = self._request_download(file_id)
        return link.read(link.answer())

    def _request_download(self, file_id: str) -> Link:
        group, _, name = file_id.partition("/")
        link = self._link(self._source(QUERY_FETCH, group, name))
        link.ask(DOWNLOAD, struct.pack(">QQ", 0, 0) + group.encode().ljust(16, b"\0") + name.encode())
        return link

    def info(self, file_id: str) -> object:
        group, _, name = file_id.partition("/")
        link = self._link(self._source(QUERY_FETCH, group, name))
        link.ask(INFO, group.encode().ljust(16, b"\0") + name.encode())
        return link.read(link.answer())

    def delete(self, file_id: str) -> object:
        group, _, name = file_id.partition("/")
        link = self._link(self._source(QUERY_UPDATE, group, name))
        link.ask(DELETE, group.encode().ljust(16, b"\0") + name.encode())
        return link.answer()

    def upload_file(self, path: str) -> str:
        host, port, index = self._target()
        link = self._link((host, port))
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            link.ask(UPLOAD, bytes((index,)) + struct.pack(">Q", size) + b"bin\0\0\0", size)
            link.socket.sendfile(file)
        return self._named(link.read(link.answer()))

    def download_file(self, file_id: str, path: str) -> object:
        link = self._request_download(file_id)
        left = link.answer()
        view = memoryview(bytearray(BLOCK))
        with open(path, "wb", buffering=0) as file:
            while left:
                count = link.socket.recv_into(view[: min(left, BLOCK)])
                if not count:
                    raise ConnectionError("the server closed")
                file.write(view[:count])
                left -= count
        return path


def run(work: Work, meter: Meter) -> None:
    run_sync(work, Store(work, use_tracker=sys.argv[1:] != ["direct"]), meter)


if __name__ == "__main__":
    serve(f"Python {platform.python_version()}", run)
