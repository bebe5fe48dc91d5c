"""The hot steps of a pool's bookkeeping: they do the usual case, and leave all else to their caller."""

from __future__ import annotations

import threading
import time
from collections import deque
from types import ModuleType
from typing import Any

import pytest

HERE = ("127.0.0.1", 1)
TRUSTED, CERTAIN = 60.0, 5.0


@pytest.fixture
def book(places: ModuleType) -> Any:
    book = places.Book(places.Guard(threading.RLock()), TRUSTED, CERTAIN)
    book.next_reap = time.monotonic() + 1000
    return book


def occupied(places: ModuleType, book: Any, count: int = 1) -> list[Any]:
    """Connections whose places are in use."""
    links = [places.Link(HERE, -1) for _ in range(count)]
    book.places[HERE] = places.Places(deque())
    book.places[HERE].busy = book.busy = count
    return links


def counts(book: Any) -> tuple[int, int, int, int]:
    here = book.places[HERE]
    return len(here.idle), here.busy, book.busy, here.reused


def test_the_last_shelved_is_picked_first_and_all_are_counted(places: ModuleType, book: Any) -> None:
    one, two = occupied(places, book, 2)
    before = time.monotonic()
    assert book.shelve(one)
    assert book.shelve(two)
    assert one.used
    assert before <= one.idle_since <= time.monotonic()
    assert counts(book) == (2, 0, 0, 0)
    assert book.pick(HERE) is two
    assert book.pick(HERE, True) is one
    assert counts(book) == (0, 2, 2, 2)
    assert book.pick(HERE) is None
    assert counts(book) == (0, 2, 2, 2)


def test_a_server_that_nobody_has_been_to_has_none(places: ModuleType, book: Any) -> None:
    assert book.pick(("elsewhere", 1)) is None
    stranger = places.Link(("elsewhere", 1), -1)
    assert not book.shelve(stranger)


def test_who_may_not_ask_twice_looks_sooner_whether_it_lives(places: ModuleType, book: Any) -> None:
    class Dead(places.Link):  # type: ignore[misc, name-defined]
        def alive(self) -> bool:
            return False

    occupied(places, book, 0)
    link = Dead(HERE, -1)
    book.places[HERE].busy = book.busy = 1
    assert book.shelve(link)
    link.idle_since -= 10
    assert book.pick(HERE, True) is None
    assert counts(book) == (1, 0, 0, 0)
    assert book.pick(HERE) is link
    assert book.shelve(link)
    link.idle_since -= 100
    assert book.pick(HERE) is None
    assert counts(book) == (1, 0, 0, 1)


def test_when_it_is_time_to_look_for_old_ones_none_is_picked(places: ModuleType, book: Any) -> None:
    (link,) = occupied(places, book)
    assert book.shelve(link)
    book.next_reap = time.monotonic() - 1
    assert book.pick(HERE) is None
    assert counts(book) == (1, 0, 0, 0)


def test_what_somebody_waits_for_and_what_is_given_back_to_a_closed_pool_is_left_to_the_caller(
    places: ModuleType, book: Any
) -> None:
    (link,) = occupied(places, book)
    book.places[HERE].waiting.append(object())
    assert not book.shelve(link)
    book.places[HERE].waiting.clear()
    book.closed = True
    assert not book.shelve(link)
    assert counts(book) == (0, 1, 1, 0)


def test_nothing_is_done_while_somebody_is_inside_the_guard(places: ModuleType, book: Any) -> None:
    one, two = occupied(places, book, 2)
    assert book.shelve(one)
    with book.guard:
        with book.guard:
            assert book.guard.held
        assert book.guard.held
        assert book.pick(HERE) is None
        assert not book.shelve(two)
        assert counts(book) == (1, 1, 1, 0)
    assert not book.guard.held
    assert book.pick(HERE) is one


def test_a_guard_keeps_other_threads_out_and_is_left_after_an_error(places: ModuleType) -> None:
    guard = places.Guard(threading.RLock())
    inside = threading.Event()

    def enter() -> None:
        with guard:
            inside.set()

    thread = threading.Thread(target=enter)

    def fail_inside() -> None:
        with guard:
            thread.start()
            assert not inside.wait(0.05)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert inside.wait(60)
    thread.join()
    assert not guard.held


def test_many_threads_never_share_one(places: ModuleType, book: Any) -> None:
    links = occupied(places, book, 4)
    for link in links:
        assert book.shelve(link)
    taken: set[int] = set()
    shared = []

    def work() -> None:
        for _ in range(3000):
            link = book.pick(HERE)
            if link is None:
                continue
            if id(link) in taken:
                shared.append(link)
            taken.add(id(link))
            taken.discard(id(link))
            while not book.shelve(link):
                time.sleep(0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not shared
    assert sorted(map(id, book.places[HERE].idle)) == sorted(map(id, links))
    assert counts(book)[:3] == (4, 0, 0)
