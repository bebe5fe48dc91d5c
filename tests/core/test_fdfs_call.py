"""Ordinary FastDFS operations in one call: what is as usual is over in it; of the rest one learns how far it went."""

from __future__ import annotations

import binascii
import contextlib
import errno
import itertools
import os
import signal
import socket
import struct
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fastxfer.core.wire import encode_file_id, pack_header
from tests.core.conftest import core_module

HERE = ("192.0.2.7", 23000)
THERE = ("192.0.2.8", 23000)
LIMIT = 1 << 16
LONG = 5 * LIMIT + 7
"""Bytes of a file that is moved by a transfer."""
UPLOAD, DELETE, DOWNLOAD, INFO = 11, 12, 14, 22


class Info:
    """Takes the place of file information."""

    file_size: int
    crc32: int
    source_ip_addr: str
    stored_at: int


def file_id_of(data: bytes, source: str = HERE[0], group: str = "group1", **how: Any) -> str:
    return encode_file_id(group, source, 1_700_000_000, len(data), binascii.crc32(data), "bin", salt=1, **how)


def reply(body: bytes = b"", status: int = 0) -> bytes:
    return pack_header(len(body), 100, status) + body


def id_reply(file_id: str) -> bytes:
    group, _, name = file_id.partition("/")
    return reply(group.encode().ljust(16, b"\0") + name.encode())


def info_reply(size: int, modified: int, crc: int, source: bytes = b"192.0.2.7") -> bytes:
    return reply(struct.pack(">qqq16s", size, modified, crc, source))


