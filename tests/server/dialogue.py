"""A server in a thread, and a client that says exactly what a test wants said."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from fastxfer.server import FtpServer, TimeoutsConfig, User

T = TypeVar("T")
DEADLINE = 20.0
ENGINE_DESCRIPTORS = 32
"""The engine starts with the first transfer that has to wait, and its threads, eight at the most, keep a pipe each."""
USER, PASSWORD = "alice", "wonderland"


class Running:
    """A started server whose event loop runs in a thread of its own."""

    def __init__(self, make: Callable[[], FtpServer]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.server = self.do(self._start(make))

    async def _start(self, make: Callable[[], FtpServer]) -> FtpServer:
        server = make()
        await server.start()
        return server

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run *coroutine* on the server's loop."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(DEADLINE)

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def host(self) -> str:
        return self.server.addresses[0][0]

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    def stop(self) -> None:
        """End it. Idempotent."""
        if self._loop.is_closed():
            return
        self.do(self.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


@contextlib.contextmanager
def running(root: Path | None, **settings: Any) -> Iterator[Running]:
    """A server of *root* on a free port of 127.0.0.1 with the user alice."""
    settings.setdefault("port", 0)
    settings.setdefault("timeouts", TimeoutsConfig(shutdown=1.0))
    if "users" not in settings and "authenticator" not in settings:
        settings["users"] = [(User(name=USER), PASSWORD)]
    server = Running(lambda: FtpServer(root, **settings))
    try:
        yield server
    finally:
        server.stop()


class Reply(str):
    """A reply: a str of its last line, with all ``lines`` and its ``code``."""

    lines: list[str]
    code: int


class Dialogue:
    """One control connection, spoken by hand."""

    def __init__(
        self, address: tuple[str, int], *, greet: bool = True, source: str | None = None, timeout: float = DEADLINE
    ) -> None:
        self.sock = socket.create_connection(
            address, timeout=timeout, source_address=(source, 0) if source is not None else None
        )
        self._buffer = b""
        self.welcome = self.read() if greet else None

    def __enter__(self) -> Dialogue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    # Control

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read_line(self) -> bytes:
        """The next line, b"" at the end of the connection."""
        while b"\n" not in self._buffer:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                rest, self._buffer = self._buffer, b""
                return rest
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line + b"\n"

    def read(self) -> Reply:
        """The next reply."""
        lines = []
        code = ""
        while True:
            raw = self.read_line()
            if not raw:
                raise EOFError(f"the server closed the connection; so far: {lines}")
            assert raw.endswith(b"\r\n"), raw
            line = raw[:-2].decode("utf-8", "surrogateescape")
            lines.append(line)
            code = code or line[:3]
            if re.match(r"\d{3} ", line) and line[:3] == code:
                reply = Reply(line)
                reply.code = int(code)
                reply.lines = lines
                return reply

    def say(self, command: str | bytes) -> Reply:
        """Send one command and read one reply."""
        data = command.encode("utf-8", "surrogateescape") if isinstance(command, str) else command
        self.send(data + b"\r\n")
        return self.read()

    def expect(self, code: int, command: str | bytes) -> Reply:
        """As :meth:`say`, and the reply must be *code*."""
        reply = self.say(command)
        assert reply.code == code, f"{command!r}: {reply.lines}"
        return reply

    def closed(self) -> bool:
        """Whether the server closes the connection (what it says before is thrown away)."""
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
        return True

    def login(self, user: str = USER, password: str = PASSWORD) -> Dialogue:
        self.expect(331, f"USER {user}")
        self.expect(230, f"PASS {password}")
        self.expect(200, "TYPE I")
        return self

    def starttls(self, context: ssl.SSLContext, *, protect: bool = True) -> Dialogue:
        self.expect(234, "AUTH TLS")
        self.sock = context.wrap_socket(self.sock, server_hostname="localhost")
        if protect:
            self.expect(200, "PBSZ 0")
            self.expect(200, "PROT P")
        return self

    # Data

    def passive(self, command: str = "EPSV") -> tuple[str, int]:
        """Ask for a passive port: where it is."""
        reply = self.say(command)
        if command == "PASV":
            assert reply.code == 227, reply
            numbers = re.search(r"\((\d+),(\d+),(\d+),(\d+),(\d+),(\d+)\)", reply)
            assert numbers is not None
            fields = numbers.groups()
            return ".".join(fields[:4]), int(fields[4]) * 256 + int(fields[5])
        assert reply.code == 229, reply
        port = re.search(r"\(\|\|\|(\d+)\|\)", reply)
        assert port is not None
        return self.sock.getpeername()[0], int(port[1])

    def data(self, command: str = "EPSV") -> socket.socket:
        """Open a passive data connection."""
        return socket.create_connection(self.passive(command), timeout=self.sock.gettimeout())

    def data_after(self, command: str) -> socket.socket:
        """A passive data connection for *command*, whose opening reply was read."""
        data = self.data()
        assert self.say(command).code in (125, 150)
        return data

    def fetch(self, command: str | bytes, *, context: ssl.SSLContext | None = None) -> bytes:
        """Carry out a command that sends data; the data. The last reply must be 226."""
        data = self.data()
        with data:
            assert self.say(command).code in (125, 150)
            if context is not None:
                data = context.wrap_socket(
                    data, server_hostname="localhost", session=getattr(self.sock, "session", None),
                    suppress_ragged_eofs=False,
                )  # fmt: skip
            body = read_all(data)
            data.close()
        assert self.read().code == 226
        return body

    def put(self, command: str | bytes, body: bytes) -> Reply:
        """Carry out a command that takes data; the last reply."""
        with self.data() as data:
            opening = self.say(command)
            assert opening.code in (125, 150), opening
            data.sendall(body)
        return self.read()


def reset(sock: socket.socket) -> None:
    """Close *sock* with a TCP reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until *condition* holds."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def read_all(sock: socket.socket) -> bytes:
    """Everything up to the peer's end."""
    pieces = []
    while piece := sock.recv(262144):
        pieces.append(piece)
    return b"".join(pieces)


def visible(root: Path) -> list[str]:
    """Names of the files that are not unfinished uploads."""
    return sorted(entry.name for entry in root.iterdir() if not entry.name.endswith(".fxpart"))
