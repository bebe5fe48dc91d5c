"""TLS between a protocol and a transport: what the protocol is given and told, on the event loops there are."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from fastxfer.net import tls_transport
from fastxfer.net.tls_transport import TLSServerProtocol

DEADLINE = 30.0
CONTENT = bytes(range(256)) * 40_000


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def client_context(authority: trustme.CA, request: pytest.FixtureRequest) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.minimum_version = context.maximum_version = request.param
    return context


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in a thread until the test ends."""
    if request.param == "asyncio":
        made: asyncio.AbstractEventLoop = asyncio.new_event_loop()
    else:
        made = pytest.importorskip("uvloop", reason="uvloop is not installed").new_event_loop()
    thread = threading.Thread(target=made.run_forever, daemon=True)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join(DEADLINE)
    made.close()


class Inner(asyncio.Protocol):
    """Keeps what it is told; tests say what it does."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.received = bytearray()
        self.told: list[str] = []
        self.error: Exception | None = None
        self.begun = threading.Event()
        self.lost = threading.Event()
        self.arrived = threading.Semaphore(0)
        self.on_made: Callable[[Inner], object] = lambda inner: None
        self.on_data: Callable[[Inner, bytes], object] = lambda inner, data: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.on_made(self)
        self.begun.set()

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.on_data(self, data)
        self.arrived.release()

    def eof_received(self) -> None:
        self.told.append("eof")

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.error = exc
        self.lost.set()

    def wait_for(self, count: int) -> None:
        """Wait until *count* bytes have come."""
        while len(self.received) < count:
            assert self.arrived.acquire(timeout=DEADLINE), f"{len(self.received)} of {count} bytes came"


class Listening:
    """A port at which each connection gets TLS and an :class:`Inner`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, context: ssl.SSLContext, seconds: float = DEADLINE) -> None:
        self.loop = loop
        self.inner = Inner()
        self.outer: list[TLSServerProtocol] = []
        self.lost = threading.Event()
        self._context = context
        self._seconds = seconds
        self._server = self.run(self._listen())
        self.address = self._server.sockets[0].getsockname()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(self._accepted, "127.0.0.1", 0)

    def _accepted(self) -> asyncio.Protocol:
        lost = self.lost

        class Outer(TLSServerProtocol):
            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                lost.set()

        protocol = Outer(self._context, lambda: self.inner, self._seconds)
        self.outer.append(protocol)
        return protocol

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(DEADLINE)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call *function* on the loop."""

        async def call() -> Any:
            return function(*arguments)

        return self.run(call())

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=DEADLINE)

    async def _close(self) -> None:
        self._server.close()
        for outer in self.outer:
            outer.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def close(self) -> None:
        self.run(self._close())


@pytest.fixture
def listening(loop: asyncio.AbstractEventLoop, server_context: ssl.SSLContext) -> Iterator[Listening]:
    with contextlib.closing(Listening(loop, server_context)) as port:
        yield port


def wrap(context: ssl.SSLContext, sock: socket.socket) -> ssl.SSLSocket:
    return context.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)


def read_all(sock: socket.socket) -> bytes:
    pieces = []
    while piece := sock.recv(262144):
        pieces.append(piece)
    return b"".join(pieces)


def test_everything_arrives_on_both_sides(listening: Listening, client_context: ssl.SSLContext) -> None:
    inner = listening.inner
    with wrap(client_context, listening.connect()) as client:
        client.sendall(CONTENT)
        inner.wait_for(len(CONTENT))
        assert inner.received == CONTENT

        def answer() -> None:
            inner.transport.write(CONTENT[:1])
            inner.transport.writelines([CONTENT[1:100], memoryview(CONTENT)[100:]])
            inner.transport.close()
            inner.transport.write(b"too late")

        listening.call(answer)
        assert read_all(client) == CONTENT
    assert inner.lost.wait(DEADLINE)
    assert inner.told[-1] == "lost"
    assert inner.error is None


def test_what_comes_with_the_end_of_the_handshake_is_not_lost(
    listening: Listening, client_context: ssl.SSLContext
) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with listening.connect() as sock:
        while True:
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
            else:
                break
        client.write(b"at once")
        sock.sendall(outgoing.read())
        listening.inner.wait_for(7)
        assert listening.inner.received == b"at once"


def test_one_byte_at_a_time_does_as_well(listening: Listening, client_context: ssl.SSLContext) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with listening.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def send() -> None:
            for byte in outgoing.read():
                sock.sendall(bytes([byte]))

        while True:
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                send()
                incoming.write(sock.recv(65536))
            else:
                break
        client.write(b"slowly")
        send()
        listening.inner.wait_for(6)
        assert listening.inner.received == b"slowly"


def test_nothing_is_given_while_reading_is_paused_and_nothing_is_lost(
    listening: Listening, client_context: ssl.SSLContext
) -> None:
    inner = listening.inner
    inner.on_made = lambda inner: inner.transport.pause_reading()
    inner.on_data = lambda inner, data: inner.transport.pause_reading()
    with wrap(client_context, listening.connect()) as client:
        writer = threading.Thread(target=client.sendall, args=(CONTENT,), daemon=True)
        writer.start()
        assert inner.begun.wait(DEADLINE)
        given = 0
        while given < len(CONTENT):
            assert listening.call(len, inner.received) == given
            assert not listening.call(inner.transport.is_reading)
            listening.call(inner.transport.resume_reading)
            assert inner.arrived.acquire(timeout=DEADLINE)
            given = listening.call(len, inner.received)
        writer.join(DEADLINE)
        assert inner.received == CONTENT


def test_a_peer_that_reads_nothing_pauses_the_writer(listening: Listening, client_context: ssl.SSLContext) -> None:
    inner = listening.inner
    with wrap(client_context, listening.connect()) as client:
        assert inner.begun.wait(DEADLINE)
        listening.call(inner.transport.set_write_buffer_limits, 65536)
        written = 0
        while "pause" not in inner.told:
            listening.call(inner.transport.write, CONTENT)
            written += len(CONTENT)
        assert listening.call(inner.transport.get_write_buffer_size) > 65536
        received = 0
        while received < written:
            received += len(client.recv(262144))
        # Only now can it have been told.
        listening.call(inner.transport.close)
        assert read_all(client) == b""
    assert inner.lost.wait(DEADLINE)
    assert inner.told[:2] == ["pause", "resume"]


def test_the_end_is_said_by_tls_and_the_connection_closed_after_the_client(
    listening: Listening, client_context: ssl.SSLContext
) -> None:
    inner = listening.inner
    inner.on_data = lambda inner, data: inner.transport.close()
    with wrap(client_context, listening.connect()) as client:
        client.sendall(b"x")
        # Without TLS's own end this would be an error.
        assert client.recv(100) == b""
        assert listening.call(inner.transport.is_closing)
        # What a client still sends does not make the kernel reset the connection.
        with contextlib.suppress(ssl.SSLError):
            client.sendall(b"late")
        assert not listening.lost.is_set()
    assert inner.lost.wait(DEADLINE)
    assert inner.told == ["lost"]
    assert inner.received == b"x"


def test_a_client_that_does_not_close_is_not_waited_for_longer_than_need_be(
    listening: Listening, client_context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_transport, "CLOSE_SECONDS", 0.1)
    inner = listening.inner
    with wrap(client_context, listening.connect()):
        assert inner.begun.wait(DEADLINE)
        listening.call(inner.transport.close)
        assert inner.lost.wait(DEADLINE)


@pytest.mark.parametrize("politely", [True, False])
def test_the_end_of_the_client_is_told(listening: Listening, client_context: ssl.SSLContext, politely: bool) -> None:
    inner = listening.inner
    inner.on_data = lambda inner, data: inner.transport.write(b"answer")
    client = wrap(client_context, listening.connect())
    client.sendall(b"last")
    # What was not read would make the kernel reset the connection.
    assert client.recv(100) == b"answer"
    if politely:
        with contextlib.suppress(ssl.SSLError, OSError):
            client.unwrap()
    client.close()
    assert inner.lost.wait(DEADLINE)
    assert inner.received == b"last"
    assert inner.told == ["eof", "lost"]


def test_a_reset_is_told(listening: Listening, client_context: ssl.SSLContext) -> None:
    inner = listening.inner
    client = wrap(client_context, listening.connect())
    assert inner.begun.wait(DEADLINE)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert inner.lost.wait(DEADLINE)
    assert isinstance(inner.error, ConnectionError)


def test_a_broken_record_ends_the_connection(listening: Listening, client_context: ssl.SSLContext) -> None:
    inner = listening.inner
    with wrap(client_context, listening.connect()) as client:
        client.sendall(b"right")
        with socket.socket(fileno=client.detach()) as sock:
            sock.settimeout(DEADLINE)
            inner.wait_for(5)
            sock.sendall(b"no record at all, but long enough to be taken for one")
            assert inner.lost.wait(DEADLINE)
    assert isinstance(inner.error, ssl.SSLError)


def test_an_abort_says_nothing(listening: Listening, client_context: ssl.SSLContext) -> None:
    inner = listening.inner
    with wrap(client_context, listening.connect()) as client:
        assert inner.begun.wait(DEADLINE)
        listening.call(inner.transport.abort)
        assert inner.lost.wait(DEADLINE)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client.recv(100)


def test_who_does_not_speak_tls_is_turned_away(listening: Listening) -> None:
    with listening.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            read_all(sock)
    assert listening.lost.wait(DEADLINE)
    assert not listening.inner.begun.is_set()


def test_a_handshake_that_does_not_go_on_is_given_up(
    loop: asyncio.AbstractEventLoop, server_context: ssl.SSLContext
) -> None:
    with (
        contextlib.closing(Listening(loop, server_context, seconds=0.2)) as listening,
        listening.connect() as sock,
    ):
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(100) == b""
        assert listening.lost.wait(DEADLINE)
        assert not listening.inner.begun.is_set()


def test_a_handshake_that_is_broken_off_leaves_nothing(listening: Listening) -> None:
    listening.connect().close()
    assert listening.lost.wait(DEADLINE)
    assert not listening.inner.begun.is_set()


def test_a_protocol_that_closes_at_once_is_left_alone(listening: Listening, client_context: ssl.SSLContext) -> None:
    inner = listening.inner
    inner.on_made = lambda inner: inner.transport.close()
    with wrap(client_context, listening.connect()) as client:
        client.sendall(b"unwanted")
        assert client.recv(100) == b""
    assert inner.lost.wait(DEADLINE)
    assert inner.received == b""


def test_what_there_is_to_know_of_the_connection(
    listening: Listening, client_context: ssl.SSLContext, server_context: ssl.SSLContext, authority: trustme.CA
) -> None:
    authority.issue_cert("somebody@example.org").configure_cert(client_context)
    with wrap(client_context, listening.connect()) as client:
        client.sendall(b"x")
        listening.inner.wait_for(1)
        known = listening.inner.transport.get_extra_info
        assert known("sslcontext") is server_context
        assert known("peername") == client.getsockname()
        assert ("email", "somebody@example.org") in known("peercert")["subjectAltName"]
        assert known("cipher")[0]
        assert known("no such thing", 7) == 7
        assert listening.inner.transport.get_protocol() is listening.inner
        assert not listening.inner.transport.can_write_eof()
        assert listening.inner.transport.get_write_buffer_limits()[1] > 0


def test_a_protocol_that_fails_over_its_last_bytes_is_told_of_the_end(
    server_context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who counts connections counts this one no longer."""
    inner = Inner()

    def fails() -> None:
        raise ValueError("these bytes")

    async def play() -> None:
        outer = TLSServerProtocol(server_context, lambda: inner, DEADLINE)
        outer.inner = inner
        monkeypatch.setattr(outer, "_deliver", fails)
        with pytest.raises(ValueError, match="these bytes"):
            outer.connection_lost(None)

    asyncio.run(play())
    assert inner.told == ["lost"]
