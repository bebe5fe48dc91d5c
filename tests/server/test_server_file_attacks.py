"""Hostile names, links and files in the tree, and hostile transfers."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastxfer.server import LimitsConfig, LocalFilesystem, Permissions, User, Writer, beneath
from tests.server.dialogue import (
    DEADLINE,
    ENGINE_DESCRIPTORS,
    PASSWORD,
    USER,
    Dialogue,
    Running,
    read_all,
    reset,
    wait_for,
)

SECRET = b"nobody may see this"


@pytest.fixture
def outside(root: Path) -> Path:
    """Files beside the root, one of them in a directory whose name begins like the root's."""
    for directory in (root.parent, root.parent / (root.name + "-evil")):
        directory.mkdir(exist_ok=True)
        (directory / "secret").write_bytes(SECRET)
    return root.parent


@pytest.fixture(params=["openat2", "walk"])
def resolution(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of opening files below the root."""
    if request.param == "walk":
        monkeypatch.setattr(beneath, "_syscall", None)
    elif beneath._syscall is None:
        pytest.skip("this system has no openat2")
    name: str = request.param
    return name


TRAVERSALS = [
    "../secret",
    "/../secret",
    "/../../../../secret",
    "dir/../../secret",
    "./../secret",
    "//../secret",
    "/./.././secret",
    "../root-evil/secret",
    "/../root-evil/secret",
]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_traversal_stays_inside(client: Dialogue, outside: Path, root: Path, path: str) -> None:
    (root / "dir").mkdir()
    client.passive()
    for command in ("RETR", "SIZE", "MDTM", "DELE", "RNFR", "HASH", "SITE CPFR", "MLST"):
        client.expect(550, f"{command} {path}")
    assert (outside / "secret").read_bytes() == SECRET


@pytest.mark.parametrize("path", ["..\\secret", "%2e%2e/secret", "..%2fsecret", "....//secret", ". ./secret"])
def test_other_spellings_of_the_parent_are_just_names(client: Dialogue, outside: Path, path: str) -> None:
    client.passive()
    client.expect(550, f"RETR {path}")


def test_writing_commands_cannot_leave_the_root(client: Dialogue, outside: Path, root: Path) -> None:
    (root / "file").write_text("x")
    assert client.put("STOR ../up", b"x").code == 226
    client.expect(257, "MKD ../../made")
    client.expect(350, "RNFR file")
    client.expect(250, "RNTO ../moved")
    assert sorted(entry.name for entry in root.iterdir()) == ["made", "moved", "up"]
    assert not (outside / "up").exists()
    assert not (outside / "made").exists()


def test_very_long_paths_are_refused(client: Dialogue) -> None:
    client.passive()
    assert client.say("RETR " + "a/" * 1900).code in (550, 553)
    assert client.say("MKD " + "d" * 256).code == 553
    assert client.say("CWD " + "../" * 1300).code == 250


def test_the_root_itself_cannot_be_changed(client: Dialogue, root: Path) -> None:
    for command in ("RMD /", "DELE /", "RNFR .", "RMD ..", "SITE CHMOD 777 /", "MKD /."):
        if client.say(command).code == 350:
            client.expect(550, "RNTO elsewhere")
    (root / "dir").mkdir()
    client.expect(350, "RNFR dir")
    client.expect(550, "RNTO /")
    assert root.is_dir()


def test_links_that_lead_out_are_refused(client: Dialogue, outside: Path, root: Path, resolution: str) -> None:
    (root / "absolute").symlink_to(outside / "secret")
    (root / "relative").symlink_to("../secret")
    (root / "up").symlink_to("..")
    (root / "passwd").symlink_to("/etc/passwd")
    (root / "magic").symlink_to("/proc/self/root/etc/passwd")
    (root / "chain").symlink_to("relative")
    client.passive()
    for path in ("absolute", "relative", "up/secret", "passwd", "magic", "chain"):
        for command in ("RETR", "SIZE", "HASH", "APPE", "SITE CHMOD 777"):
            client.expect(550, f"{command} {path}")
        client.expect(550, f"STOR {path}")
    client.expect(550, "CWD up")
    client.expect(550, "LIST up/")
    client.expect(550, "MKD up/made")
    client.expect(550, "STOR up/made")
    assert (outside / "secret").read_bytes() == SECRET
    assert not (outside / "made").exists()
    client.expect(250, "DELE absolute")
    assert (outside / "secret").exists(), "only the link went"


def test_links_that_stay_inside_work(client: Dialogue, root: Path, resolution: str) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_bytes(b"content")
    (root / "short").symlink_to("a/b")
    (root / "a" / "up").symlink_to("../short/file")
    assert client.fetch("RETR short/file") == b"content"
    assert client.fetch("RETR a/up") == b"content"
    client.expect(250, "CWD short")
    client.expect(250, "CDUP")
    assert '"/"' in client.expect(257, "PWD"), ".. after a link leads back the way one came"


def test_link_loops_end(client: Dialogue, root: Path, resolution: str) -> None:
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    (root / "self").symlink_to(".")
    client.passive()
    client.expect(550, "RETR one")
    client.expect(250, "CWD " + "self/" * 20)
    client.expect(550, "SIZE " + "self/" * 60 + "one")
    assert len(client.fetch("LIST -R")) < 10_000


def test_swapping_a_directory_for_a_link_wins_no_race(
    server: Running, outside: Path, root: Path, resolution: str
) -> None:
    (root / "real").mkdir()
    (root / "real" / "secret").write_bytes(b"harmless")
    (root / "link").symlink_to(outside)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for source in ("real", "link"):
                os.rename(root / source, root / "d")
                os.rename(root / "d", root / source)

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen = set()
    try:
        with Dialogue(server.address) as client:
            client.login()
            for _ in range(400):
                reply = client.say("XCRC d/secret")
                seen.add(str(reply))
    finally:
        stop.set()
        swapper.join(DEADLINE)
    assert f"250 {zlib.crc32(SECRET):08X}" not in seen


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


def test_a_directory_without_permission_is_an_error_and_not_the_end(serve: Callable[..., Running], root: Path) -> None:
    (root / "locked").mkdir()
    server = serve(users=[(User(name=USER, permissions=Permissions("all", {"/locked": "none"})), PASSWORD)])
    with Dialogue(server.address) as client:
        client.login()
        for command in ("CWD locked", "MLST locked/x", "SIZE locked/x", "DELE locked/x", "RMD locked", "RNFR locked"):
            client.expect(550, command)
        client.passive()
        client.expect(550, "LIST locked")
        client.expect(550, "STOR locked/x")
        client.expect(200, "NOOP")


def test_moving_a_directory_does_not_free_what_is_locked_inside(serve: Callable[..., Running], root: Path) -> None:
    (root / "open" / "locked").mkdir(parents=True)
    (root / "open" / "locked" / "file").write_text("x")
    permissions = Permissions("all", {"/open/locked": "list"})
    server = serve(users=[(User(name=USER, permissions=permissions), PASSWORD)])
    with Dialogue(server.address) as client:
        client.login()
        assert client.say("RNFR open").code == 550 or client.say("RNTO elsewhere").code == 550
    assert (root / "open" / "locked" / "file").exists()


def test_moving_to_another_filesystem_is_refused_and_loses_nothing(
    client: Dialogue, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "file").write_bytes(b"here")
    (root / "mounted").mkdir()
    (root / "mounted" / "old").write_bytes(b"there")

    def other_device(*arguments: object, **options: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "rename", other_device)
    for target in ("mounted/new", "mounted/old"):
        client.expect(350, "RNFR file")
        client.expect(550, f"RNTO {target}")
    monkeypatch.undo()
    assert (root / "file").read_bytes() == b"here"
    assert [path.read_bytes() for path in (root / "mounted").iterdir()] == [b"there"]
    client.expect(350, "RNFR file")
    client.expect(250, "RNTO mounted/new")


@contextlib.contextmanager
def mounted(tmp_path: Path, root: Path, options: str) -> Iterator[Dialogue]:
    """A session with a server that sees a file system of its own in memory at ``/mounted``."""
    pytest.importorskip("click", reason="needs the extra `cli`")
    (root / "mounted").mkdir()
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    try_out = f'mount -t tmpfs -o {options} none "$0"'
    if not shutil.which("unshare") or subprocess.run([*mount, try_out, root / "mounted"], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    serve = f'mount -t tmpfs -o {options} none "$0"/mounted && exec "$@"'
    (tmp_path / "password").write_text(PASSWORD)
    command = [*mount, serve, str(root), sys.executable, "-m", "fastxfer", "serve", str(root), "--port", "0"]
    command += ["--user", USER, "--password-file", str(tmp_path / "password")]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    try:
        assert process.stderr is not None
        port = int(process.stderr.readline().rstrip("/\n").rpartition(":")[2])
        with Dialogue(("127.0.0.1", port)) as client:
            client.login()
            yield client
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE)


def test_a_mounted_filesystem_takes_uploads_and_no_moves(tmp_path: Path, root: Path) -> None:
    (root / "file").write_bytes(b"here")
    with mounted(tmp_path, root, "size=50%") as client:
        assert client.put("STOR mounted/new", b"there").code == 226
        client.expect(350, "RNFR file")
        client.expect(550, "RNTO mounted/file")
        client.expect(350, "RNFR mounted/new")
        client.expect(550, "RNTO file")
        assert client.fetch("RETR mounted/new") == b"there"
        assert client.fetch("RETR file") == b"here"
        assert client.fetch("NLST mounted").split() == [b"new"]
        client.expect(350, "RNFR mounted/new")
        client.expect(250, "RNTO mounted/newer")


def test_small_files_on_a_disk_that_fills_up_are_whole_or_not_there(tmp_path: Path, root: Path) -> None:
    content = os.urandom(30_000)
    with mounted(tmp_path, root, "size=128k") as client:
        client.expect(250, "CWD mounted")
        codes = [client.put(f"STOR file{number}", content).code for number in range(6)]
        assert codes[:3] == [226] * 3
        assert codes[-1] == 452
        stored = sorted(client.fetch("NLST").decode().split())
        assert stored == [f"file{number}" for number, code in enumerate(codes) if code == 226]
        assert all(client.fetch(f"RETR {name}") == content for name in stored)
        client.expect(250, "DELE file0")
        assert client.put("STOR file5", content).code == 226
        assert client.fetch("RETR file5") == content


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


def test_a_full_disk_is_452_and_leaves_nothing_half(
    client: Dialogue, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    opened: list[str] = []
    originals = LocalFilesystem.open_write, LocalFilesystem.open_upload

    def filled(writer: Writer | None, way: str) -> Writer:
        assert writer is not None
        device = os.open(full, os.O_WRONLY)
        os.dup2(device, writer.fileno())
        os.close(device)
        opened.append(way)
        return writer

    async def open_write(self: LocalFilesystem, *arguments: Any, **options: Any) -> Writer:
        return filled(await originals[0](self, *arguments, **options), "resumed")

    def open_upload(self: LocalFilesystem, *arguments: Any, **options: Any) -> Writer:
        return filled(originals[1](self, *arguments, **options), "whole")

    monkeypatch.setattr(LocalFilesystem, "open_write", open_write)
    monkeypatch.setattr(LocalFilesystem, "open_upload", open_upload)
    assert client.put("STOR file", b"x" * 100_000).code == 452
    assert not (root / "file").exists()
    client.expect(200, "NOOP")
    (root / "old").write_bytes(b"first")
    client.expect(350, "REST 5")
    assert client.put("STOR old", b"x" * 100_000).code == 452
    assert (root / "old").read_bytes() == b"first"
    assert opened == ["whole", "resumed"]


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


def test_a_drop_box_takes_files_and_shows_none(serve: Callable[..., Running], root: Path) -> None:
    (root / "drop").mkdir()
    permissions = Permissions("list", {"/drop": "upload-only"})
    server = serve(users=[(User(name=USER, permissions=permissions), PASSWORD)])
    with Dialogue(server.address) as client:
        client.login()
        assert client.put("STOR drop/mine", b"first").code == 226
        client.passive()
        client.expect(553, "STOR drop/mine")
        for command in ("LIST drop", "RETR drop/mine", "NLST drop/*x", "APPE drop/mine"):
            client.expect(550, command)
        for command in ("SIZE drop/mine", "DELE drop/mine", "MLST drop/mine", "RNFR drop/mine", "MKD drop/d"):
            client.expect(550, command)
    assert (root / "drop" / "mine").read_bytes() == b"first"


def test_site_copies_need_permission_at_both_ends(serve: Callable[..., Running], root: Path) -> None:
    (root / "in").mkdir()
    (root / "out").mkdir()
    (root / "in" / "file").write_text("x")
    permissions = Permissions("list", {"/in": "upload-only", "/out": "read-only"})
    server = serve(users=[(User(name=USER, permissions=permissions), PASSWORD)])
    with Dialogue(server.address) as client:
        client.expect(530, "SITE CPFR in/file")
        client.login()
        client.expect(550, "SITE CPFR in/file")
        (root / "out" / "file").write_text("y")
        client.expect(350, "SITE CPFR out/file")
        client.expect(550, "SITE CPTO out/copy")
        client.expect(350, "SITE CPFR out/file")
        client.expect(250, "SITE CPTO in/copy")


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
