"""How to wait for replies that come soon is learnt from what each way to wait has cost."""

from __future__ import annotations

import socket
import threading
from types import ModuleType

import pytest

from fastxfer.core.wire import pack_header
from tests.core.conftest import core_module

US = 1000
WAKE_UP = 30 * US
"""What a thread that sleeps takes to be woken."""


@pytest.fixture(name="places")
def _places() -> ModuleType:
    return core_module("places", "c")


class Client:
    """Waits as it is told for a server that answers after so many nanoseconds."""

    def __init__(self, places: ModuleType, answer: int, cores: int = 2) -> None:
        self.answer = answer
        self.spin = places.Spin(cores)

    def exchange(self) -> tuple[int, int, int]:
        """How it waited, and how long it took."""
        nap, poll = self.spin.plan(1)
        awake = nap + WAKE_UP if nap else 0
        if not poll or self.answer > awake + poll:
            took = self.answer + WAKE_UP
            self.spin.learn(took, poll, False)
        else:
            took = max(awake, self.answer)
            self.spin.learn(took, took - awake, True)
        return nap, poll, took

    def exchanges(self, count: int) -> list[tuple[int, int, int]]:
        return [self.exchange() for _ in range(count)]


def polled(exchanges: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    return [how for how in exchanges if how[1]]


def test_half_of_the_exchanges_sleep(places: ModuleType) -> None:
    client = Client(places, 60 * US)
    client.exchanges(2000)
    share = len(polled(client.exchanges(3200))) / 3200
    assert 0.45 < share < 0.55


def test_an_answer_that_comes_at_once_is_hardly_slept_for(places: ModuleType) -> None:
    client = Client(places, 20 * US)
    client.exchanges(2000)
    ways = polled(client.exchanges(3200))
    assert sum(nap <= US and took <= US + WAKE_UP for nap, _, took in ways) > 0.7 * len(ways)


@pytest.mark.parametrize("answer", [60, 100, 150, 300])
def test_a_nap_ends_shortly_before_the_answer_comes(places: ModuleType, answer: int) -> None:
    client = Client(places, answer * US)
    client.exchanges(4000)
    naps = sorted(nap for nap, _, _ in polled(client.exchanges(3200)))
    usual = naps[len(naps) // 2] + WAKE_UP
    assert 0.55 * answer * US < usual < 1.1 * answer * US


def test_waiting_so_is_quicker_than_sleeping(places: ModuleType) -> None:
    client = Client(places, 100 * US)
    client.exchanges(4000)
    ways = polled(client.exchanges(3200))
    assert sum(took for _, _, took in ways) / len(ways) < 115 * US


def test_what_was_tried_while_all_was_slow_is_tried_again(places: ModuleType) -> None:
    client = Client(places, 500 * US)
    client.exchanges(300)
    client.answer = 100 * US
    client.exchanges(4000)
    ways = polled(client.exchanges(3200))
    assert sum(took for _, _, took in ways) / len(ways) < 115 * US


def test_polling_takes_its_share_of_the_processor_and_no_more(places: ModuleType) -> None:
    spin = places.Spin(2)
    asleep, polling = 100 * US, 50 * US
    polls = 0
    for _ in range(8000):
        nap, poll = spin.plan(1)
        polls += bool(poll)
        spin.learn(nap + polling if poll else asleep, polling if poll else 0, True)
    assert 0.15 < polls / 8000 < 0.3


@pytest.mark.parametrize("asleep", [120, 400])
def test_what_lasts_longer_may_take_more_of_it_up_to_a_limit(places: ModuleType, asleep: int) -> None:
    spin = places.Spin(2)
    spent = 0
    for _ in range(8000):
        nap, poll = spin.plan(1)
        polling = asleep // 4 * US
        spent += polling + (5 * US if nap else 0) if poll else 0
        spin.learn(polling if poll else asleep * US, polling if poll else 0, True)
    assert spent / 8000 == pytest.approx(min(0.12 * asleep, 20) * US, rel=0.2)


def test_an_exchange_that_takes_no_time_at_all_is_borne(places: ModuleType) -> None:
    spin = places.Spin(2)
    for _ in range(200):
        spin.plan(1)
        spin.learn(0)
    client = Client(places, 60 * US)
    client.spin = spin
    client.exchanges(2000)
    assert polled(client.exchanges(1000))


def test_a_server_far_away_is_slept_for(places: ModuleType) -> None:
    client = Client(places, 3000 * US)
    client.exchanges(1000)
    assert not polled(client.exchanges(1000))


def test_where_polling_is_in_vain_it_is_tried_rarely(places: ModuleType) -> None:
    client = Client(places, 900 * US)
    client.exchanges(4000)
    assert len(polled(client.exchanges(10_000))) < 1000


def test_a_server_that_becomes_quick_or_slow_is_noticed(places: ModuleType) -> None:
    client = Client(places, 3000 * US)
    client.exchanges(1000)
    client.answer = 60 * US
    client.exchanges(4000)
    assert len(polled(client.exchanges(1000))) > 300
    client.answer = 3000 * US
    client.exchanges(4000)
    assert not polled(client.exchanges(1000))


def test_an_answer_that_comes_late_once_changes_nothing(places: ModuleType) -> None:
    client = Client(places, 60 * US)
    client.exchanges(4000)
    before = len(polled(client.exchanges(3200)))
    for _ in range(8):
        client.answer = 500_000 * US
        client.exchange()
        client.answer = 60 * US
        client.exchanges(200)
    after = len(polled(client.exchanges(3200)))
    assert abs(after - before) < 0.2 * before


@pytest.mark.parametrize(("cores", "busy"), [(1, 1), (2, 2), (2, 50)])
def test_beside_others_that_want_the_cores_nothing_is_polled_for(places: ModuleType, cores: int, busy: int) -> None:
    spin = places.Spin(cores)
    for _ in range(1000):
        assert spin.plan(busy) == (0, 0)
        spin.learn(60 * US)


def test_what_was_never_planned_is_not_learnt(places: ModuleType) -> None:
    spin = places.Spin(2)
    for _ in range(100):
        spin.learn(US)
    assert spin.plan(1) == (0, 0)


@pytest.mark.parametrize("implementation", ["c", "py"])
def test_an_exchange_learns_by_itself(implementation: str) -> None:
    xfer = core_module("xfer", implementation)
    places = core_module("places", implementation)
    spin = places.Spin(1000)
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def answer() -> None:
            while theirs.recv(10):
                theirs.sendall(pack_header(3, 100, 0) + b"abc")

        server = threading.Thread(target=answer)
        server.start()
        try:
            for _ in range(300):
                assert xfer.exchange(ours.fileno(), pack_header(0, 22, 0), 30.0, spin, 100, False, 1) == (0, 0, b"abc")
        finally:
            ours.shutdown(socket.SHUT_RDWR)
            server.join()


def test_an_exchange_that_fails_while_it_is_polled_for_ends_as_any_other(places: ModuleType) -> None:
    xfer = core_module("xfer", "c")
    spin = places.Spin(1000)
    for _ in range(40):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(pack_header(3, 100, 0) + b"ab")
            theirs.shutdown(socket.SHUT_WR)
            error, _, _ = xfer.exchange(ours.fileno(), pack_header(0, 22, 0), 30.0, spin, 100, False, 1)
            assert error
    assert spin.plan(1) == (0, 0)


@pytest.mark.parametrize("implementation", ["c", "py"])
@pytest.mark.parametrize("spin", [1.5, "5", None])
def test_what_is_neither_a_number_nor_learns_is_refused(implementation: str, spin: object) -> None:
    xfer = core_module("xfer", implementation)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        with pytest.raises(TypeError):
            xfer.exchange(ours.fileno(), pack_header(0, 22, 0), 30.0, spin, 100, False, 1)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)
