"""Opening connections: several addresses of one host, hosts that are none, no time limit."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from math import inf

import pytest

from fastxfer.net import async_pool, connection
from fastxfer.net.address import Address
from fastxfer.net.connection import Connection, SocketOptions

Open = Callable[..., Connection]


def blocking(address: Address, timeout: float | None) -> Connection:
    return connection.connect(address, timeout, SocketOptions())


def awaited(address: Address, timeout: float | None) -> Connection:
    return asyncio.run(async_pool.connect(address, timeout, SocketOptions()))


@pytest.fixture(params=[blocking, awaited], ids=lambda open: open.__name__)
def open_link(request: pytest.FixtureRequest) -> Open:
    opener: Open = request.param
    return opener


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """An address that answers no attempt to connect."""
    with contextlib.ExitStack() as held:
        full = held.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(8):
            filler = held.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield full.getsockname()


def test_an_address_that_is_silent_leaves_time_for_the_next(
    open_link: Open, silent: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def addresses(host: str, port: int, *how: object, **more: object) -> list[object]:
            kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            return [(*kind, silent), (*kind, listener.getsockname())]

        monkeypatch.setattr(socket, "getaddrinfo", addresses)
        link = open_link(Address("two.example", 1), 1.0)
        assert link.sock.getpeername() == listener.getsockname()
        link.close()


def test_all_silent_is_a_timeout(open_link: Open, silent: tuple[str, int]) -> None:
    with pytest.raises(TimeoutError):
        open_link(Address(*silent), 0.1)


@pytest.mark.parametrize("host", ["a..b", "\udcff", "x" * 70])
def test_a_host_that_is_none_is_an_ordinary_error(open_link: Open, host: str) -> None:
    with pytest.raises(OSError, match="no address"):
        open_link(Address(host, 1), 5)


@pytest.mark.parametrize("timeout", [None, inf])
def test_no_time_limit(open_link: Open, timeout: float | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        open_link(Address(*listener.getsockname()), timeout).close()
