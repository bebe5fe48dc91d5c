"""What the settings of the FtpPy API do to a server: seen from a server that does as it is told."""

from __future__ import annotations

import asyncio
import threading
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fastxfer.ftp import TimedOutError
from fastxfer.ftppy import FtpClient, FtpPy, FtpPyWarning, Limits, Retry, Timeout
from tests.ftppy import readme
from tests.support.scripted_ftp import Control, ScriptedServer, end_data, scripted_server

T = TypeVar("T")
WAIT = 20.0


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


def use(server: ScriptedServer, task: Callable[[FtpClient], Awaitable[T]], **settings: Any) -> tuple[T, list[str]]:
    """What *task* gives, and the texts of the warnings."""

    async def main() -> T:
        async with FtpPy(server.url, **settings).client() as client:
            return await task(client)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = asyncio.run(main())
    return result, [str(item.message) for item in caught if item.category is FtpPyWarning]


def refusing(server: ScriptedServer, code: int, times: int) -> Callable[[Control, str], None]:
    """DELE that is refused with *code* so many times."""

    def dele(control: Control, argument: str) -> None:
        if server.count("DELE") <= times:
            control.reply(f"{code} not now")
        else:
            server.do_dele(control, argument)

    return dele


# Retry


@pytest.mark.parametrize("code", [450, 502])
def test_a_status_that_is_listed_is_tried_again(server: ScriptedServer, code: int) -> None:
    server.files["/a"] = b""
    server.handlers["DELE"] = refusing(server, code, 2)
    retry = Retry(total=5, backoff=0.01, status=[421, 450, 500, 502])
    assert use(server, lambda client: client.remove("/a"), retry=retry) == (True, [])
    assert server.count("DELE") == 3


@pytest.mark.parametrize("code", [451, 550, 544])
def test_a_status_that_is_not_listed_is_not_tried_again(server: ScriptedServer, code: int) -> None:
    server.files["/a"] = b""
    server.handlers["DELE"] = refusing(server, code, 2)
    retry = Retry(total=5, backoff=0.01, status=[421, 450, 500, 502])
    result, texts = use(server, lambda client: client.remove("/a"), retry=retry)
    assert (result, len(texts)) == (False, 1)
    assert f"{code} not now" in texts[0]
    assert server.count("DELE") == 1


def test_the_number_of_retries_is_kept(server: ScriptedServer) -> None:
    server.files["/a"] = b""
    server.handlers["DELE"] = refusing(server, 450, 100)
    retry = Retry(total=2, backoff=0.01, status=[450])
    result, texts = use(server, lambda client: client.remove("/a"), retry=retry)
    assert (result, len(texts)) == (False, 1)
    assert server.count("DELE") == 3


