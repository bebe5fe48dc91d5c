"""Addresses, deadlines, pauses, cancelling, progress: the small parts that every client stands on."""

from __future__ import annotations

import threading
import time

import pytest

from fastxfer.net.address import Address, parse_address, split_url
from fastxfer.net.cancel import CancelToken
from fastxfer.net.deadline import Deadline
from fastxfer.net.progress import Progress
from fastxfer.net.retry import RetryPolicy


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.1:22122", "10.0.0.1", 22122),
        (" tracker.example:1 ", "tracker.example", 1),
        ("[::1]:22122", "::1", 22122),
        ("[fe80::1%eth0]:65535", "fe80::1%eth0", 65535),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    address = parse_address(text)
    assert address == Address(host, port)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "host", "user", "path"),
    [
        ("ftp://host", "host", None, ""),
        ("ftp://me@host:21/a?b#c", "host", "me", "/a?b#c"),
        ("ftps://[::1]:990//x/%23", "::1", None, "//x/%23"),
    ],
)
def test_all_that_follows_the_server_is_the_path(text: str, host: str, user: str | None, path: str) -> None:
    parts, found = split_url(text)
    assert (parts.hostname or "", parts.username, found) == (host, user, path)


@pytest.mark.parametrize("text", ["ftp://host?x", "ftp://host#x/y", "ftp://me:se?cret@host/"])
def test_a_server_has_no_query(text: str) -> None:
    with pytest.raises(ValueError, match="can not stand in the name of a server") as raised:
        split_url(text)
    assert "cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "host"), [("10.0.0.1", "10.0.0.1"), ("::1", "::1"), ("[::1]", "::1"), ("name", "name")]
)
def test_addresses_with_a_usual_port(text: str, host: str) -> None:
    assert parse_address(text, 23000) == Address(host, 23000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "host",
        "host:",
        ":1",
        "host:0",
        "host:65536",
        "host:-1",
        "host:1x",
        "host:１",
        "::1",
        "1:2:3",
        "[::1",
        "[::1]1",
        "[::1]",
        "[]:1",
        "a b:1",
        "a\0b:1",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="malformed address"):
        parse_address(text)


def test_a_deadline() -> None:
    never = Deadline(None)
    assert not never.expired
    assert never.remaining() is None
    assert never.at_most(3) == 3
    assert never.at_most(None) is None
    past = Deadline(-1)
    assert past.expired
    assert past.remaining() == 0
    assert past.at_most(None) == 0
    later = Deadline(1000)
    assert not later.expired
    assert 900 < (later.remaining() or 0) <= 1000
    assert later.at_most(5) == 5


def test_pauses_grow_to_a_limit_and_vary() -> None:
    policy = RetryPolicy(10, 0.1, 2.0)
    for failures, longest in [(1, 0.1), (2, 0.2), (3, 0.4), (6, 2.0), (1000, 2.0)]:
        delays = {policy.delay(failures) for _ in range(50)}
        assert len(delays) > 1
        assert all(longest / 2 <= delay <= longest for delay in delays)


@pytest.mark.parametrize("arguments", [(0,), (1, -1), (1, 1, -1)])
def test_policies_that_make_no_sense(arguments: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must"):
        RetryPolicy(*arguments)


class Transfer:
    def __init__(self) -> None:
        self.cancelled = 0
        self.sent = self.received = 0

    def cancel(self) -> None:
        self.cancelled += 1


def test_a_token_cancels_what_runs_and_what_comes_later() -> None:
    token = CancelToken()
    running, ended, late = Transfer(), Transfer(), Transfer()
    token.watch(running)
    token.watch(ended)
    token.release(ended)
    assert not token.cancelled
    assert not token.wait(0)
    token.cancel()
    token.cancel()
    token.watch(late)
    token.release(late)
    assert (running.cancelled, ended.cancelled, late.cancelled) == (1, 0, 1)
    assert token.cancelled
    assert token.wait()


def test_progress_reads_the_counters_of_transfers() -> None:
    progress = Progress(total=100)
    assert (progress.transferred, progress.remaining, progress.done) == (0, None, False)
    transfer = Transfer()
    progress.follow(transfer, receiving=False, overhead=10)
    transfer.sent = 5
    assert progress.transferred == 0
    transfer.sent = 40
    assert progress.transferred == 30
    assert progress.remaining is not None
    progress.unfollow(keep=False)
    assert progress.transferred == 0
    progress.follow(transfer, receiving=True)
    transfer.received = 60
    assert progress.transferred == 60
    progress.unfollow(keep=True)
    progress.advance(5)
    parts = [progress.part(), progress.part()]
    for part in parts:
        part.advance(10)
    assert progress.transferred == 85
    progress.finish()
    elapsed = progress.elapsed
    assert progress.done
    assert progress.elapsed == elapsed


def test_a_progress_function_is_called_while_bytes_move_and_at_the_end() -> None:
    calls: list[int] = []
    called = threading.Event()

    def note(state: Progress) -> None:
        calls.append(state.transferred)
        called.set()

    progress = Progress(note)
    transfer = Transfer()
    progress.follow(transfer, receiving=True)
    transfer.received = 7
    assert called.wait(30)
    progress.unfollow(keep=True)
    progress.advance(1)
    progress.finish()
    assert calls[0] == 7
    assert calls[-1] == 8
    count = len(calls)
    time.sleep(0.3)
    assert len(calls) == count


def test_a_progress_function_that_raises_is_not_called_again(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []
    called = threading.Event()

    def broken(state: Progress) -> None:
        calls.append(1)
        called.set()
        raise LookupError("broken")

    progress = Progress(broken)
    progress.advance(1)
    assert called.wait(30)
    time.sleep(0.3)
    progress.abandon()
    assert len(calls) == 1
    assert "progress callback failed" in caplog.text


def test_a_progress_function_that_raises_at_the_end_does_not_undo_what_succeeded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(state: Progress) -> None:
        raise LookupError("broken")

    progress = Progress(broken)
    progress.finish()
    assert progress.done
    assert "progress callback failed" in caplog.text


def test_a_handler_may_cancel_what_its_own_thread_is_about_to_watch() -> None:
    token = CancelToken()

    class Watched:
        cancelled = 0

        def __hash__(self) -> int:
            # Stands for a signal that comes while the token is held.
            if not token.cancelled:
                token.cancel()
            return 1

        def cancel(self) -> None:
            self.cancelled += 1

    watched = Watched()
    token.watch(watched)
    assert watched.cancelled == 1
    token.release(watched)
