"""After a rush of clients, memory goes back to the system."""

from __future__ import annotations

from fastxfer.server import heap
from fastxfer.server.heap import QUIET_LOOKS, RUSH, Rush


def test_a_rush_is_over_once_it_has_been_quiet_for_some_looks() -> None:
    rush = Rush()
    assert not any(rush.over(count) for count in (1, RUSH, 3 * RUSH, 2 * RUSH))
    assert [rush.over(RUSH) for _ in range(QUIET_LOOKS)] == [False] * (QUIET_LOOKS - 1) + [True]
    assert not rush.over(RUSH), "said once"


def test_a_lull_is_no_end() -> None:
    rush = Rush()
    rush.over(2 * RUSH)
    for _ in range(10):
        assert not any(rush.over(0) for _ in range(QUIET_LOOKS - 1))
        assert not rush.over(2 * RUSH)


def test_few_sessions_are_no_rush() -> None:
    rush = Rush()
    rush.over(RUSH - 1)
    assert not any(rush.over(0) for _ in range(10 * QUIET_LOOKS))


def test_giving_back_is_possible_or_known_not_to_be() -> None:
    assert heap.give_memory_back() is (heap._trim is not None)
