"""How long connections live, and how they are shared."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from pathlib import Path

import pytest

from fastxfer.ftp import AsyncClient, Client, ClosedError, FTPError, Limits, RetryPolicy
from tests.ftp.hostile import run
from tests.support.scripted_ftp import Control, scripted_server

DEADLINE = 60.0


def test_idle_connections_are_kept_alive_and_in_the_end_let_go() -> None:
    noops = threading.Event()
    quits = threading.Event()

    def noop(control: Control, argument: str) -> None:
        control.reply("200 alive")
        noops.set()

    def quit_(control: Control, argument: str) -> None:
        quits.set()
        server.do_quit(control, argument)

    with scripted_server() as server:
        server.handlers |= {"NOOP": noop, "QUIT": quit_}

        async def body(client: AsyncClient) -> None:
            loop = asyncio.get_running_loop()
            assert await loop.run_in_executor(None, noops.wait, 10)
            assert await loop.run_in_executor(None, quits.wait, 10)
            await asyncio.sleep(0.05)
            assert client.stats()["connections"] == 0
            await client.noop()
            assert client.stats()["connections"] == 1

        run(server, body, limits=Limits(keepalive=0.1, idle_lifetime=0.4))


def test_a_connection_that_rested_long_is_asked_before_it_is_used() -> None:
    with scripted_server() as server:
        server.files["/a"] = b"x"
        with Client(server.url, limits=Limits(keepalive=0.0)) as client:
            client.read("a")
            client.read("a")
            assert server.count("NOOP") == 2


def test_no_more_connections_stay_open_than_are_to_idle() -> None:
    with scripted_server() as server:
        for number in range(10):
            server.files[f"/{number}"] = b"x"

        async def body(client: AsyncClient) -> None:
            await asyncio.gather(*(client.read(f"{number}") for number in range(10)))
            assert client.stats()["connections"] == 2

        run(server, body, connections=6, idle=2)


def test_threads_share_a_blocking_client() -> None:
    with scripted_server() as server:
        for number in range(40):
            server.files[f"/{number}"] = b"%d" % number
        wrong: list[object] = []

        def work(first: int) -> None:
            for number in range(first, 40, 4):
                if client.read(f"{number}") != b"%d" % number:
                    wrong.append(number)

        with Client(server.url, connections=2, timeout=20) as client:
            threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert wrong == []
        assert server.connections <= 2


def test_a_closed_client_says_so() -> None:
    with scripted_server() as server:
        client = Client(server.url)
        with pytest.raises(ClosedError):
            client.list()
        with client:
            client.noop()
        client.close()
        with pytest.raises(ClosedError):
            client.list()
        with client:
            client.noop()
        assert server.connections == 2


def test_closing_ends_those_who_wait() -> None:
    with scripted_server() as server:
        server.handlers["NOOP"] = lambda control, argument: None

        async def body(client: AsyncClient) -> None:
            waiting = [asyncio.create_task(client.noop()) for _ in range(3)]
            await asyncio.sleep(0.05)
            await client.aclose()
            server.close()
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert sum(isinstance(result, ClosedError) for result in results) >= 2

        run(server, body, connections=1, timeout=2)


def test_the_working_directory_holds_for_every_connection() -> None:
    with scripted_server() as server:
        server.directories |= {"/d"}
        server.handlers["PWD"] = lambda control, argument: control.reply(
            f'257 "{"/d" if server.commands[-2].startswith("CWD /d") or server.commands[-2] == "CWD d" else "/"}"'
        )
        for number in range(6):
            server.files[f"/d/{number}"] = b"x"

        async def body(client: AsyncClient) -> None:
            assert await client.chdir("d") == "/d"
            await asyncio.gather(*(client.read(f"{number}") for number in range(6)))
            assert await client.read("/d/0") == b"x"

        run(server, body, connections=3)
        assert {line for line in server.commands if line.startswith("RETR")} == {f"RETR /d/{n}" for n in range(6)}


def test_trees_and_single_files_of_a_blocking_client_share_its_connections(tmp_path: Path) -> None:
    (tmp_path / "up").mkdir()
    for number in range(5):
        (tmp_path / "up" / f"{number}").write_bytes(b"x" * number)
    with scripted_server() as server, Client(server.url, connections=1, timeout=20.0) as client:
        for _ in range(3):
            client.upload(b"x", "a")
            assert client.mirror(tmp_path / "up", "tree", delete=False).ok
            assert client.read("a") == b"x"
            assert len(list(client.search("*", "tree"))) == 5
        assert server.connections == 1
        assert client.stats()["connections"] == 1
        assert client.stats()["transfers"] == 21
        assert client.chdir("/tree") == "/"
        assert client.remove_tree("/tree") == 6
    assert server.count("QUIT") == 1


def test_threads_and_trees_together_open_no_more_connections_than_allowed(tmp_path: Path) -> None:
    with scripted_server() as server, Client(server.url, connections=2, timeout=20.0) as client:
        for number in range(40):
            server.files[f"/{number}"] = b"%d" % number
        failures: list[BaseException] = []

        def single() -> None:
            try:
                for number in range(40):
                    assert client.read(f"{number}") == b"%d" % number
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=single) for _ in range(2)]
        for thread in threads:
            thread.start()
        report = client.fetch([(f"{number}", tmp_path / f"{number}") for number in range(40)], parallel=4)
        for thread in threads:
            thread.join()
        assert not failures
        report.raise_for_failures()
        assert server.connections == 2
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {f"{n}": b"%d" % n for n in range(40)}


def test_closing_a_blocking_client_ends_a_tree_under_way(tmp_path: Path) -> None:
    begun = threading.Event()

    def retr(control: Control, argument: str) -> None:
        control.reply("150 it will take long")
        data = control.data()
        begun.set()
        data.recv(1)

    with scripted_server() as server:
        server.files["/a"] = b"x"
        server.handlers["RETR"] = retr
        client = Client(server.url, connections=2, timeout=3600.0)
        client.connect()
        ends: list[BaseException] = []

        def fetch() -> None:
            try:
                client.fetch([("a", tmp_path / "a")])
            except ClosedError as error:
                ends.append(error)

        thread = threading.Thread(target=fetch)
        thread.start()
        assert begun.wait(30)
        client.close()
        thread.join(60)
        assert len(ends) == 1
        with pytest.raises(ClosedError):
            client.fetch([("a", tmp_path / "a")])
    assert list(tmp_path.iterdir()) == []


def test_operations_keep_their_signature_and_documentation_in_the_blocking_client() -> None:
    for name in ("download", "mirror", "walk", "search", "list"):
        ours, theirs = getattr(Client, name), getattr(AsyncClient, name)
        assert inspect.signature(ours) == inspect.signature(theirs)
        assert ours.__doc__ == theirs.__doc__
        assert not inspect.iscoroutinefunction(ours)


def test_few_connections_at_a_time_wait_for_the_greeting() -> None:
    """A server lets so many stand in the queue of its port, and the system may forget those beyond."""
    count = threading.Lock()
    ungreeted: list[int] = []
    most = 0

    def greet(control: Control) -> None:
        nonlocal most
        with count:
            ungreeted.append(control.number)
            most = max(most, len(ungreeted))
        time.sleep(0.02)
        with count:
            ungreeted.remove(control.number)
        control.reply(server.banner)

    def retr(control: Control, argument: str) -> None:
        all_are_there.wait(DEADLINE)
        server.do_retr(control, argument)

    all_are_there = threading.Barrier(60)
    with scripted_server() as server:
        server.greet = greet
        server.handlers["RETR"] = retr
        for number in range(60):
            server.files[f"/{number}"] = b"%d" % number

        async def body(client: AsyncClient) -> None:
            read = await asyncio.gather(*(client.read(f"{number}") for number in range(60)))
            assert read == [b"%d" % number for number in range(60)]

        run(server, body, connections=60)
        assert server.connections == 60
    assert 1 < most <= 16


def test_connections_that_cannot_be_opened_keep_no_others_waiting() -> None:
    def greet(control: Control) -> None:
        if control.number > 1:
            control.hang_up()
        control.reply(server.banner)

    with scripted_server() as server:
        server.greet = greet
        server.files["/a"] = b"x"
        outcomes: list[bytes | BaseException] = []

        async def body(client: AsyncClient) -> None:
            outcomes.extend(await asyncio.gather(*(client.read("a") for _ in range(60)), return_exceptions=True))

        run(server, body, connections=60, retry=RetryPolicy(attempts=1))
    assert len(outcomes) == 60
    assert b"x" in outcomes
    assert all(outcome == b"x" or isinstance(outcome, FTPError) for outcome in outcomes)
    assert server.connections > 16
