"""System calls of the FTP server's hot paths, compiled and pure."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DEADLINE = 60.0


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    try:
        sock = socket.create_server((request.param, 0), family=family)
    except OSError:
        pytest.skip(f"{request.param} is not there")
    with sock:
        sock.setblocking(False)
        yield sock


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_a_connection_is_taken_with_the_address_it_comes_from(ftpserve: Any, listener: socket.socket) -> None:
    assert ftpserve.accept(listener.fileno()) is None
    with socket.create_connection(listener.getsockname()[:2]) as client:
        fd, address = ftpserve.accept(listener.fileno())
        assert ftpserve.accept(listener.fileno()) is None
        with socket.socket(fileno=fd) as taken:
            assert address == client.getsockname()[0]
            assert not os.get_blocking(fd)
            assert not os.get_inheritable(fd)
            client.sendall(b"hello")
            taken.setblocking(True)
            assert taken.recv(100) == b"hello"


def test_a_connection_that_was_reset_before_it_is_taken_harms_nothing(ftpserve: Any, listener: socket.socket) -> None:
    client = socket.create_connection(listener.getsockname()[:2])
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    found = ftpserve.accept(listener.fileno())
    if found is not None:
        os.close(found[0])
    assert ftpserve.accept(listener.fileno()) is None


def test_a_descriptor_that_does_not_listen_is_an_error(ftpserve: Any) -> None:
    read, write = os.pipe()
    try:
        with pytest.raises(OSError, match="socket") as caught:
            ftpserve.accept(read)
        assert caught.value.errno == errno.ENOTSOCK
    finally:
        os.close(read)
        os.close(write)
    with socket.socket() as sock:
        assert not ftpserve.turn_away(sock.fileno(), 5)


def test_as_much_is_sent_as_the_connection_takes_and_nothing_by_a_broken_one(ftpserve: Any) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        assert ftpserve.send_now(ours.fileno(), b"220 Hello\r\n") == 11
        assert theirs.recv(100) == b"220 Hello\r\n"
        assert ftpserve.send_now(ours.fileno(), b"more", True) == 4
        assert theirs.recv(100) == b"more"
        much = bytes(4 << 20)
        sent = ftpserve.send_now(ours.fileno(), much)
        assert 0 < sent < len(much)
        assert ftpserve.send_now(ours.fileno(), much) == 0
        theirs.close()
        assert ftpserve.send_now(ours.fileno(), b"x") == 0


def test_all_who_wait_are_turned_away(ftpserve: Any, listener: socket.socket) -> None:
    assert ftpserve.turn_away(listener.fileno(), 3)
    clients = [socket.create_connection(listener.getsockname()[:2]) for _ in range(2)]
    assert ftpserve.turn_away(listener.fileno(), 3)
    for client in clients:
        with client:
            client.settimeout(DEADLINE)
            assert client.recv(1) == b""


def test_turning_away_ends_after_as_many_as_it_may_take(ftpserve: Any, listener: socket.socket) -> None:
    clients = [socket.create_connection(listener.getsockname()[:2]) for _ in range(3)]
    assert not ftpserve.turn_away(listener.fileno(), 2)
    found = ftpserve.accept(listener.fileno())
    assert found is not None
    os.close(found[0])
    for client in clients:
        client.close()


def test_the_mode_of_an_entry_is_that_of_the_entry_itself(ftpserve: Any, directory: int, tmp_path: Path) -> None:
    (tmp_path / "ünï").write_text("x")
    (tmp_path / "ünï").chmod(0o640)
    (tmp_path / "link").symlink_to("ünï")
    undecodable = os.fsdecode(b"\xff\xfe")
    (tmp_path / undecodable).mkdir()
    assert ftpserve.entry_mode(directory, "missing") == 0
    assert ftpserve.entry_mode(directory, "ünï") == stat.S_IFREG | 0o640
    assert stat.S_ISLNK(ftpserve.entry_mode(directory, "link"))
    assert stat.S_ISDIR(ftpserve.entry_mode(directory, undecodable))
    with pytest.raises(NotADirectoryError):
        ftpserve.entry_mode(directory, "ünï/below")
    with pytest.raises(ValueError, match="null"):
        ftpserve.entry_mode(directory, "a\0b")


def test_an_unfinished_upload_is_made_and_locked(ftpserve: Any, directory: int, tmp_path: Path) -> None:
    fd, size, permissions = ftpserve.open_partial(directory, ".ünï", 0o600)
    try:
        assert (size, permissions) == (0, 0o600)
        assert not os.get_inheritable(fd)
        os.write(fd, b"half")
        with pytest.raises(OSError, match="ünï") as caught:
            ftpserve.open_partial(directory, ".ünï", 0o644)
        assert caught.value.errno == errno.EBUSY
    finally:
        os.close(fd)
    fd, size, permissions = ftpserve.open_partial(directory, ".ünï", 0o644)
    assert (size, permissions) == (4, 0o600)
    assert os.read(fd, 100) == b"half"
    os.close(fd)
    assert [path.name for path in tmp_path.iterdir()] == [".ünï"]


def test_what_is_no_regular_file_is_not_taken_for_an_upload(ftpserve: Any, directory: int, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    os.mkfifo(tmp_path / "fifo")
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    for name, expected in ("directory", errno.EISDIR), ("link", errno.ELOOP), ("fifo", errno.EINVAL):
        with pytest.raises(OSError, match=name) as caught:
            ftpserve.open_partial(directory, name, 0o644)
        assert caught.value.errno == expected
    with pytest.raises(ValueError, match="null"):
        ftpserve.open_partial(directory, "a\0b", 0o644)
    assert not (tmp_path / "elsewhere").exists()
    assert not before or len(os.listdir("/proc/self/fd")) == len(before)


def test_an_upload_that_gets_its_final_name_is_never_taken_for_the_next_one(
    ftpserve: Any, directory: int, tmp_path: Path
) -> None:
    rounds = 200
    faults: list[str] = []

    def upload(worker: int) -> None:
        done = 0
        while done < rounds and not faults:
            try:
                fd, size, _ = ftpserve.open_partial(directory, "partial", 0o644)
            except OSError as error:
                if error.errno == errno.EBUSY:
                    continue
                faults.append(repr(error))
                return
            try:
                if size:
                    faults.append("the file of another")
                os.write(fd, b"x")
                os.rename("partial", f"final{worker}-{done}", src_dir_fd=directory, dst_dir_fd=directory)
                done += 1
            except FileNotFoundError:
                faults.append("the name belonged to another")
            finally:
                os.close(fd)

    run_together(upload, 3)
    assert faults == []
    assert len({path.stat().st_ino for path in tmp_path.iterdir()}) == 3 * rounds


def run_together(work: Callable[[int], None], count: int) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert not any(thread.is_alive() for thread in threads)


@pytest.fixture
def openat2(ftpserve: Any, directory: int) -> Callable[..., int]:
    """Opens below *directory*."""
    try:
        os.close(ftpserve.openat2(directory, ".", os.O_RDONLY | os.O_DIRECTORY))
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        pytest.skip("this system has no openat2")
    return lambda *arguments: ftpserve.openat2(directory, *arguments)


def test_a_path_is_opened_below_a_directory(openat2: Callable[..., int], tmp_path: Path) -> None:
    (tmp_path / "a" / "ünï").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/ünï/../ünï")
    fd = openat2("link/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o604)
    try:
        assert not os.get_inheritable(fd)
        assert os.write(fd, b"content") == 7
    finally:
        os.close(fd)
    made = tmp_path / "a" / "ünï" / "new"
    assert made.read_bytes() == b"content"
    assert stat.S_IMODE(made.stat().st_mode) == 0o604
    with pytest.raises(FileExistsError, match="link/new"):
        openat2("link/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o604)


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("..", errno.EXDEV),
        ("a/../../a", errno.EXDEV),
        ("/", errno.EXDEV),
        ("up/a", errno.EXDEV),
        ("far", errno.EXDEV),
        ("magic/a", errno.EXDEV),
        ("loop", errno.ELOOP),
        ("missing", errno.ENOENT),
        ("file/", errno.ENOTDIR),
        ("x" * 300, errno.ENAMETOOLONG),
    ],
)
def test_no_path_leads_out_of_a_directory(openat2: Callable[..., int], tmp_path: Path, path: str, number: int) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "up").symlink_to(f"../{tmp_path.name}")
    (tmp_path / "far").symlink_to("/etc/passwd")
    (tmp_path / "magic").symlink_to("/proc/self/cwd")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match=re.escape(path)) as caught:
        os.close(openat2(path, os.O_RDONLY))
    assert caught.value.errno == number


def test_a_path_with_a_nul_is_none(openat2: Callable[..., int]) -> None:
    with pytest.raises(ValueError, match="null"):
        openat2("a\0b", os.O_RDONLY)
