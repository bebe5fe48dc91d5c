"""Several workers keep one set of books: what limits one limits all."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastxfer.server import LimitsConfig
from fastxfer.server.guard import Guard, SharedGuard
from fastxfer.server.quota import SharedLedger
from fastxfer.server.sharedbooks import QUOTA_BUCKETS, SharedBooks, WorkerBooks
from tests.server.dialogue import DEADLINE, PASSWORD, USER, Dialogue, wait_for
from tests.server.serving import serving

ENOUGH = 16
"""Connections after which all workers have been met, but for one time in thirty thousand."""


@pytest.fixture
def books() -> Iterator[SharedBooks]:
    shared = SharedBooks(2)
    yield shared
    shared.close()


@pytest.fixture(params=["alone", "shared"])
def guards(request: pytest.FixtureRequest, books: SharedBooks) -> tuple[Guard, Guard]:
    """Two names of one guard, or the guards of two workers: no rule may tell them apart."""
    limits = LimitsConfig(
        sessions=5, sessions_per_ip=3, sessions_per_user=2, ban_after=3, ban_time=1000.0, login_delay=0.5
    )
    if request.param == "alone":
        guard = Guard(limits)
        return guard, guard
    return SharedGuard(limits, WorkerBooks(books, 0)), SharedGuard(limits, WorkerBooks(books, 1))


def test_sessions_are_limited_together(guards: tuple[Guard, Guard]) -> None:
    one, other = guards
    assert [one.enter("192.0.2.1"), other.enter("192.0.2.1"), one.enter("192.0.2.1")] == ["", "", ""]
    assert other.enter("192.0.2.1") == "too many connections from this address"
    assert [other.enter("192.0.2.2"), other.enter("192.0.2.3")] == ["", ""]
    assert one.enter("192.0.2.4") == "too many connections"
    assert one.connections == other.connections == 5
    one.leave("192.0.2.1")
    assert other.enter("192.0.2.1") == ""
    other.leave("192.0.2.2")
    assert one.enter("192.0.2.1") == "too many connections from this address"
    assert one.connections == 4


def test_sessions_of_a_user_are_limited_together(guards: tuple[Guard, Guard]) -> None:
    one, other = guards
    assert one.enter_user("alice")
    assert other.enter_user("alice")
    assert not one.enter_user("alice")
    assert one.enter_user("alice", limit=3)
    assert other.enter_user("ünïcödé")
    other.leave_user("alice")
    one.leave_user("alice")
    assert other.enter_user("alice")


def test_failures_are_counted_and_bans_hold_together(guards: tuple[Guard, Guard]) -> None:
    one, other = guards
    assert [one.failed("192.0.2.1"), other.failed("192.0.2.1")] == [0.5, 1.0]
    other.succeeded("192.0.2.1")
    assert [one.failed("192.0.2.1"), other.failed("192.0.2.1")] == [0.5, 1.0]
    assert not one.banned("192.0.2.1")
    assert one.failed("192.0.2.1") == 2.0
    assert one.banned("192.0.2.1")
    assert other.banned("192.0.2.1")
    assert other.enter("192.0.2.1") == "banned"
    other.succeeded("192.0.2.1")
    assert one.banned("192.0.2.1"), "a ban is not lifted by a success"
    assert not other.banned("192.0.2.2")


def test_the_sessions_of_a_dead_worker_are_struck_out(books: SharedBooks) -> None:
    limits = LimitsConfig(sessions=4, sessions_per_ip=4)
    dead, living = SharedGuard(limits, WorkerBooks(books, 0)), SharedGuard(limits, WorkerBooks(books, 1))
    for _ in range(3):
        assert dead.enter("192.0.2.1") == ""
    assert living.enter("192.0.2.1") == ""
    assert living.enter("192.0.2.1") != ""
    books.strike_out(0)
    assert living.connections == 1
    assert [living.enter("192.0.2.1") for _ in range(3)] == ["", "", ""]
    assert living.enter("192.0.2.1") != ""


CROWD = """
import os, sys, time
from fastxfer.server import LimitsConfig
from fastxfer.server.guard import SharedGuard
from fastxfer.server.sharedbooks import SharedBooks, WorkerBooks

