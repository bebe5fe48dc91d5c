"""Pools of connections: bounded, in turn, alive, and counted; the bookkeeping, and both pools over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

import fastxfer._pure.places as pure_places
import fastxfer.net.pool as pool_module
from fastxfer.core import places
from fastxfer.net.address import Address
from fastxfer.net.async_pool import AsyncPool
from fastxfer.net.connection import Connection, SocketOptions
from fastxfer.net.pool import PoolBook, PoolClosed, PoolTimeout, Ticket
from fastxfer.net.sync_pool import SyncPool

HERE = Address("127.0.0.1", 1)
THERE = Address("127.0.0.1", 2)


class Link(places.Link):
    """Stands for a connection."""

    def __init__(self, address: Address) -> None:
        super().__init__(address, -1)
        self.idle_since = 0.0
        self.closed = False
        self.living = True

    def alive(self) -> bool:
        return self.living and not self.closed

    def close(self) -> None:
        self.closed = True


class Turn(Ticket[Link]):
    woken = 0

    def wake(self) -> None:
        self.woken += 1


def take(book: PoolBook[Link], address: Address, **how: bool) -> Link:
    place = book.take(address, Turn, **how)
    assert not isinstance(place, Ticket)
    return Link(address) if place is None else place


def test_places_are_bounded_for_each_server_and_given_on_in_turn() -> None:
    book: PoolBook[Link] = PoolBook(2, 60)
    first, second = take(book, HERE), take(book, HERE)
    take(book, THERE)
    turns = [book.take(HERE, Turn) for _ in range(3)]
    assert all(isinstance(turn, Turn) for turn in turns)
    assert book.stats()[HERE].waiting == 3
    book.give(first)
    book.drop(HERE, second)
    one, two, three = turns
    assert isinstance(one, Turn)
    assert isinstance(two, Turn)
    assert isinstance(three, Turn)
    assert (one.granted, one.connection, one.woken) == (True, first, 1)
    assert (two.granted, two.connection, two.woken) == (True, None, 1)
    assert second.closed
    assert not three.granted
    assert book.give_up(HERE, three)
    assert not book.give_up(HERE, one)
    book.give_back(HERE, one)
    book.give_back(HERE, two)
    stats = book.stats()[HERE]
    assert (stats.busy, stats.idle, stats.waiting, stats.timeouts, stats.dropped) == (0, 1, 0, 1, 1)
    assert book.busy == 1


def test_the_last_given_back_is_taken_first() -> None:
    book: PoolBook[Link] = PoolBook(5, 60)
    links = [take(book, HERE) for _ in range(3)]
    for link in links:
        book.give(link)
    assert [take(book, HERE) for _ in range(3)] == links[::-1]
    assert all(link.used for link in links)


def test_idle_connections_that_died_are_not_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    book: PoolBook[Link] = PoolBook(5, 60)
    links = [take(book, HERE) for _ in range(3)]
    for link in links:
        book.give(link)
        link.idle_since -= 1
    links[2].living = links[1].living = False
    assert take(book, HERE) is links[0]
    assert links[1].closed
    assert links[2].closed
    assert book.stats()[HERE].found_dead == 2


def test_a_fresh_one_means_that_all_idle_ones_are_doubtful() -> None:
    book: PoolBook[Link] = PoolBook(5, 60)
    links = [take(book, HERE) for _ in range(3)]
    for link in links:
        book.give(link)
    assert take(book, HERE, fresh=True) not in links
    assert all(link.closed for link in links)


def test_the_one_given_back_a_moment_ago_is_trusted_less_by_who_may_not_ask_twice() -> None:
    book: PoolBook[Link] = PoolBook(5, 60)
    link = take(book, HERE)
    book.give(link)
    link.idle_since -= 0.01
    link.living = False
    assert take(book, HERE) is link
    book.give(link)
    link.idle_since -= 0.01
    assert take(book, HERE, certain=True) is not link


def test_idle_connections_are_closed_in_time() -> None:
    book: PoolBook[Link] = PoolBook(5, 10)
    old, young = take(book, HERE), take(book, HERE)
    book.give(old)
    book.give(young)
    old.idle_since -= 11
    book.reap()
    assert old.closed
    assert not young.closed
    assert book.stats()[HERE].reaped == 1


def test_a_place_that_could_not_be_opened_is_free_again() -> None:
    book: PoolBook[Link] = PoolBook(1, 10)
    assert book.take(HERE, Turn) is None
    turn = book.take(HERE, Turn)
    assert isinstance(turn, Turn)
    book.drop(HERE, None)
    assert turn.granted
    assert turn.connection is None
    book.drop(HERE, None)
    assert book.stats()[HERE].busy == 0
    assert book.stats()[HERE].opened == 0


def test_a_closed_pool() -> None:
    book: PoolBook[Link] = PoolBook(1, 10)
    busy = take(book, HERE)
    turn = book.take(HERE, Turn)
    assert isinstance(turn, Turn)
    idle = take(book, THERE)
    book.give(idle)
    book.close()
    assert idle.closed
    assert turn.refused
    with pytest.raises(PoolClosed):
        book.take(THERE, Turn)
    book.give(busy)
    assert busy.closed


def test_a_pool_may_be_used_and_closed_by_a_handler_in_the_middle_of_its_own_use() -> None:
    """Signal handlers and destructors run in whatever thread and wherever it is."""
    book: PoolBook[Link] = PoolBook(1, 60)
    link = take(book, HERE)
    book.give(link)
    link.idle_since = -100.0

    class Meddling(Link):
        def alive(self) -> bool:
            assert book.stats()[HERE].busy == 0
            book.give(take(book, THERE))
            book.close()
            return True

    link.__class__ = Meddling
    assert take(book, HERE) is link
    book.give(link)
    assert link.closed
    with pytest.raises(PoolClosed):
        take(book, HERE)


class Interruption:
    """Does something, once, before the given line that runs in the pool's own code; ``sys.settrace`` takes it."""

    def __init__(self, line: int, handler: Callable[[], None]) -> None:
        self.left = line
        self.handler = handler

    def __call__(self, frame: FrameType, event: str, argument: object) -> Interruption | None:
        if frame.f_code.co_filename not in (pool_module.__file__, pure_places.__file__):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                self.handler()
        return self


