"""Small uploads one after the other, which native code waits for: how they arrive, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.server import (
    TimeoutsConfig,
)
from tests.server.dialogue import DEADLINE, Dialogue, Running, reset, visible, wait_for
from tests.server.programs import program

CONTENT = b"content" * 500


def test_what_an_upload_is_followed_by_waits_for_its_end(client: Dialogue, root: Path) -> None:
    assert client.put("STOR one", CONTENT).code == client.put("STOR two", CONTENT).code == 226
    with client.data() as data:
        client.expect(150, "STOR three")
        client.send(b"SIZE three\r\nEPSV\r\n")
        data.sendall(CONTENT)
    assert [client.read().code for _ in range(3)] == [226, 213, 229]


@pytest.mark.parametrize("name", ["second", "third"])
def test_a_second_upload_of_the_same_name_is_refused_meanwhile(server: Running, root: Path, name: str) -> None:
    with Dialogue(server.address) as one, Dialogue(server.address) as other:
        one.login()
        other.login()
        for client in one, other:
            assert client.put("STOR first", CONTENT).code == 226
        with one.data() as data:
            one.expect(150, f"STOR {name}")
            with other.data():
                other.expect(450, f"STOR {name}")
            data.sendall(CONTENT)
        assert one.read().code == 226
        assert other.put(f"STOR {name}", b"later").code == 226
    assert (root / name).read_bytes() == b"later"


def test_a_broken_upload_can_be_resumed(client: Dialogue, root: Path) -> None:
    assert client.put("STOR first", CONTENT).code == 226
    with client.data() as data:
        client.expect(150, "STOR second")
        data.sendall(CONTENT)
        wait_for(lambda: any(entry.stat().st_size == len(CONTENT) for entry in root.glob(".*.fxpart")))
        reset(data)
    assert client.read().code == 426
    assert visible(root) == ["first"]
    client.expect(350, f"REST {len(CONTENT)}")
    assert client.put("STOR second", b"rest").code == 226
    assert (root / "second").read_bytes() == CONTENT + b"rest"


def test_what_came_before_a_connection_broke_can_be_resumed(client: Dialogue, root: Path) -> None:
    assert client.put("STOR first", CONTENT).code == 226
    data = client.data_after("STOR second")
    data.sendall(CONTENT)
    reset(data)
    assert client.read().code == 426
    assert visible(root) == ["first"]
    kept = int(client.expect(213, "SIZE second").split()[1])
    assert kept == len(CONTENT)
    client.expect(350, f"REST {kept}")
    assert client.put("STOR second", b"rest").code == 226
    assert (root / "second").read_bytes() == CONTENT + b"rest"
    assert len(os.listdir(root)) == 2


def test_an_upload_whose_directory_is_removed_meanwhile_fails_alone(server: Running, root: Path) -> None:
    (root / "a").mkdir()
    with Dialogue(server.address) as client, Dialogue(server.address) as other:
        client.login()
        other.login()
        assert client.put("STOR first", CONTENT).code == 226
        with client.data() as data:
            client.expect(150, "STOR a/file")
            if other.say("RMD a").code != 250:
                # The file has a name already: this system knows none without, or it took too long.
                (root / "a").rename(root / "b")
            with contextlib.suppress(OSError):
                data.sendall(CONTENT)
        assert client.read().code == (226 if (root / "b").exists() else 550)
        assert client.put("STOR second", CONTENT).code == 226
    assert (root / "second").read_bytes() == CONTENT


def test_the_end_of_a_native_upload_is_a_sign_of_life(client: Dialogue, server: Running) -> None:
    for name in "first", "second":
        assert client.put(f"STOR {name}", CONTENT).code == 226
    data = client.data_after("STOR third")

    async def forget() -> None:
        for control in server.server._runtime.controls:
            control.last = -1e9

    async def silence() -> list[float]:
        now = asyncio.get_running_loop().time()
        return [control.silent_for(now) for control in server.server._runtime.controls]

    server.do(forget())
    data.close()
    assert client.read().code == 226
    (silent,) = server.do(silence())
    assert silent < 1e6


def test_an_upload_is_aborted_and_the_session_goes_on(client: Dialogue, root: Path) -> None:
    assert client.put("STOR first", CONTENT).code == 226
    with client.data():
        client.expect(150, "STOR second")
        assert client.say("ABOR").code == 426
        assert client.read().code == 226
    assert visible(root) == ["first"]
    assert client.put("STOR second", CONTENT).code == 226
    assert client.fetch("RETR second") == client.fetch("RETR second") == CONTENT


def test_an_upload_that_stalls_is_ended(serve: Callable[..., Running], root: Path) -> None:
    running = serve(timeouts=TimeoutsConfig(data_stall=1.5, shutdown=1.0))
    with Dialogue(running.address) as client:
        client.login()
        assert client.put("STOR first", CONTENT).code == 226
        with client.data():
            client.expect(150, "STOR second")
            assert client.read().code == 426
    assert visible(root) == ["first"]


@pytest.mark.parametrize("size", [0, 1, 65536, 300_000, 5_000_000])
def test_an_upload_of_any_size_arrives_whole(client: Dialogue, root: Path, size: int) -> None:
    content = os.urandom(size)
    assert client.put("STOR first", CONTENT).code == 226
    for name in "second", "third":
        assert client.put(f"STOR {name}", content).code == 226
        assert (root / name).read_bytes() == content
    assert client.fetch("RETR third") == content


def test_an_upload_that_comes_in_crumbs_arrives_whole(client: Dialogue, root: Path) -> None:
    assert client.put("STOR first", CONTENT).code == 226
    with client.data() as data:
        client.expect(150, "STOR second")
        for number in range(50):
            data.sendall(b"%02d" % number)
            time.sleep(0.05)
    assert client.read().code == 226
    assert (root / "second").read_bytes() == b"".join(b"%02d" % number for number in range(50))
    assert client.fetch("RETR first") == CONTENT


def test_urgent_data_within_an_upload_cuts_nothing_off(client: Dialogue, root: Path) -> None:
    assert client.put("STOR first", CONTENT).code == 226
    for number in range(10):
        with client.data() as data:
            client.expect(150, f"STOR {number}")
            data.sendall(b"before")
            data.send(b"!", socket.MSG_OOB)
            data.sendall(b"behind")
        assert client.read().code == 226
        assert (root / str(number)).read_bytes() == b"beforebehind"


def test_status_tells_of_an_upload_under_way(client: Dialogue, root: Path) -> None:
    assert client.put("STOR first", CONTENT).code == 226
    with client.data() as data:
        client.expect(150, "STOR second")
        data.sendall(CONTENT)
        wait_for(lambda: any(entry.stat().st_size == len(CONTENT) for entry in root.glob(".*.fxpart")))
        assert client.say("STAT").code in (211, 213)
        data.sendall(CONTENT)
    assert client.read().code == 226
    assert (root / "second").read_bytes() == CONTENT * 2


def test_a_name_that_is_a_directory_by_the_end_is_refused(client: Dialogue, root: Path) -> None:
    assert client.put("STOR first", CONTENT).code == 226
    with client.data() as data:
        client.expect(150, "STOR second")
        data.sendall(CONTENT)
        (root / "second").mkdir()
    assert client.read().code == 550
    assert client.put("STOR third", CONTENT).code == 226


def test_a_server_that_stops_lets_an_upload_end(serve: Callable[..., Running], root: Path) -> None:
    running = serve(timeouts=TimeoutsConfig(shutdown=DEADLINE))
    with Dialogue(running.address) as client:
        client.login()
        assert client.put("STOR first", CONTENT).code == 226
        with client.data() as data:
            client.expect(150, "STOR second")
            stopping = threading.Thread(target=running.stop)
            stopping.start()
            time.sleep(0.2)
            data.sendall(CONTENT)
        assert client.read().code == 226
        stopping.join(DEADLINE)
    assert visible(root) == ["first", "second"]


UPLOADS = """
import sys
from pathlib import Path
from tests.server.dialogue import Dialogue, running

with running(Path(sys.argv[1])) as server, Dialogue(server.address) as client:
    client.login()
    for number in range(5):
        assert client.put(f"STOR {number}", b"%d" % number).code == 226
"""


@pytest.mark.foreign
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="strace is a Linux program")
def test_uploads_arrive_where_a_file_without_a_name_cannot_get_one(root: Path, tmp_path: Path) -> None:
    """So it is before Linux 6.10 where a changed root holds no /proc."""
    trace = [program("strace"), "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", "trace=linkat"]
    if subprocess.run([*trace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not look into processes here")
    command = [*trace, "-e", "inject=linkat:error=ENOENT", sys.executable, "-c", UPLOADS, str(root)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE * 5, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in root.iterdir()} == {f"{n}": b"%d" % n for n in range(5)}