LIMIT, WORKERS = 500, 4
books = SharedBooks(WORKERS)
children = []
for number in range(WORKERS):
    child = os.fork()
    if child:
        children.append(child)
        continue
    guard = SharedGuard(LimitsConfig(sessions=LIMIT, sessions_per_user=LIMIT), WorkerBooks(books, number))
    refused = 0
    while refused < 20:
        # Two that another tried to count at the same moment may both be refused; so each tries again.
        if not guard.enter("192.0.2.1"):
            assert guard.enter_user("alice")
            guard.enter_user(f"{number}", 0)
            refused = 0
        else:
            refused += 1
            time.sleep(0.002)
    os._exit(0)
assert all(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 for child in children)
guard = SharedGuard(LimitsConfig(), WorkerBooks(books, 0))
print(guard.connections, books.sessions.total("=alice"), sum(books.sessions.total(f"={n}") for n in range(WORKERS)))
for number in range(WORKERS):
    books.strike_out(number)
print(guard.connections, books.sessions.total("=alice"))
"""


def said_by(program: str) -> list[str]:
    """The lines that *program*, which forks, prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()


def test_workers_that_count_at_the_same_time_neither_pass_a_limit_nor_miss_anybody() -> None:
    assert said_by(CROWD) == ["500 500 500", "0 0"]


CHANGES = """
import os
from fastxfer.server.sharedbooks import SharedBooks

books = SharedBooks(2)
told, tell = os.pipe()
stay, leave = os.pipe()
child = os.fork()
if not child:
    os.write(tell, bytes([books.begin_change()]))
    os.read(stay, 1)
    os._exit(0)
print(os.read(told, 1) == b"\\1", books.begin_change())
with books.locked():
    print(books.begin_change())
os.write(leave, b"x")
os.waitpid(child, 0)
with books.locked():
    print(books.begin_change())
books.end_change()
print(books.begin_change())
"""


def test_one_worker_at_a_time_makes_changes_and_a_dead_one_does_not_keep_the_others_out() -> None:
    assert said_by(CHANGES) == ["True False", "False", "True", "True"]


FLICKER = """
import os, time
from fastxfer.server.sharedbooks import SharedBooks

books = SharedBooks(2)
for _ in range(100):
    assert books.connections.enter(0, 0) and books.sessions.add("=alice", 0, 0)
books.failures.remember_until(1e9)
books.failures.put("192.0.2.1", 5, 1.0, 2.0)
tree = books.quotas.claim("/")
books.quotas.write(tree, 5, 6, 7.0)
end = time.monotonic() + 0.5
child = os.fork()
if not child:
    later = 1e9
    while time.monotonic() < end:
        books.connections.enter(0, 0)
        books.sessions.add("=alice", 0, 0)
        books.connections.leave(0)
        books.sessions.remove("=alice", 0)
        later += 1
        books.failures.remember_until(later)
        books.failures.put("192.0.2.1", 5, 1.0, 2.0)
        books.quotas.write(tree, 5, 6, 7.0)
    os._exit(0)
least, sessions, forgotten, other = 100, 100, 0, 0
while time.monotonic() < end:
    least = min(least, books.connections.counts()[0])
    sessions = min(sessions, books.sessions.total("=alice"))
    forgotten += books.failures.all_forgotten(5e8)
    other += books.failures.get("192.0.2.1") != (5, 1.0, 2.0) or books.quotas.read(tree) != (5, 6, 7.0)
os.waitpid(child, 0)
books.close()
print(least, sessions, forgotten, other)
"""


def test_nobody_ever_sees_less_than_was_counted() -> None:
    assert said_by(FLICKER) == ["100 100 0 0"]