def test_a_handler_may_use_the_pool_before_any_line_of_it() -> None:
    """Nothing is lost, counted wrongly or given out twice, wherever a signal handler comes in."""

    def use(book: PoolBook[Link]) -> None:
        one, two = take(book, HERE), take(book, HERE)
        book.give(one)
        book.give(two)
        three = take(book, HERE)
        one.idle_since, one.living = -1000.0, False
        four = take(book, HERE, certain=True)
        assert four is not three
        book.drop(HERE, four)
        book.give(three)
        three.idle_since = -1000.0
        book.reap()
        book.give(book.pick(HERE) or take(book, HERE, fresh=True))
        book.stats()

    line = 0
    came = True
    while came:
        line += 1
        book: PoolBook[Link] = PoolBook(5, 60)
        came = False

        def handle(book: PoolBook[Link] = book) -> None:
            nonlocal came
            came = True
            for address in (HERE, THERE):
                book.give(book.pick(address) or take(book, address))
            book.stats()

        before = sys.gettrace()
        sys.settrace(Interruption(line, handle))
        try:
            use(book)
        finally:
            sys.settrace(before)
        idle = [id(link) for places in book.places.values() for link in places.idle]
        assert len(idle) == len(set(idle)), line
        assert book.busy == 0, line
        for address, stats in book.stats().items():
            gone = stats.dropped + stats.found_dead + stats.reaped
            assert (stats.busy, stats.idle) == (0, stats.opened - gone), (line, address, stats)
    assert line > 100


def test_a_pool_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        PoolBook(0, 1)


@contextlib.contextmanager
def server() -> Iterator[tuple[Address, list[socket.socket]]]:
    """Accepts connections and keeps them."""
    listener = socket.create_server(("127.0.0.1", 0))
    accepted: list[socket.socket] = []
    closing = threading.Event()
    listener.settimeout(0.05)

    def serve() -> None:
        while not closing.is_set():
            with contextlib.suppress(TimeoutError):
                accepted.append(listener.accept()[0])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield Address(*listener.getsockname()[:2]), accepted
    finally:
        closing.set()
        thread.join()
        for sock in accepted:
            sock.close()
        listener.close()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def sync_pool(limit: int = 2, wait: float | None = 30) -> SyncPool:
    return SyncPool(limit, 60, 30, wait, SocketOptions())


def test_threads_wait_their_turn_for_real_connections() -> None:
    with server() as (address, accepted):
        pool = sync_pool()
        served: list[int] = []

        def work(number: int) -> None:
            for _ in range(20):
                connection = pool.take(address)
                served.append(connection.fd)
                time.sleep(0.0005)
                pool.give(connection)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(served) == 160
        assert len(set(served)) == 2
        until(lambda: len(accepted) == 2)
        assert pool.book.stats()[address].busy == 0
        pool.close()


