"""Two small proxies: SOCKS5 (RFC 1928) and HTTP CONNECT."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator


class Proxy(socketserver.ThreadingTCPServer):
    """Counts the connections it made; ``refuse`` makes it refuse them."""

    daemon_threads = False
    block_on_close = True
    allow_reuse_address = True

    def __init__(self, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.targets: list[tuple[str, int]] = []
        self.refuse = False

    @property
    def port(self) -> int:
        return int(self.server_address[1])


def pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class Relay(socketserver.BaseRequestHandler):
    """What both do once they know where to."""

    server: Proxy
    request: socket.socket

    def relay(self, host: str, port: int, agreed: bytes) -> None:
        self.server.targets.append((host, port))
        with socket.create_connection((host, port), 10) as upstream:
            self.request.sendall(agreed)
            back = threading.Thread(target=pump, args=(upstream, self.request))
            back.start()
            pump(self.request, upstream)
            back.join()


class Socks5(Relay):
    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += self.request.recv(count - len(data)) or b"\0"
        return data

    def handle(self) -> None:
        _, methods = self.exactly(2)
        self.exactly(methods)
        self.request.sendall(b"\x05\x00")
        _, _, _, kind = self.exactly(4)
        if kind == 1:
            host = socket.inet_ntoa(self.exactly(4))
        elif kind == 3:
            host = self.exactly(self.exactly(1)[0]).decode()
        else:
            host = socket.inet_ntop(socket.AF_INET6, self.exactly(16))
        port = int.from_bytes(self.exactly(2), "big")
        if self.server.refuse:
            self.request.sendall(b"\x05\x02\x00\x01" + bytes(6))
            return
        self.relay(host, port, b"\x05\x00\x00\x01" + bytes(6))


class HTTPConnect(Relay):
    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.request.recv(65536)
            if not data:
                return
            head += data
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        if self.server.refuse:
            self.request.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return
        self.relay(host.strip("[]"), int(port), b"HTTP/1.1 200 Connection established\r\n\r\n")


@contextlib.contextmanager
def run_proxy(kind: str) -> Iterator[Proxy]:
    """A running proxy: ``socks5`` or ``http``."""
    with Proxy({"socks5": Socks5, "http": HTTPConnect}[kind]) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