def test_failures_are_looked_up_only_while_some_count(books: SharedBooks, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    one, other = (SharedGuard(LimitsConfig(ban_after=2, ban_time=10.0), WorkerBooks(books, n)) for n in range(2))
    for guard in (one, other):
        monkeypatch.setattr(guard, "_clock", lambda: now)
    assert not one.remembers("192.0.2.1")
    one.failed("192.0.2.1")
    assert other.remembers("192.0.2.1")
    assert not other.remembers("192.0.2.2")
    now += 5.0
    other.failed("192.0.2.2")
    other.failed("192.0.2.2")
    now += 9.0
    assert one.enter("192.0.2.2") == "banned"
    assert one.remembers("192.0.2.2")
    now += 2.0
    assert one.enter("192.0.2.2") == ""
    assert not one.remembers("192.0.2.2")


def test_a_storm_of_addresses_neither_fails_nor_lifts_a_ban(books: SharedBooks) -> None:
    guard = SharedGuard(LimitsConfig(ban_after=2, ban_time=1e6, login_delay=0.0), WorkerBooks(books, 1))
    for _ in range(2):
        guard.failed("192.0.2.1")
    for number in range(40_000):
        guard.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert guard.banned("192.0.2.1")
    assert guard.failed("10.0.0.1") == 0.0


def test_sessions_that_do_not_fit_into_the_books_are_refused_only_where_they_are_limited(books: SharedBooks) -> None:
    refused = [number for number in range(60_000) if not books.sessions.add(f"={number}", 0, 1)]
    assert 0 < len(refused) < 60_000
    assert books.sessions.add(f"={refused[0]}", 0, 0)
    assert books.sessions.total(f"={refused[0]}") == 0
    books.sessions.remove(f"={refused[0]}", 0)


def test_a_ledger_is_shared_until_the_books_are_full(books: SharedBooks) -> None:
    one, other = SharedLedger(books, "alice /"), SharedLedger(books, "alice /")
    assert one.read() == (0, 0, float("-inf"))
    one.write(100, 2, 5.0)
    other.add(-30, 1)
    assert one.read() == (70, 3, 5.0)
    other.add(-1000, -1000)
    assert one.read() == (0, 0, 5.0)
    ledgers = [SharedLedger(books, f"user{number} /") for number in range(QUOTA_BUCKETS * 12)]
    for number, ledger in enumerate(ledgers):
        ledger.write(number, number, 1.0)
        ledger.add(1, 1)
    assert [ledger.read() for ledger in ledgers] == [(n + 1, n + 1, 1.0) for n in range(len(ledgers))]
    assert one.read() == (0, 0, 5.0)


@contextlib.contextmanager
def workers(root: Path, tmp_path: Path, *flags: str) -> Iterator[tuple[int, tuple[str, int]]]:
    """Two workers: the process of their parent, and their address."""
    (tmp_path / "password").write_text(PASSWORD)
    login = ("--user", USER, "--password-file", str(tmp_path / "password"))
    with serving(str(root), "--port", "0", "--workers", "2", *login, *flags) as (process, line):
        address = ("127.0.0.1", int(line.rstrip("/").rpartition(":")[2]))
        # The first worker has said so; the other may still be starting.
        wait_for(lambda: len(list(children(process.pid))) == 2)
        yield process.pid, address


def children(parent: int) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((path / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                yield int(path.name)


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="workers are found in /proc")


STOPPED_AT_FORK = """
import os, signal, sys, time
from fastxfer.server import FtpServer, ServerConfig
from fastxfer.server.process import run_workers

fork = os.fork

def fork_and_be_told():
    child = fork()
    if child:
        # Before the parent has had the time to note whom it would have to tell.
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        # What the parent passes on comes before the worker has done anything about signals.
        end = time.monotonic() + 5
        while signal.SIGTERM not in signal.sigpending() and time.monotonic() < end:
            time.sleep(0.01)
    return child

os.fork = fork_and_be_told
config = ServerConfig(root=sys.argv[1], port=0, anonymous=True, workers=2)
run_workers(config, lambda config: FtpServer(config=config), lambda server: None)
"""


def test_being_told_to_stop_while_a_worker_is_forked_leaves_none_behind(root: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED_AT_FORK, str(root)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        start_new_session=True,
    ) as parent:
        try:
            # It ends when all its workers have.
            _, errors = parent.communicate(timeout=2 * DEADLINE)
        except subprocess.TimeoutExpired:
            os.killpg(parent.pid, signal.SIGKILL)
            raise
    assert parent.returncode == 0, errors


@needs_proc
def test_workers_do_not_outlive_their_parent(root: Path, tmp_path: Path) -> None:
    with workers(root, tmp_path) as (parent, address):
        wait_for(lambda: len(listening(address[1])) == 2)
        with Dialogue(address) as client:
            client.login()
            os.kill(parent, signal.SIGKILL)
            assert client.read().code == 421
        wait_for(lambda: not listening(address[1]))


@needs_proc
def test_sessions_are_spread_evenly(root: Path, tmp_path: Path) -> None:
    with workers(root, tmp_path) as (parent, address), contextlib.ExitStack() as stack:
        # Both must be there, or one serves whoever comes before the other does.
        wait_for(lambda: len(listening(address[1])) == 2)
        for _ in range(10):
            stack.enter_context(Dialogue(address)).login()
        wait_for(lambda: sorted(connections(child, address[1]) for child in children(parent)) == [5, 5])


def sockets(state: str, port: int) -> set[str]:
    """Links of /proc/PID/fd that are sockets of this *state* at the local *port*."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[3] == state and int(row[1].rpartition(":")[2], 16) == port}


def listening(port: int) -> set[str]:
    return sockets("0A", port)


def connections(process: int, port: int) -> int:
    """How many established connections to *port* the process has open."""
    links = set()
    for path in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(OSError):
            links.add(os.readlink(path))
    return len(links & sockets("01", port))


@needs_proc
def test_a_ban_holds_at_every_worker(root: Path, tmp_path: Path) -> None:
    flags = ("--limits-ban-after", "3", "--limits-login-delay", "0", "--limits-login-attempts", "1")
    with workers(root, tmp_path, *flags) as (_, address):
        for _ in range(3):
            with Dialogue(address) as client:
                client.say("USER alice")
                assert client.say("PASS wrong").code == 530
        for _ in range(ENOUGH):
            with Dialogue(address, greet=False) as client:
                assert client.read().code == 421


@needs_proc
def test_the_limit_of_sessions_is_that_of_all_and_a_dead_worker_frees_its_own(root: Path, tmp_path: Path) -> None:
    def welcome(stack: contextlib.ExitStack, address: tuple[str, int]) -> bool:
        client = stack.enter_context(Dialogue(address, greet=False))
        with contextlib.suppress(EOFError, OSError):
            return client.read().code == 220
        return False

    with workers(root, tmp_path, "--limits-sessions", "6") as (parent, address), contextlib.ExitStack() as stack:
        wait_for(lambda: welcome(stack, address))
        assert [welcome(stack, address) for _ in range(5)] == [True] * 5
        assert [welcome(stack, address) for _ in range(ENOUGH)] == [False] * ENOUGH
        before = set(children(parent))
        for child in before:
            os.kill(child, signal.SIGKILL)
        wait_for(lambda: len(set(children(parent)) - before) == 2)
        wait_for(lambda: welcome(stack, address))
        assert [welcome(stack, address) for _ in range(5)] == [True] * 5
        assert not welcome(stack, address)


@needs_proc
def test_a_quota_is_that_of_all_workers(root: Path, tmp_path: Path) -> None:
    argon2 = pytest.importorskip("argon2", reason="users files need argon2")
    hashed = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    usersfile = tmp_path / "users"
    usersfile.write_text(f"bob:{hashed}:quota-bytes=10000\n")
    with workers(root, tmp_path, "--users-file", str(usersfile)) as (_, address):
        codes = []
        for number in range(ENOUGH):
            with Dialogue(address) as client:
                client.login("bob")
                codes.append(store(client, number))
    assert codes[:10] == [226] * 10
    assert set(codes[10:]) == {552}
    assert sum(path.stat().st_size for path in root.iterdir()) == 10_000


@needs_proc
def test_two_uploads_of_one_name_at_two_workers_do_not_mix(root: Path, tmp_path: Path) -> None:
    with workers(root, tmp_path) as (_, address), contextlib.ExitStack() as stack:
        wait_for(lambda: len(listening(address[1])) == 2)
        one, other = (stack.enter_context(Dialogue(address)) for _ in range(2))
        for client in one, other:
            client.login()
            # From the second one on, small files are carried out natively.
            assert store(client, 1) == 226
        with one.data() as data:
            one.expect(150, "STOR file")
            with other.data():
                other.expect(450, "STOR file")
            data.sendall(b"first")
        assert one.read().code == 226
        assert other.put("STOR file", b"second").code == 226
    assert (root / "file").read_bytes() == b"second"


def store(client: Dialogue, number: int) -> int:
    """The last reply to an upload of 1000 bytes, which may be refused before it begins."""
    with client.data() as data:
        opening = client.say(f"STOR file{number}")
        if opening.code != 150:
            return opening.code
        with contextlib.suppress(OSError):
            data.sendall(b"x" * 1000)
    return client.read().code


@needs_proc
def test_where_the_system_chooses_the_ports_all_workers_have_the_same(root: Path) -> None:
    flags = ("--anonymous", "--port", "0", "--web", "--web-port", "0", "--workers", "2")
    with serving(str(root), *flags) as (process, line):
        assert process.stderr is not None
        lines = (line, process.stderr.readline().strip())
        ports = [int(line.rstrip("/").rpartition(":")[2]) for line in lines]
        wait_for(lambda: [len(listening(port)) for port in ports] == [2, 2])


def test_any_worker_tells_what_all_have_counted(books: SharedBooks, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("prometheus_client", reason="needs the extra `metrics`")
    from fastxfer.server import metrics

    monkeypatch.setattr(metrics, "PUBLISH_AFTER", 0.0)

    def worker(number: int) -> metrics.Metrics:
        made = metrics.Metrics()
        made.share(books.reports, number)
        return made

    def told(by: metrics.Metrics) -> dict[str, float]:
        lines = [line.rpartition(" ") for line in by.text().decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines if "_created" not in name}

    one, other = worker(0), worker(1)
    for each in one, other:
        each.sessions.inc()
        each.opened.inc()
        each.transfers("ftp", "upload", ok=True).enter(5, 1.0)
    other.count_login("ftp", "failed")
    for each in one, other:
        each.publish()
    assert told(one) == told(other)
    assert told(one)["fastxfer_sessions"] == told(one)["fastxfer_sessions_opened_total"] == 2
    assert told(one)['fastxfer_bytes_total{direction="upload",protocol="ftp"}'] == 10
    assert told(one)['fastxfer_logins_total{protocol="ftp",result="failed"}'] == 1
    assert told(one)['fastxfer_transfer_seconds_bucket{direction="upload",le="2.0"}'] == 2
    other = worker(1)
    assert told(one)["fastxfer_sessions"] == 1, "those of the worker that died have ended"
    other.opened.inc()
    other.publish()
    assert told(one) == told(other)
    assert told(one)["fastxfer_sessions_opened_total"] == 3
    assert told(one)['fastxfer_bytes_total{direction="upload",protocol="ftp"}'] == 10


@needs_proc
def test_metrics_are_those_of_all_workers(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="needs the extra `metrics`")

    def opened() -> float:
        connection = http.client.HTTPConnection("127.0.0.1", web, timeout=DEADLINE)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        return next(
            float(line.split()[1]) for line in text.splitlines() if line.startswith("fastxfer_sessions_opened_total")
        )

    with socket.create_server(("127.0.0.1", 0)) as free:
        web = free.getsockname()[1]
    flags = ("--web", "--web-port", str(web), "--web-metrics-open", "--metrics")
    with workers(root, tmp_path, *flags) as (_, address):
        wait_for(lambda: len(listening(address[1])) == len(listening(web)) == 2)
        for _ in range(ENOUGH):
            with Dialogue(address) as client:
                client.login()
        wait_for(lambda: all(opened() == ENOUGH for _ in range(ENOUGH)))