def test_a_connection_that_nobody_holds_any_more_is_closed_and_its_place_is_free() -> None:
    """As where a signal handler raises before the line that would have given it back."""
    with server() as (address, accepted):
        pool = sync_pool(limit=1, wait=0)
        for number in range(3):
            pool.take(address)
            gc.collect()
            assert pool.book.busy == 0
            until(lambda number=number: len(accepted) == number + 1)  # type: ignore[misc]
            accepted[number].settimeout(30)
            assert accepted[number].recv(1) == b""
        held = pool.take(address)
        pool.give(held)
        del held
        stats = pool.book.stats()[address]
        assert (stats.busy, stats.idle, stats.opened, stats.dropped) == (0, 1, 4, 3)
        pool.close()


def test_waiting_in_vain() -> None:
    with server() as (address, _):
        pool = sync_pool(1, 0.05)
        connection = pool.take(address)
        with pytest.raises(PoolTimeout, match="stayed busy"):
            pool.take(address)
        pool.give(connection)
        assert pool.take(address) is connection
        pool.drop(connection)
        pool.close()


def test_a_pool_that_is_closed_lets_nobody_wait() -> None:
    with server() as (address, _):
        pool = sync_pool(1)
        connection = pool.take(address)
        errors: list[BaseException] = []

        def wait() -> None:
            try:
                pool.take(address)
            except PoolClosed as error:
                errors.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        until(lambda: pool.book.stats()[address].waiting == 1)
        pool.close()
        thread.join()
        assert len(errors) == 1
        pool.drop(connection)


def test_a_connection_closed_by_the_peer_is_replaced() -> None:
    with server() as (address, accepted):
        pool = sync_pool()
        connection = pool.take(address)
        until(lambda: len(accepted) == 1)
        pool.give(connection)
        accepted[0].close()
        until(lambda: not connection.alive())
        connection.idle_since -= 1
        other = pool.take(address)
        assert other is not connection
        assert pool.book.stats()[address].found_dead == 1
        pool.drop(other)
        pool.close()


def test_refused_connections_leave_no_place_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = Address(*sock.getsockname()[:2])
    pool = sync_pool(1)
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            pool.take(address)
    assert pool.book.stats()[address].busy == 0
    pool.close()


def test_socket_options_are_set() -> None:
    options = SocketOptions(send_buffer=100_000, receive_buffer=100_000, congestion="reno")
    with server() as (address, _):
        pool = SyncPool(1, 60, 30, 30, options)
        connection = pool.take(address)
        sock = connection.sock
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= 100_000
        if hasattr(socket, "TCP_CONGESTION"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).startswith(b"reno")
        assert not sock.getblocking()
        pool.drop(connection)
        pool.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_begins_with_an_empty_pool() -> None:
    with server() as (address, accepted):
        pool = sync_pool()
        connection = pool.take(address)
        pool.give(connection)
        child = os.fork()
        if child == 0:
            ours = pool.book.stats() == {} and pool.take(address) is not connection
            os._exit(0 if ours else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert pool.take(address) is connection
        assert connection.alive()
        pool.drop(connection)
        until(lambda: len(accepted) == 2)
        pool.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_while_another_thread_is_in_the_pool_does_not_wait_for_it() -> None:
    book: PoolBook[Link] = PoolBook(1, 60)
    within, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with book.guard:
            within.set()
            leave.wait(100)

    thread = threading.Thread(target=stay)
    thread.start()
    within.wait(100)
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # ends a child that waits
        os._exit(0 if book.take(HERE, Turn) is None else 1)
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_tasks_wait_their_turn_too() -> None:
    async def main(address: Address) -> None:
        pool = AsyncPool(2, 60, 30, 30, SocketOptions())
        served: set[int] = set()

        async def work() -> None:
            for _ in range(20):
                connection = await pool.take(address)
                served.add(connection.fd)
                await asyncio.sleep(0)
                pool.give(connection)

        await asyncio.gather(*(work() for _ in range(50)))
        assert len(served) == 2
        assert pool.book.stats()[address].busy == 0
        pool.close()

    with server() as (address, _):
        asyncio.run(main(address))


def test_tasks_that_are_cancelled_or_wait_in_vain_take_no_place_along() -> None:
    async def main(address: Address) -> None:
        pool = AsyncPool(1, 60, 30, 0.05, SocketOptions())
        connection = await pool.take(address)
        with pytest.raises(PoolTimeout):
            await pool.take(address)
        waiting = [asyncio.ensure_future(pool.take(address)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        pool.give(connection)
        first: Connection = await waiting[0]
        # Granted and cancelled in one turn of the loop: the place must not be lost.
        pool.give(first)
        waiting[2].cancel()
        outcomes = await asyncio.gather(*waiting[1:], return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        again = await pool.take(address)
        assert again is connection
        pool.drop(again)
        assert pool.book.stats()[address].busy == 0
        pool.close()

    with server() as (address, _):
        asyncio.run(main(address))
