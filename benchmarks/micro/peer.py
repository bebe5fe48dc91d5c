"""The other end of the loop benchmarks, in a process of its own.

    python peer.py feed BYTES     sends so many bytes of a file to each connection, by sendfile
    python peer.py discard        reads each connection to its end
    python peer.py answer BYTES   answers each request of 10 bytes with a FastDFS reply of so many bytes

It listens on loopback and prints the port.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable

CHUNK = 1 << 20
MEMORY = "/dev/shm"  # noqa: S108


def use_cubic(sock: socket.socket) -> None:
    """BBR paces even loopback: both ends of a comparison use the same congestion control."""
    if hasattr(socket, "TCP_CONGESTION"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def feed(size: int) -> Callable[[socket.socket], None]:
    source = tempfile.TemporaryFile(dir=MEMORY if os.path.isdir(MEMORY) else None)  # noqa: SIM115 (until the process ends)
    for start in range(0, size, CHUNK):
        source.write(os.urandom(min(CHUNK, size - start)))
    source.flush()

    def serve(connection: socket.socket) -> None:
        offset = 0
        while offset < size:
            offset += os.sendfile(connection.fileno(), source.fileno(), offset, min(CHUNK, size - offset))

    return serve


def discard(connection: socket.socket) -> None:
    buffer = bytearray(65536)
    while connection.recv_into(buffer):
        pass


def answer(size: int) -> Callable[[socket.socket], None]:
    reply = size.to_bytes(8, "big") + b"d\0" + bytes(size)

    def serve(connection: socket.socket) -> None:
        while connection.recv(10):
            connection.sendall(reply)

    return serve


def serve_one(serve: Callable[[socket.socket], None], connection: socket.socket) -> None:
    with connection:
        use_cubic(connection)
        with contextlib.suppress(ConnectionError):  # the benchmark has had enough
            serve(connection)


def main() -> None:
    kind = sys.argv[1]
    serve = discard if kind == "discard" else {"feed": feed, "answer": answer}[kind](int(sys.argv[2]))
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {0})
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        use_cubic(listener)
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve_one, args=(serve, connection), daemon=True).start()


if __name__ == "__main__":
    main()