class Peer:
    """The other end of a pooled connection: answers each request with the next of its answers, then hangs up."""

    def __init__(self, sock: socket.socket, answers: list[bytes]) -> None:
        self.requests: list[bytes] = []
        self._sock = sock
        self._answers = answers
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._sock as sock:
            for answer in self._answers:
                self.requests.append(self._request(sock))
                sock.sendall(answer)

    @staticmethod
    def _request(sock: socket.socket) -> bytes:
        request = b""
        while len(request) < 10 or len(request) < 10 + int.from_bytes(request[:8], "big"):
            got = sock.recv(65536)
            if not got:
                break
            request += got
        return request

    def join(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()


class Connection:
    """What the twin asks of a connection beside what its link tells."""

    sock: socket.socket

    def alive(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            self.sock.recv(1, socket.MSG_PEEK)
            return False
        return True


class World:
    """A pool with one connection, what is known of a cluster, and the shortcut over both."""

    def __init__(self, implementation: str, **settings: Any) -> None:
        self.module = core_module("fdfscall", implementation)
        self.places = core_module("places", implementation)
        self.connection = type("Connection", (Connection, self.places.Link), {})
        self.book = self.places.Book(self.places.Guard(threading.RLock()), 60.0, 60.0)
        self.book.next_reap = time.monotonic() + 1000
        self.routes: dict[bytes, Any] = {}
        self.due = SimpleNamespace(at=time.monotonic() + 1000)
        self.targets = {
            None: SimpleNamespace(addresses=[HERE], due=self.due, turn=itertools.count()),
            "group2": SimpleNamespace(addresses=[HERE, THERE], due=self.due, turn=itertools.count()),
        }
        self.down: dict[Any, Any] = {}
        self.known: dict[str, tuple[Any, Any]] = {HERE[0]: (HERE, HERE)}
        self.searched: list[str] = []
        self.given: list[Any] = []
        self.dropped: list[Any] = []
        self.link: Any = None
        self.peer: Any = None
        self.sock: socket.socket | None = None
        settings = {"timeout": 60.0, "spin": 0, "verify": True, "longest_move": LIMIT, **settings}
        self.spins = {code: self.places.Spin(1000) for code in (UPLOAD, DELETE, DOWNLOAD, INFO)}
        self.shortcut = self.module.Shortcut(
            self.book,
            self.routes,
            self.targets,
            self.down,
            find=self.find,
            give=self.given.append,
            drop=self.drop,
            info_type=Info,
            spins=self.spins,
            reply_limit=LIMIT,
            longest_upload=LIMIT,
            longest_download=LIMIT,
            **settings,
        )

    def find(self, key: bytes, file: Any) -> Any:
        self.searched.append(file.source_ip)
        ways = self.known.get(file.source_ip)
        if ways is None:
            return None
        route = self.routes[key] = (*ways, self.due)
        return route

    def drop(self, link: Any) -> None:
        self.dropped.append(link)
        if self.sock is not None:
            self.sock.close()

    def answering(self, *answers: bytes) -> World:
        """The pool has an idle connection whose peer gives these answers."""
        self.peer = Peer(self.connected(), list(answers))
        return self

    def connected(self) -> socket.socket:
        """The pool has an idle connection; its other end."""
        self.sock, other = socket.socketpair()
        self.sock.setblocking(False)
        self.link = self.connection(HERE, self.sock.fileno())
        self.link.sock = self.sock
        here = self.book.places[HERE] = self.places.Places(deque())
        here.idle.append(self.link)
        return other

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
        if self.peer is not None:
            self.peer.join()

    @property
    def counts(self) -> tuple[int, int, int]:
        """Idle connections, busy ones here and at all servers."""
        here = self.book.places[HERE]
        return len(here.idle), here.busy, self.book.busy


MakeWorld = Callable[..., World]


@pytest.fixture
def make(implementation: str) -> Iterator[MakeWorld]:
    made: list[World] = []

    def make(**settings: Any) -> World:
        made.append(World(implementation, **settings))
        return made[-1]

    yield make
    for world in made:
        world.close()


OPERATIONS: dict[str, Callable[[World], Any]] = {
    "upload": lambda world: world.shortcut.upload(b"hello", "bin"),
    "delete": lambda world: world.shortcut.delete(file_id_of(b"hello")),
    "info": lambda world: world.shortcut.info(file_id_of(b"hello")),
    "download": lambda world: world.shortcut.download(file_id_of(b"hello")),
}
GOOD = {
    "upload": id_reply(file_id_of(b"hello")),
    "delete": reply(),
    "info": info_reply(5, 1_700_000_000, 7),
    "download": reply(b"hello"),
}


@pytest.fixture(params=OPERATIONS)
def operation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def begun_by(world: World, operation: str) -> Any:
    """What the operation, which did not go as usual, says of how far it went."""
    begun = OPERATIONS[operation](world)
    assert isinstance(begun, world.module.Begun)
    assert begun.address == HERE
    return begun


# --- as usual


@pytest.mark.parametrize("spin", [0, 20, None])
def test_a_new_file(make: MakeWorld, spin: int | None) -> None:
    stored = file_id_of(b"hello")
    world = make(spin=spin).answering(id_reply(stored), id_reply(stored))
    assert world.shortcut.upload(b"hello", "bin") == stored
    assert world.counts == (1, 0, 0)
    assert world.shortcut.upload(b"hello", "", None, 3) == stored
    world.peer.join()
    assert [request[8] for request in world.peer.requests] == [UPLOAD, UPLOAD]
    assert [request[10] for request in world.peer.requests] == [255, 3]
    assert all(request.endswith(b"hello") for request in world.peer.requests)
    assert world.link.used
    assert world.given == world.dropped == []


@pytest.mark.parametrize(
    "buffer",
    [
        bytearray,
        lambda data: memoryview(b">" + data + b"<")[1:-1],
        lambda data: array("B", data),
        lambda data: memoryview(data).cast("B", (5, 1)),
    ],
    ids=["bytearray", "memoryview", "array", "two dimensions"],
)
def test_a_new_file_of_any_buffer(make: MakeWorld, buffer: Callable[[bytes], Any]) -> None:
    stored = file_id_of(b"hello")
    data = buffer(b"hello")
    world = make().answering(id_reply(stored))
    assert world.shortcut.upload(data, "bin") == stored
    world.peer.join()
    assert world.peer.requests[0].endswith(b"\0" * 3 + b"hello")
    if isinstance(data, bytearray):
        data.extend(b"which nobody holds any more")


def test_an_empty_file_and_one_whose_id_tells_nothing_of_it(make: MakeWorld) -> None:
    empty, appender = file_id_of(b""), file_id_of(b"", appender=True)
    world = make().answering(id_reply(empty), id_reply(appender))
    assert world.shortcut.upload(b"", "bin") == empty
    assert world.shortcut.upload(b"hello", "bin") == appender


def test_a_deletion(make: MakeWorld) -> None:
    world = make().answering(reply())
    file_id = file_id_of(b"hello")
    assert world.shortcut.delete(file_id) is True
    world.peer.join()
    assert world.peer.requests[0][8] == DELETE
    assert world.peer.requests[0].endswith(file_id.partition("/")[2].encode())
    assert world.counts == (1, 0, 0)


def test_file_information(make: MakeWorld) -> None:
    world = make().answering(info_reply(5, 1_700_000_000, 0xFFFFFFFF), info_reply(1 << 40, 0, 0, b"2001:db8::1"))
    info = world.shortcut.info(file_id_of(b"hello"), 3)
    assert vars(info) == {
        "file_size": 5,
        "stored_at": 1_700_000_000,
        "crc32": 0xFFFFFFFF,
        "source_ip_addr": "192.0.2.7",
    }
    assert world.shortcut.info(file_id_of(b"hello")).file_size == 1 << 40
    world.peer.join()
    assert [(request[8], request[9]) for request in world.peer.requests] == [(INFO, 3), (INFO, 0)]


@pytest.mark.parametrize("size", [1, 4096, LIMIT])
def test_a_whole_file(make: MakeWorld, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    world = make().answering(reply(data))
    assert world.shortcut.download(file_id_of(data)) == data
    world.peer.join()
    assert world.peer.requests[0][8] == DOWNLOAD
    assert world.peer.requests[0][10:26] == bytes(16)
    assert world.counts == (1, 0, 0)


def test_a_way_is_searched_for_once(make: MakeWorld) -> None:
    world = make().answering(reply(), reply(), reply())
    for data in (b"one", b"two", b"three"):
        assert world.shortcut.delete(file_id_of(data)) is True
    assert world.searched == [HERE[0]]
    assert world.book.places[HERE].reused == 3


def test_uploads_go_to_all_servers_in_turn(make: MakeWorld) -> None:
    world = make()
    asked = [world.shortcut.upload(b"hello", "bin", "group2").address for _ in range(4)]
    assert asked == [HERE, THERE, HERE, THERE]


def test_a_connection_that_somebody_waits_for_is_given_on(make: MakeWorld, operation: str) -> None:
    world = make().answering(GOOD[operation])
    world.book.places[HERE].waiting.append(object())
    assert not isinstance(OPERATIONS[operation](world), world.module.Begun | None)
    assert world.given == [world.link]


def test_without_verification_what_came_is_taken(make: MakeWorld) -> None:
    other = file_id_of(b"other")
    world = make(verify=False).answering(id_reply(other), reply(b"jello"))
    assert world.shortcut.upload(b"hello", "bin") == other
    assert world.shortcut.download(file_id_of(b"hello")) == b"jello"


# --- longer bodies


@pytest.fixture
def make_moving(make: MakeWorld, implementation: str) -> MakeWorld:
    if implementation == "py":
        pytest.skip("the twin leaves long bodies to their plan")
    return partial(make, longest_move=LONG)


def long_body(size: int = LONG) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("size", [LIMIT + 1, LONG])
def test_a_long_file_goes_and_comes_as_a_short_one(make_moving: MakeWorld, size: int, verify: bool) -> None:
    data = long_body(size)
    stored = file_id_of(data)
    world = make_moving(verify=verify).answering(id_reply(stored), reply(data))
    assert world.shortcut.upload(data, "bin") == stored
    assert world.shortcut.download(stored) == data
    world.peer.join()
    assert world.peer.requests[0][25:] == data
    assert world.counts == (1, 0, 0)
    assert world.given == world.dropped == []


def test_longer_files_are_left_to_their_plan(make_moving: MakeWorld) -> None:
    world = make_moving().answering()
    data = long_body(LONG + 1)
    assert world.shortcut.upload(data, "bin") is None
    assert world.shortcut.download(file_id_of(data)) is None
    assert world.counts == (1, 0, 0)


def test_a_long_file_may_take_its_time_while_it_moves(make_moving: MakeWorld) -> None:
    data = long_body()
    world = make_moving(timeout=1.0)
    other = world.connected()
    pause = threading.Event()

    def drip() -> None:
        with other:
            other.recv(65536)
            answer = reply(data)
            for start in range(0, len(answer), LIMIT):
                pause.wait(0.3)
                other.sendall(answer[start : start + LIMIT])

    thread = threading.Thread(target=drip)
    thread.start()
    began = time.monotonic()
    assert world.shortcut.download(file_id_of(data)) == data
    assert time.monotonic() - began > 1.0
    thread.join()


@pytest.mark.parametrize("sent", [0, 4, 10, 100, 10 + LIMIT])
def test_a_long_file_that_stands_still_is_told(make_moving: MakeWorld, sent: int) -> None:
    world = make_moving(timeout=0.2)
    with world.connected() as other:
        data = long_body()
        other.sendall(reply(data)[:sent])
        begun = world.shortcut.download(file_id_of(data))
        assert (begun.connection, begun.error, begun.error_side) == (world.link, errno.ETIMEDOUT, "socket")
        assert begun.body == b""
        assert begun.received == max(0, sent - 10)
        assert world.counts == (0, 1, 1)


@pytest.mark.parametrize("taken", [0, 4, 100, LIMIT])
def test_a_long_upload_whose_server_goes_tells_what_has_left(make_moving: MakeWorld, taken: int) -> None:
    world = make_moving()
    other = world.connected()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def leave() -> None:
        with other:
            left = taken
            while left:
                left -= len(other.recv(left))

    thread = threading.Thread(target=leave)
    thread.start()
    begun = world.shortcut.upload(long_body(), "bin")
    thread.join()
    assert begun.error in (errno.EPIPE, errno.ECONNRESET)
    assert begun.sent < LONG + 25
    assert begun.connection is world.link


@pytest.mark.parametrize("status", [5, 22, 28])
def test_an_early_refusal_of_a_long_upload_is_told(make_moving: MakeWorld, status: int) -> None:
    world = make_moving()
    other = world.connected()
    refused = threading.Event()

    def refuse() -> None:
        with other:
            other.recv(1)
            other.sendall(reply(status=status))
            refused.wait(60)

    thread = threading.Thread(target=refuse)
    thread.start()
    begun = world.shortcut.upload(long_body(), "bin")
    refused.set()
    thread.join()
    assert (begun.error, begun.status, begun.early) == (0, status, True)


@pytest.mark.parametrize("length", [LONG - 1, LONG + 1, 1 << 62, (1 << 64) - 1])
def test_a_long_file_of_another_length_is_no_reply(make_moving: MakeWorld, length: int) -> None:
    data = long_body()
    world = make_moving()
    with world.connected() as other:
        other.sendall(struct.pack(">QBB", length, 100, 0) + data[:100])
        begun = world.shortcut.download(file_id_of(data))
        assert (begun.error, begun.body) == (errno.EPROTO, b"")


def test_an_error_in_the_place_of_a_long_file_is_told(make_moving: MakeWorld) -> None:
    world = make_moving().answering(reply(status=2))
    begun = world.shortcut.download(file_id_of(long_body()))
    assert (begun.error, begun.status, begun.body) == (0, 2, b"")
    assert world.counts == (0, 1, 1)


def test_a_long_file_with_other_bytes_is_left_to_be_judged(make_moving: MakeWorld) -> None:
    data, other = long_body(), bytes(LONG)
    world = make_moving().answering(reply(other), id_reply(file_id_of(other)))
    begun = world.shortcut.download(file_id_of(data))
    assert (begun.error, begun.status, begun.body, begun.crc32) == (0, 0, other, binascii.crc32(other))
    here = world.book.places[HERE]
    here.busy, world.book.busy = 0, 0
    here.idle.append(begun.connection)
    begun = world.shortcut.upload(data, "bin")
    assert (begun.error, begun.status, begun.crc32) == (0, 0, binascii.crc32(data))


# --- where nothing is done and nothing known


@pytest.mark.parametrize(
    "file_id",
    [
        None,
        5,
        b"group1/M00/00/00/x",
        "",
        "group1",
        "group1/M00/00/00/short.txt",
        "\udc80/M00/00/00/x",
        "g/" + "x" * 200,
    ],
    ids=ascii,
)
def test_what_is_no_file_id_is_left_to_who_says_so(make: MakeWorld, file_id: Any) -> None:
    world = make().answering()
    assert world.shortcut.delete(file_id) is None
    assert world.shortcut.info(file_id) is None
    assert world.shortcut.download(file_id) is None
    assert world.counts == (1, 0, 0)


class _Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "arguments",
    [
        (memoryview(b"xyz")[::2], "bin"),
        ("x", "bin"),
        (None, "bin"),
        (b"x" * (LIMIT + 1), "bin"),
        (b"x", "toolong"),
        (b"x", "ä"),
        (b"x", None),
        (b"x", b"bin"),
        (b"x", "bin", 5),
        (b"x", "bin", ["group1"]),
        (b"x", "bin", "group3"),
        (b"x", "bin", _Text("group2")),
        (b"x", "bin", None, -1),
        (b"x", "bin", None, 256),
        (b"x", "bin", None, 1 << 70),
        (b"x", "bin", None, 1.5),
        (b"x", "bin", None, "1"),
        (b"x", "bin", None, True),
    ],
)
def test_unusual_uploads_are_left_to_their_plan(make: MakeWorld, arguments: tuple[Any, ...]) -> None:
    world = make().answering()
    assert world.shortcut.upload(*arguments) is None
    assert world.counts == (1, 0, 0)
    assert next(world.targets["group2"].turn) == 0


@pytest.mark.parametrize("flags", [-1, 256, 1 << 70, 1.5, "1", None, True])
def test_unusual_flags_are_left_to_their_plan(make: MakeWorld, flags: Any) -> None:
    world = make().answering()
    assert world.shortcut.info(file_id_of(b"hello"), flags) is None


def test_downloads_of_nothing_of_much_and_of_unknown_size_are_left_to_their_plan(make: MakeWorld) -> None:
    world = make().answering()
    assert world.shortcut.download(file_id_of(b"")) is None
    assert world.shortcut.download(file_id_of(b"x" * (LIMIT + 1))) is None
    assert world.shortcut.download(file_id_of(b"x", appender=True)) is None
    name, _, extension = file_id_of(b"x").rpartition(".")
    assert world.shortcut.download(f"{name}_small.{extension}") is None
    assert world.counts == (1, 0, 0)


@pytest.mark.parametrize("case", ["unknown", "down", "due", "not this way"])
def test_where_there_is_more_to_consider_nothing_is_done(make: MakeWorld, operation: str, case: str) -> None:
    world = make().answering()
    if case == "unknown":
        world.known.clear()
        world.targets.clear()
    elif case == "down":
        world.down[HERE] = (time.monotonic() + 10, 1)
    elif case == "due":
        world.due.at = time.monotonic() - 1
    else:
        world.known[HERE[0]] = (None, None)
        world.targets[None].addresses = []
    assert OPERATIONS[operation](world) is None
    assert world.counts == (1, 0, 0)


def test_reading_and_changing_have_ways_of_their_own(make: MakeWorld) -> None:
    world = make().answering(reply())
    world.known[HERE[0]] = (None, HERE)
    assert OPERATIONS["info"](world) is None
    assert OPERATIONS["download"](world) is None
    assert OPERATIONS["delete"](world) is True
    world.routes.clear()
    world.known[HERE[0]] = (HERE, None)
    assert OPERATIONS["delete"](world) is None


def test_another_server_that_is_down_stops_nothing(make: MakeWorld, operation: str) -> None:
    world = make().answering(GOOD[operation])
    world.down[THERE] = (time.monotonic() + 10, 1)
    assert not isinstance(OPERATIONS[operation](world), world.module.Begun | None)


def test_the_turn_of_a_server_that_is_down_is_left_to_the_plan(make: MakeWorld) -> None:
    world = make()
    world.down[THERE] = (time.monotonic() + 10, 1)
    asked = [world.shortcut.upload(b"hello", "bin", "group2") for _ in range(4)]
    assert [begun and begun.address for begun in asked] == [HERE, None, HERE, None]


# --- where it is begun


def test_without_a_connection_nothing_is_sent(make: MakeWorld, operation: str) -> None:
    begun = begun_by(make(), operation)
    assert begun.connection is None


@pytest.mark.parametrize("how", ["dead", "unasked", "closed", "busy", "guarded"])
def test_a_connection_that_is_of_no_use_is_not_taken(make: MakeWorld, operation: str, how: str) -> None:
    world = make()
    inside: Any = contextlib.nullcontext()
    with world.connected() as other:
        world.link.idle_since -= 1000
        if how == "dead":
            other.close()
        elif how == "unasked":
            other.sendall(b"x")
        elif how == "guarded":
            inside = world.book.guard
        else:
            world.book.closed = how == "closed"
            world.book.places[HERE].idle.clear()
        with inside:
            assert begun_by(world, operation).connection is None
        assert world.counts[1:] == (0, 0)


def test_a_connection_that_was_idle_for_long_is_looked_at(make: MakeWorld, operation: str) -> None:
    world = make().answering(GOOD[operation])
    world.link.idle_since -= 1000
    assert not isinstance(OPERATIONS[operation](world), world.module.Begun | None)
    assert world.counts == (1, 0, 0)


@pytest.mark.parametrize("status", [2, 22, 28, 5])
def test_an_error_is_told_and_the_connection_left_to_be_judged(make: MakeWorld, operation: str, status: int) -> None:
    world = make().answering(reply(status=status))
    begun = begun_by(world, operation)
    assert (begun.connection, begun.error, begun.status) == (world.link, 0, status)
    assert world.counts == (0, 1, 1)
    assert world.given == world.dropped == []


@pytest.mark.parametrize("cut", [0, 5, 10, 14])
def test_a_connection_that_breaks_is_told(make: MakeWorld, cut: int) -> None:
    world = make().answering(GOOD["download"][:cut])
    begun = begun_by(world, "download")
    assert begun.error in (errno.ECONNRESET, errno.EPIPE)
    assert (begun.connection, begun.body) == (world.link, b"")
    assert world.counts == (0, 1, 1)


def test_a_connection_that_is_broken_already_is_told(make: MakeWorld, operation: str) -> None:
    world = make().answering()
    world.peer.join()
    assert begun_by(world, operation).error in (errno.ECONNRESET, errno.EPIPE)


@pytest.mark.parametrize(
    ("operation", "answer", "error"),
    [
        ("download", reply(b"hell"), 0),
        ("download", reply(b"jello"), 0),
        ("download", reply(b"hello!"), errno.EMSGSIZE),
        ("download", b"x" * 10, errno.EPROTO),
        ("upload", reply(), 0),
        ("upload", reply(b"x" * 16), 0),
        ("upload", reply(b"group1".ljust(16, b"\0") + b"M00/../../etc/passwd"), 0),
        ("upload", reply(b"group1".ljust(16, b"\0") + b"\xff" * 40), 0),
        ("upload", reply(b"x" * (LIMIT + 1)), errno.EMSGSIZE),
        ("upload", id_reply(file_id_of(b"other")), 0),
        ("upload", id_reply(file_id_of(b"hello!")), 0),
        ("info", reply(), 0),
        ("info", reply(b"x" * 39), 0),
        ("info", info_reply(-1, 0, 0), 0),
        ("info", info_reply(5, -1, 0), 0),
        ("info", info_reply(5, 1 << 62, 0), 0),
    ],
)
def test_a_reply_that_cannot_be_is_told(make: MakeWorld, operation: str, answer: bytes, error: int) -> None:
    world = make().answering(answer)
    begun = begun_by(world, operation)
    assert (begun.connection, begun.error) == (world.link, error)
    assert begun.body == (b"" if error else answer[10:])
    assert world.counts == (0, 1, 1)
    assert world.given == world.dropped == []


def test_a_reply_that_does_not_come_in_time_is_told(make: MakeWorld, operation: str) -> None:
    world = make(timeout=0.02)
    with world.connected():
        assert begun_by(world, operation).error == errno.ETIMEDOUT


class _Stop(BaseException):
    pass


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_handler_that_raises_while_the_reply_is_awaited_costs_the_connection(make: MakeWorld, operation: str) -> None:
    world = make()
    other = world.connected()

    def stop(*_: object) -> None:
        raise _Stop

    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        # Not before the request is there: from then on the operation waits.
        Peer._request(other)
        signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, stop)
    thread = threading.Thread(target=interrupt)
    try:
        thread.start()
        with pytest.raises(_Stop):
            OPERATIONS[operation](world)
    finally:
        signal.signal(signal.SIGUSR1, before)
        thread.join()
        other.close()
    assert world.dropped == [world.link]


def test_many_threads_share_it(make: MakeWorld) -> None:
    world = make()
    data = [bytes([number]) * 100 for number in range(4)]
    ids = [file_id_of(one) for one in data]
    by_name = {file_id.partition("/")[2].encode(): one for file_id, one in zip(ids, data, strict=True)}
    socks: list[socket.socket] = []
    here = world.book.places[HERE] = world.places.Places(deque())
    servers = []

    def serve(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            while request := Peer._request(sock):
                sock.sendall(reply(by_name[request[42:]]))

    for _ in range(3):
        mine, theirs = socket.socketpair()
        mine.setblocking(False)
        socks.append(mine)
        here.idle.append(world.places.Link(HERE, mine.fileno()))
        servers.append(threading.Thread(target=serve, args=(theirs,)))
        servers[-1].start()
    wrong: list[object] = []
    done = itertools.count()

    def work(file_id: str, wanted: bytes) -> None:
        for _ in range(200):
            got = world.shortcut.download(file_id)
            if isinstance(got, world.module.Begun):
                # More threads than connections.
                if got.connection is not None:
                    wrong.append(got.error)
            elif got == wanted:
                next(done)
            else:
                wrong.append(got)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(ids, data, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sock in socks:
        sock.close()
    for server in servers:
        server.join()
    assert wrong == []
    # Without the interpreter's lock the pool may be in use when a connection comes back, which then takes the long way.
    given = len(world.given)
    assert world.counts == (3 - given, given, given)
    assert next(done) == here.reused > 0


def test_the_compiled_one_is_not_taken_with_pure_parts() -> None:
    from fastxfer.core import _choose

    for name in ("places", "wire", "xfer", "fdfscall"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FASTXFER_PURE", name)
            assert _choose.implementation("fdfscall").__name__ == "fastxfer._pure.fdfscall"


def test_other_kinds_of_book_are_refused(implementation: str) -> None:
    if implementation == "py":
        pytest.skip("it takes whatever behaves as a pool does")
    module: ModuleType = core_module("fdfscall", implementation)
    with pytest.raises(TypeError, match="Book"):
        module.Shortcut(
            object(), {}, {}, {}, find=None, give=None, drop=None, info_type=Info, timeout=1.0, spin=0,
            spins={}, verify=True, reply_limit=1, longest_upload=1, longest_download=1, longest_move=1,
        )  # fmt: skip
