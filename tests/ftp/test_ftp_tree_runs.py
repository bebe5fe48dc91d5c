"""How trees are carried out: several files at a time, and again after a run that was broken off."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from fastxfer.ftp import (
    AsyncClient,
    Item,
    LocalFileError,
)
from fastxfer.ftp.tree import workers as workers_module
from fastxfer.ftp.tree.journal import Journal
from fastxfer.ftp.tree.workers import Workers
from tests.ftp.conftest import harvest, plant, run
from tests.support.ftp_servers import PASSWORD, USER, run_pyftpdlib


def test_a_journal_remembers_what_was_finished(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", "up")
    journal.note("a", 1, 2.5)
    journal.note("b\udce9", 1, None)
    other = Journal(tmp_path / "j", "up")
    assert other.finished("a", 1, 2.5), "for another process, too"
    other.close(remove=False)
    journal.close(remove=False)
    journal = Journal(tmp_path / "j", "up")
    assert journal.finished("a", 1, 2.5)
    assert journal.finished("b\udce9", 1, None)
    assert not journal.finished("a", 2, 2.5)
    other = Journal(tmp_path / "j", "down")
    assert not other.finished("a", 1, 2.5)
    other.close(remove=False)
    journal.close(remove=True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "not a journal").write_text("text " * 100)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(LocalFileError) as refused:
        Journal(tmp_path / "not a journal", "up")
    # What is refused is closed at once, though the error, which holds the journal, is still there.
    assert refused.value.path == str(tmp_path / "not a journal")
    assert before == (len(os.listdir("/proc/self/fd")) if before else 0)


KILLED = """
import asyncio, sys
from fastxfer.ftp import AsyncClient

async def main():
    async with AsyncClient(sys.argv[1], user=sys.argv[2], password=sys.argv[3], connections=3) as client:
        print("begun", flush=True)
        await client.mirror(sys.argv[4], "tree", journal=sys.argv[5], compare="exact", preserve_time=False)

asyncio.run(main())
"""


# The server, in this process, forgets to close the files of clients that were killed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_mirror_killed_and_begun_again_moves_no_finished_file_twice(tmp_path: Path) -> None:
    source = plant(tmp_path / "source", {f"d{number % 7}/f{number}": b"x" * number for number in range(600)})
    (tmp_path / "root").mkdir()
    stored: Counter[str] = Counter()

    def on_file_received(self: object, path: str) -> None:
        stored[os.path.basename(path).split(".")[1]] += 1

    with run_pyftpdlib(tmp_path / "root", on_file_received=on_file_received) as peer:
        script = tmp_path / "mirror.py"
        script.write_text(textwrap.dedent(KILLED))
        command = [sys.executable, str(script), peer.url, USER, PASSWORD, str(source), str(tmp_path / "journal")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        with subprocess.Popen(command, env=environment) as process:
            end = time.monotonic() + 30
            while len(stored) < 250 and time.monotonic() < end and process.poll() is None:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        done_before = set(harvest(tmp_path / "root"))
        finished = {name for name in done_before if not name.endswith(".part")}
        assert 0 < len(finished) < 600
        # Times are not preserved and compared exactly, so only the journal can know.
        subprocess.run(command, env=environment, check=True, timeout=300)
        twice = [name for name, count in stored.items() if count > 1]
        # At most one for each connection was on the server and not yet noted.
        assert len(twice) <= 3
        left = harvest(tmp_path / "root" / "tree")
        assert {name: content for name, content in left.items() if ".part" not in name} == harvest(source)
        assert not (tmp_path / "journal").exists()


def test_a_mirror_broken_off_moves_nothing_twice_where_the_server_lists_times_by_the_minute(tmp_path: Path) -> None:
    from pyftpdlib.handlers import FTPHandler

    source = plant(tmp_path / "root", {f"f{number}": b"x" * number for number in range(20)})
    told: list[Item] = []
    again: list[Item] = []
    sent: Counter[str] = Counter()

    def on_file_sent(self: object, path: str) -> None:
        sent[os.path.basename(path)] += 1

    class Enough(Exception):
        pass

    def ten(item: Item) -> None:
        if sum(item.action == "download" for item in [*told, item]) == 10:
            raise Enough
        told.append(item)

    async def mirror(client: AsyncClient, on_item: Callable[[Item], None]) -> None:
        await client.mirror(
            tmp_path / "copy", "/", "down", compare="exact", preserve_time=False, parallel=1,
            journal=tmp_path / "journal", on_item=on_item,
        )  # fmt: skip

    commands = FTPHandler.proto_cmds
    known = {name: how for name, how in commands.items() if name not in ("MLSD", "MLST")}
    with run_pyftpdlib(source, proto_cmds=known, on_file_sent=on_file_sent) as peer:
        with pytest.raises(Enough):
            run(peer, lambda client: mirror(client, ten))
        run(peer, lambda client: mirror(client, again.append))
    assert Counter(item.action for item in again) == {"download": 10, "skip": 10, "mkdir": 1}
    assert sent == dict.fromkeys(sent, 1)
    assert harvest(tmp_path / "copy") == harvest(source)
    assert not (tmp_path / "journal").exists()


def test_workers_bound_what_runs_and_stop_at_an_unexpected_error() -> None:
    running = most = done = 0

    async def job() -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        done += 1

    async def bad() -> None:
        raise ZeroDivisionError

    async def body() -> None:
        async with Workers(3) as workers:
            for _ in range(30):
                await workers.add(job)
        assert (most, done) == (3, 30)

    async def failing() -> None:
        async with Workers(2) as workers:
            await workers.add(bad)
            for _ in range(100):
                await workers.add(job)

    asyncio.run(body())
    with pytest.raises(ZeroDivisionError):
        asyncio.run(failing())


@pytest.mark.parametrize("waiting", ["in add", "at the end"])
def test_jobs_under_way_may_end_when_all_is_cancelled_and_no_other_is_begun(
    monkeypatch: pytest.MonkeyPatch, waiting: str
) -> None:
    monkeypatch.setattr(workers_module, "_GRACE", 60.0)
    begun: list[int] = []
    ended: list[int] = []

    async def session() -> None:
        full, go_on = asyncio.Event(), asyncio.Event()

        async def job(number: int) -> None:
            begun.append(number)
            if len(begun) == 2:
                full.set()
            await go_on.wait()
            ended.append(number)

        async def work() -> None:
            async with Workers(2) as workers:
                for number in range(50 if waiting == "in add" else 4):
                    await workers.add(partial(job, number))

        task = asyncio.create_task(work())
        await full.wait()
        task.cancel()
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.01, go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(session())
    assert begun == ended == [0, 1]


def test_jobs_that_take_long_are_cancelled_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "_GRACE", 0.01)
    cancelled: list[str] = []

    async def session() -> None:
        begun = asyncio.Event()

        async def job() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append("job")
                raise

        async def work() -> None:
            async with Workers(2) as workers:
                await workers.add(job)

        task = asyncio.create_task(work())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(session())
    assert cancelled == ["job"]
