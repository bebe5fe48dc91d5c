"""Hostile files in the tree, hostile transfers, and what sessions may leave behind."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastxfer.server import LimitsConfig
from tests.server.dialogue import (
    ENGINE_DESCRIPTORS,
    Dialogue,
    Running,
    read_all,
    reset,
    wait_for,
)


@pytest.fixture
def special(root: Path) -> Iterator[list[str]]:
    """Names of a FIFO and a socket, and, for root, of a device."""
    os.mkfifo(root / "fifo")
    names = ["fifo", "socket"]
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.getcwd()
        os.chdir(root)
        try:
            sock.bind("socket")
        finally:
            os.chdir(here)
        with contextlib.suppress(PermissionError):
            os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
            names.append("null")
        yield names


def test_fifos_sockets_and_devices_are_refused_and_nobody_waits(
    client: Dialogue, server: Running, special: list[str]
) -> None:
    client.passive()
    for name in special:
        for command in ("RETR", "STOR", "APPE", "HASH", "SITE CPFR"):
            reply = client.say(f"{command} {name}")
            if reply.code == 350:
                reply = client.say("SITE CPTO copy")
            assert reply.code == 550, (command, name, reply)
    assert b"fifo" in client.fetch("LIST")
    with Dialogue(server.address) as other:
        other.login()


@pytest.mark.parametrize("argument", ["1" + "0" * 30, "-1", "1e3", "0x10", "", "1 2", "٣", "9" * 19])
def test_impossible_restart_points_are_refused(client: Dialogue, root: Path, argument: str) -> None:
    (root / "file").write_bytes(b"123")
    reply = client.say(f"REST {argument}")
    if reply.code == 350:
        client.passive()
        client.expect(554, "RETR file")
        client.expect(350, f"REST {argument}")
        client.expect(554, "STOR new")
    else:
        assert reply.code == 501
    assert sorted(os.listdir(root)) == ["file"], "no sparse giant was made"


def test_names_cannot_forge_lines_of_a_listing(client: Dialogue, root: Path) -> None:
    (root / "evil\r\n-rw-r--r-- 1 ftp ftp 0 Jan 1 2020 forged").write_text("")
    (root / "evil\ntype=file; forged").write_text("")
    (root / "esc\x1b[2J").write_text("")
    (root / " leading").write_text("")
    (root / "a -> b").write_text("")
    for command in ("LIST", "NLST", "MLSD"):
        listing = client.fetch(command)
        assert b"forged" not in listing
        assert b"\x1b" not in listing
        assert len(listing.splitlines()) == 2
    assert b" leading\r\n" in client.fetch("NLST")


def test_glob_bombs_are_bounded(serve: Callable[..., Running], root: Path) -> None:
    deep = root
    for level in range(12):
        for name in ("a", "b", "c"):
            (deep / f"{name}{level}").mkdir()
        deep = deep / f"a{level}"
    server = serve(limits=LimitsConfig(list_entries=500))
    with Dialogue(server.address) as client:
        client.login()
        for pattern in (
            "*/*/*/*/*/*/*",
            "*/../*/../*/../*/../*",
            "****************a",
            "*a*b*c*d*e*f*g*h*i*j",
            "[" * 500,
        ):
            with client.data() as data:
                reply = client.say(f"NLST {pattern}")
                if reply.code == 150:
                    assert len(read_all(data).splitlines()) <= 500
                    reply = client.read()
                assert reply.code in (226, 550, 553)


def test_deep_trees_do_not_exhaust_a_recursive_listing(serve: Callable[..., Running], root: Path) -> None:
    here = os.getcwd()
    os.chdir(root)
    try:
        for _ in range(200):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(here)
    server = serve(limits=LimitsConfig(list_depth=5))
    with Dialogue(server.address) as client:
        client.login()
        assert client.fetch("NLST -R").count(b":\r\n") == 6


def test_facts_tell_nothing_of_the_machine(client: Dialogue, root: Path) -> None:
    (root / "file").write_text("")
    text = client.fetch("LIST") + client.fetch("MLSD") + "".join(client.expect(250, "MLST file").lines).encode()
    assert b"root" not in text
    assert b"unique" not in text
    assert str(root).encode() not in text
    client.passive()
    for command in ("RETR nothing", "CWD nothing", "MKD a/b/c", "STOR x/y"):
        assert str(root) not in client.say(command)


def test_the_names_of_unfinished_uploads_are_out_of_reach(client: Dialogue, root: Path) -> None:
    data = client.data()
    client.expect(150, "STOR file")
    data.sendall(b"half")
    wait_for(lambda: any(entry.stat().st_size == 4 for entry in root.iterdir()))
    reset(data)
    assert client.read().code == 426
    (partial,) = os.listdir(root)
    client.passive()
    for command in ("RETR", "SIZE", "DELE", "RNFR", "STOR", "MLST"):
        client.expect(550, f"{command} {partial}")
    client.expect(550, "STOR other.fxpart")


def test_a_decompression_bomb_is_refused(client: Dialogue, root: Path) -> None:
    bomb = zlib.compressobj(9)
    packed = b"".join(bomb.compress(b"\0" * (1 << 20)) for _ in range(200)) + bomb.flush()
    nested = zlib.compress(packed, 9)
    client.expect(200, "MODE Z")
    reply = client.put("STOR bomb", packed)
    assert reply.code in (226, 552)
    assert client.put("STOR nested", nested).code in (226, 552)
    size = sum(entry.stat().st_size for entry in root.iterdir())
    assert size <= (200 << 20) + len(packed)
    client.expect(200, "NOOP")


def test_a_decompression_bomb_over_the_ratio_is_552(serve: Callable[..., Running], root: Path) -> None:
    server = serve(limits=LimitsConfig(inflate_ratio=50))
    with Dialogue(server.address) as client:
        client.login()
        client.expect(200, "MODE Z")
        assert client.put("STOR bomb", zlib.compress(b"\0" * (64 << 20), 9)).code == 552
    assert os.listdir(root) == []


def test_the_process_never_changes_its_account(client: Dialogue) -> None:
    before = os.getresuid(), os.getresgid()
    client.expect(257, "MKD dir")
    assert (os.getresuid(), os.getresgid()) == before


def test_sessions_leave_no_descriptor_and_no_task_behind(
    serve: Callable[..., Running], root: Path, descriptors: Callable[[], int]
) -> None:
    (root / "file").write_bytes(b"x" * 300_000)
    server = serve()

    def session(number: int) -> None:
        with Dialogue(server.address) as client:
            client.login()
            client.fetch("RETR file")
            client.put("STOR up", b"x" * 1000)
            client.fetch("LIST")
            client.passive()
            data = client.data()
            client.say("STOR broken" if number % 2 else "RETR file")
            reset(data)

    session(0)
    session(1)
    wait_for(lambda: server.server.sessions == 0)
    before = descriptors()
    for number in range(3 * ENGINE_DESCRIPTORS):
        session(number)
    wait_for(lambda: server.server.sessions == 0)
    wait_for(lambda: descriptors() <= before + ENGINE_DESCRIPTORS)


def test_memory_does_not_grow_with_the_number_of_sessions(tmp_path: Path) -> None:
    script = """
import asyncio, resource, sys, gc
from fastxfer.server import FtpServer, User

async def session(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    for line in (b"USER a", b"PASS b", b"CWD /", b"PWD", b"EPSV", b"MKD x", b"RMD x", b"QUIT"):
        writer.write(line + b"\\r\\n")
        await reader.readline()
    writer.close()
    await writer.wait_closed()

async def main():
    async with FtpServer(sys.argv[1], port=0, users=[(User(name="a"), "b")]) as server:
        for turn in range(2):
            for _ in range(300):
                await session(server.port)
            gc.collect()
            if turn == 0:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, timeout=100
    )
    assert int(done.stdout) < 1024, "more than 1 MiB for 300 sessions"


def test_a_reader_that_leaves_in_the_middle_is_no_error_of_the_server(
    client: Dialogue, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "file").write_bytes(b"x" * 20_000_000)
    data = client.data()
    client.expect(150, "RETR file")
    data.recv(1000)
    reset(data)
    assert client.read().code == 426
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    with client.data() as data:
        client.expect(150, "RETR file")
        assert len(read_all(data)) == 20_000_000