def test_pauses_double(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files["/a"] = b""
    server.handlers["DELE"] = refusing(server, 450, 3)
    slept: list[float] = []

    async def sleep(self: object, seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("fastxfer.ftp._asyncio.AsyncDriver.sleep", sleep)
    retry = Retry(total=3, backoff=2.0, status=[450])
    assert use(server, lambda client: client.remove("/a"), retry=retry) == (True, [])
    assert len(slept) == 3
    # Up to half of a pause is left out at random, so that clients do not come back all at once.
    for attempt, seconds in enumerate(slept):
        assert 2.0 * 2**attempt / 2 <= seconds <= 2.0 * 2**attempt


def test_a_transfer_that_broke_goes_on_where_it_stopped(server: ScriptedServer, tmp_path: Path) -> None:
    content = bytes(range(256)) * 2000
    server.files["/a"] = content
    starts: list[int] = []

    def retr(control: Control, argument: str) -> None:
        start, control.restart = control.restart, 0
        starts.append(start)
        control.reply("150 here it comes")
        data = control.data()
        if len(starts) == 1:
            data.sendall(content[:300_000])
            end_data(data)
            control.reply("426 broken")
            return
        data.sendall(content[start:])
        end_data(data)
        control.reply("226 done")

    server.handlers["RETR"] = retr
    retry = Retry(backoff=0.01)
    assert use(server, lambda client: client.download("/a", tmp_path / "a"), retry=retry) == (True, [])
    assert (tmp_path / "a").read_bytes() == content
    assert starts == [0, 300_000]


# Errors


def test_the_example_of_error_handling_when_things_go_wrong(
    server: ScriptedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sleep(self: object, seconds: float) -> None: ...

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fastxfer.ftp._asyncio.AsyncDriver.sleep", sleep)
    code = readme.ERRORS.replace("ftp://server.com", server.url)
    readme.run(code)
    assert capsys.readouterr().out.startswith("Unexpected error: there is no local file 'file.txt'")
    (tmp_path / "file.txt").write_text("file")
    server.handlers["STOR"] = lambda control, argument: control.reply("553 not allowed")
    _, warned = readme.run(code)
    assert capsys.readouterr().out == "Upload failed - check warnings for details\nFile not found or inaccessible\n"
    assert ["553 not allowed" in str(item.message) for item in warned] == [True, False]
    server.greet = lambda control: control.reply("530 go away")
    readme.run(code)
    assert capsys.readouterr().out.startswith("Connection failed: Failed to connect to FTP server: 530 go away")


# Timeouts


def test_a_reply_that_does_not_come_ends_at_the_time_for_reading(server: ScriptedServer) -> None:
    server.handlers["DELE"] = lambda control, argument: None
    result, texts = use(
        server, lambda client: client.remove("/a"), timeout=Timeout(connect=WAIT, read=0.2), retry=Retry(total=0)
    )
    assert (result, len(texts)) == (False, 1)
    assert "within 0.2 s" in texts[0]


def test_data_that_do_not_come_end_at_the_time_for_reading(server: ScriptedServer, tmp_path: Path) -> None:
    released = threading.Event()

    def retr(control: Control, argument: str) -> None:
        control.reply("150 here it comes")
        with control.data() as data:
            data.sendall(b"some")
            released.wait(WAIT)

    server.files["/a"] = b"some of it and more"
    server.handlers["RETR"] = retr
    try:
        result, texts = use(
            server,
            lambda client: client.download("/a", tmp_path / "a"),
            timeout=Timeout(connect=WAIT, read=0.3, write=WAIT),
            retry=Retry(total=0),
        )
    finally:
        released.set()
    assert (result, len(texts)) == (False, 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "chunks"])
def test_data_that_are_not_taken_end_at_the_time_for_writing(server: ScriptedServer, tmp_path: Path, kind: str) -> None:
    released = threading.Event()

    def stor(control: Control, argument: str) -> None:
        control.reply("150 send it")
        with control.data():
            released.wait(WAIT)

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1 << 20)

    async def task(client: FtpClient) -> bool:
        if kind == "file":
            return await client.upload(tmp_path / "big", "/big")
        assert client.connection is not None
        with pytest.raises(TimedOutError):
            await client.connection.upload(pieces(), "/big")
        return False

    with open(tmp_path / "big", "wb") as file:
        file.truncate(1 << 30)
    server.handlers["STOR"] = stor
    timeout = Timeout(connect=WAIT, read=WAIT, write=0.3)
    try:
        result, texts = use(server, task, timeout=timeout, retry=Retry(total=0))
    finally:
        released.set()
    assert result is False
    assert len(texts) == (kind == "file")


def test_the_total_time_ends_a_transfer_that_moves(server: ScriptedServer, tmp_path: Path) -> None:
    def retr(control: Control, argument: str) -> None:
        control.reply("150 here it comes")
        with control.data() as data:
            # The client closes in the end.
            while True:
                data.sendall(b"x")
                time.sleep(0.01)

    server.files["/a"] = bytes(1 << 30)
    server.handlers["RETR"] = retr
    timeout = Timeout(connect=WAIT, read=WAIT, write=WAIT, pool=0.5)
    result, texts = use(server, lambda client: client.download("/a", tmp_path / "a"), timeout=timeout)
    assert (result, len(texts)) == (False, 1)
    assert "0.5 seconds" in texts[0]
    assert list(tmp_path.iterdir()) == []


# Limits


class Crowd:
    """STOR that goes on only when as many are under way as are expected together, and *released* is set."""

    def __init__(self, server: ScriptedServer, together: int) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._all_here = threading.Event()
        self._together = together
        self._under_way = self.most = 0
        self.released = threading.Event()

    def __call__(self, control: Control, argument: str) -> None:
        with self._lock:
            self._under_way += 1
            self.most = max(self.most, self._under_way)
            if self._under_way == self._together:
                self._all_here.set()
        self._all_here.wait(WAIT)
        self.released.wait(WAIT)
        # Before the client knows that it is done, so that the next one is not counted too many.
        with self._lock:
            self._under_way -= 1
        self._server.do_stor(control, argument)


@pytest.mark.parametrize(
    ("limit", "limits", "together"),
    [(3, Limits(), 3), (5, Limits(connections=2), 2), (5, Limits(host=2), 2), (1, Limits(), 1)],
    ids=["limit", "connections", "host", "one"],
)
def test_as_many_transfers_run_at_a_time_as_are_allowed(
    server: ScriptedServer, tmp_path: Path, limit: int, limits: Limits, together: int
) -> None:
    pairs = []
    for number in range(8):
        (tmp_path / f"{number}").write_bytes(bytes(100_000 + number))
        pairs.append((str(tmp_path / f"{number}"), f"/{number}"))
    crowd = server.handlers["STOR"] = Crowd(server, together)

    async def task(client: FtpClient) -> tuple[dict[str, bool], int]:
        batch = asyncio.ensure_future(client.batch(pairs, limit=limit))
        active = 0
        while not batch.done():
            active = max(active, (await client.stats())["active"])
            if active >= together:
                crowd.released.set()
            await asyncio.sleep(0.001)
        assert (await client.stats())["active"] == 0
        return await batch, active

    (results, active), texts = use(server, task, limits=limits)
    assert (results, texts) == ({local: True for local, _ in pairs}, [])
    assert crowd.most == active == together
    assert server.connections == together


def test_no_more_connections_rest_than_are_to_be_kept(server: ScriptedServer, tmp_path: Path) -> None:
    pairs = []
    for number in range(6):
        (tmp_path / f"{number}").write_bytes(bytes(number))
        pairs.append((str(tmp_path / f"{number}"), f"/{number}"))
    crowd = server.handlers["STOR"] = Crowd(server, 3)
    crowd.released.set()

    async def task(client: FtpClient) -> int:
        assert all((await client.batch(pairs, limit=3)).values())
        return int((await client.stats())["pool"])

    assert use(server, task, limits=Limits(keepalive=2))[0] == 2
    assert server.connections == 3


# The rest


def test_names_are_sent_in_the_encoding_that_is_given(server: ScriptedServer) -> None:
    server.files["/\udce9t\udce9"] = b"content"

    async def task(client: FtpClient) -> tuple[bool, list[str], int | None]:
        names = [entry["name"] for entry in await client.list("/")]
        return await client.exists("/été"), names, await client.size("/été")

    assert use(server, task, encoding="latin-1")[0] == (True, ["été"], 7)
    assert any(line.endswith(" /\udce9t\udce9") for line in server.commands)


def test_a_download_needs_no_listing(server: ScriptedServer, tmp_path: Path) -> None:
    server.files["/a"] = b"content"
    assert use(server, lambda client: client.download("/a", tmp_path / "a")) == (True, [])
    assert not {"LIST", "MLSD", "MLST", "NLST", "STAT"} & {line.partition(" ")[0] for line in server.commands}


def test_a_mirror_that_can_not_send_what_is_new_removes_nothing(server: ScriptedServer, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("index")
    server.directories.add("/site")
    server.files["/site/precious"] = b"precious"
    server.handlers["MLSD"] = lambda control, argument: control.reply("451 the disk is broken")
    result, texts = use(server, lambda client: client.mirror(site, "/site"), retry=Retry(total=0))
    assert not any(result.values())
    assert texts
    assert server.files["/site/precious"] == b"precious"
    assert server.count("DELE") == server.count("RMD") == 0


def test_after_the_context_nothing_is_open(server: ScriptedServer) -> None:
    async def main() -> None:
        client = FtpPy(server.url).client()
        async with client:
            assert (await client.stats())["pool"] == 1
        stats = await client.stats()
        assert (stats["connected"], stats["pool"], stats["active"], client.pool) == (False, 0, 0, [])

    asyncio.run(main())
    end = time.monotonic() + WAIT
    while server.count("QUIT") == 0 and time.monotonic() < end:
        time.sleep(0.01)
    assert server.count("QUIT") == 1
