"""Threads for what waits or takes long: as many as there is work, up to a limit, and none for what is over."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from fastxfer.server import threads
from fastxfer.server.threads import LingeringThreads
from tests.server.dialogue import DEADLINE, wait_for

NAME = "test-lingering"


def running() -> int:
    return sum(thread.name == NAME for thread in threading.enumerate())


@pytest.fixture
def executor() -> Iterator[LingeringThreads]:
    pool = LingeringThreads(NAME)
    yield pool
    pool.shutdown()
    assert running() == 0


@pytest.fixture
def few() -> Iterator[LingeringThreads]:
    pool = LingeringThreads(NAME, 2)
    yield pool
    pool.shutdown()


def test_calls_run_at_the_same_time_and_say_what_came_of_them(executor: LingeringThreads) -> None:
    together = threading.Barrier(20)
    futures = [executor.submit(together.wait, DEADLINE) for _ in range(20)]
    assert sorted(future.result(DEADLINE) for future in futures) == list(range(20))
    with pytest.raises(ZeroDivisionError):
        executor.submit(divmod, 1, 0).result(DEADLINE)
    assert executor.submit(int, "ff", base=16).result(DEADLINE) == 255


def test_one_call_after_the_other_needs_one_thread(executor: LingeringThreads) -> None:
    names = set()
    for _ in range(50):
        names.add(executor.submit(threading.get_ident).result(DEADLINE))
        wait_for(lambda: len(executor._idle) == 1)
    assert len(names) == 1


def test_threads_without_work_end(executor: LingeringThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "LINGER", 0.02)
    together = threading.Barrier(10)
    for future in [executor.submit(together.wait, DEADLINE) for _ in range(10)]:
        future.result(DEADLINE)
    wait_for(lambda: running() == 0)
    assert executor.submit(str, 1).result(DEADLINE) == "1"


def test_work_that_comes_in_the_instant_of_leaving_is_done(
    executor: LingeringThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "LINGER", 0.0)
    assert [executor.submit(pow, 2, number).result(DEADLINE) for number in range(500)] == [2**n for n in range(500)]


def test_beyond_the_limit_calls_wait(few: LingeringThreads) -> None:
    go = threading.Event()
    futures = [few.submit(go.wait, DEADLINE) for _ in range(20)]
    wait_for(lambda: sum(future.running() for future in futures) == 2)
    assert running() == 2
    go.set()
    assert all(future.result(DEADLINE) for future in futures)


def test_calls_that_wait_are_made_in_the_order_they_came() -> None:
    pool = LingeringThreads(NAME, 1)
    go = threading.Event()
    made: list[int] = []
    pool.submit(go.wait, DEADLINE)
    for number in range(20):
        pool.submit(made.append, number)
    go.set()
    pool.shutdown()
    assert made == list(range(20))


def test_a_call_that_waits_can_be_taken_back(few: LingeringThreads) -> None:
    go = threading.Event()
    first = [few.submit(go.wait, DEADLINE) for _ in range(2)]
    never = few.submit(pytest.fail, "it was made")
    assert never.cancel()
    go.set()
    assert all(future.result(DEADLINE) for future in first)
    assert few.submit(str, 1).result(DEADLINE) == "1"


def test_no_call_is_forgotten_where_threads_end_and_begin_again(
    few: LingeringThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "LINGER", 0.0)
    for _ in range(100):
        futures = [few.submit(pow, 2, number) for number in range(5)]
        assert [future.result(DEADLINE) for future in futures] == [1, 2, 4, 8, 16]


@pytest.mark.parametrize("cancel", [False, True])
def test_what_waits_at_the_end_is_still_done_or_taken_back(cancel: bool) -> None:
    pool = LingeringThreads(NAME, 1)
    go = threading.Event()
    first = pool.submit(go.wait, DEADLINE)
    wait_for(first.running)
    later = pool.submit(str, 2)
    pool.shutdown(wait=False, cancel_futures=cancel)
    go.set()
    pool.shutdown()
    assert first.result(0)
    assert later.cancelled() is cancel
    assert cancel or later.result(0) == "2"


def test_after_the_end_nothing_is_taken_and_what_runs_is_waited_for() -> None:
    pool = LingeringThreads(NAME)
    begun, go = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        assert go.wait(DEADLINE)
        return "done"

    future = pool.submit(work)
    assert begun.wait(DEADLINE)
    pool.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(work)
    go.set()
    pool.shutdown()
    assert future.result(0) == "done"
    assert running() == 0


def test_a_thread_that_cannot_start_is_an_error_of_that_call_alone(
    executor: LingeringThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="start"):
            executor.submit(str, 1)
    assert executor.submit(str, 2).result(DEADLINE) == "2"
