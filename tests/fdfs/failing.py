"""What tests of failures share: commands by name, bytes, servers that are none, and what a node has stored."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import numpy as np

from fastxfer.fdfs.node import Node

UPLOAD, DELETE, SET_METADATA, DOWNLOAD, GET_METADATA, SLAVE, INFO, APPEND = 11, 12, 13, 14, 15, 21, 22, 24
QUERY_STORE_ALL, FETCH_ALL, UPDATE, LIST_STORAGE = 106, 105, 103, 92


def content(size: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def stored(node: Node) -> set[str]:
    """Names of all files in the node, each once however many storages have it."""
    return {path.name for path in node.directory.rglob("data/*/*/*") if path.is_file()}


@contextlib.contextmanager
def peer(*answers: bytes, linger: float = 0.0) -> Iterator[str]:
    """A server that answers the first request of each connection with the next of *answers* and closes."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    done = threading.Event()

    def serve() -> None:
        count = 0
        while not done.is_set():
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                continue
            with sock:
                sock.settimeout(30)
                with contextlib.suppress(OSError):
                    sock.recv(65536)
                    sock.sendall(answers[min(count, len(answers) - 1)])
                    count += 1
                    done.wait(linger)

    thread = threading.Thread(target=serve)
    thread.start()
    host, port = listener.getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        done.set()
        thread.join()
        listener.close()


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return f"127.0.0.1:{sock.getsockname()[1]}"
