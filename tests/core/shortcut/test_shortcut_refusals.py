"""What a shortcut leaves as it stands, for the ordinary ways to do or to refuse."""

from __future__ import annotations

import os
import socket
from types import ModuleType

import pytest

from tests.core.conftest import read_all
from tests.core.shortcut.conftest import DEADLINE, Staged


@pytest.mark.parametrize(
    "line",
    [
        b"RETR missing\r\n",
        b"RETR directory\r\n",
        b"RETR fifo\r\n",
        b"RETR out\r\n",
        b"RETR large\r\n",
        b"RETR file/\r\n",
        b"RETR ./file\r\n",
        b"RETR a/../file\r\n",
        b"RETR ../file\r\n",
        b"RETR ..\r\n",
        b"RETR //file\r\n",
        b"RETR /\r\n",
        b"RETR \r\n",
        b"RETR hidden.part\r\n",
        b"RETR fi\x01le\r\n",
        b"RETR fi\0le\r\n",
        b"RETR fi\rle\r\n",
        b"RETR fi\x7fle\r\n",
        b"RETR fi\xff\xffle\r\n",
        b"RETR " + b"x" * 300 + b"\r\n",
        b"retr file\r\n",
        b"RETR file\n",
        b"RETR file\r\nNOOP\r\n",
        b"RETR file",
        b"RETRfile\r\n",
        b"SIZE file\r\n",
        b" RETR file\r\n",
        b"EPSV 1\r\n",
        b"NOOP\r\n",
        b"STOR directory\r\n",
        b"STOR missing/file\r\n",
        b"STOR out\r\n",
        b"STOR upload.part\r\n",
        b"",
    ],
)
def test_all_else_is_left_as_it_stands(stage: Staged, line: bytes) -> None:
    at = stage()
    for name in "file", "hidden.part", "fi\x01le":
        (at.root / name).write_bytes(b"x")
    (at.root / "directory").mkdir()
    (at.root / "out").symlink_to("/etc/passwd")
    (at.root / "large").write_bytes(bytes(65537))
    os.mkfifo(at.root / "fifo")
    before = sorted(os.listdir(at.root))
    at.connect()
    assert at.shortcut.serve(line) is False
    assert at.still_waits()
    assert sorted(os.listdir(at.root)) == before
    at.client.setblocking(False)
    with pytest.raises(BlockingIOError):
        at.told()


def test_what_is_not_its_business_is_left(stage: Staged) -> None:
    at = stage(reads=False, writes=False, epsv=b"", pasv=b"")
    (at.root / "file").write_bytes(b"x")
    for line in b"EPSV\r\n", b"PASV\r\n", b"RETR file\r\n", b"STOR file\r\n":
        assert at.shortcut.serve(line) is False


def test_without_a_connection_nothing_is_done(stage: Staged) -> None:
    at = stage()
    (at.root / "file").write_bytes(b"x")
    assert at.shortcut.serve(b"RETR file\r\n") is False, "no port was told"
    assert at.shortcut.serve(b"EPSV\r\n") is True
    assert at.shortcut.serve(b"RETR file\r\n") is False
    assert at.shortcut.serve(b"STOR new\r\n") is False
    assert os.listdir(at.root) == ["file"]


def test_who_has_connected_before_the_port_was_told_is_turned_away(stage: Staged) -> None:
    at = stage()
    with socket.create_connection(at.listener.getsockname(), timeout=DEADLINE) as early:
        at.connect()
        assert early.recv(1) == b""


@pytest.mark.parametrize("line", [b"RETR file\r\n", b"STOR new\r\n"])
def test_a_connection_from_elsewhere_is_given_back(stage: Staged, line: bytes) -> None:
    at = stage(address="127.0.0.9")
    (at.root / "file").write_bytes(b"x")
    data = at.connect()
    assert at.shortcut.serve(line) is False
    assert at.shortcut.serve(line) is False
    found = at.shortcut.take()
    assert found is not None
    assert found[1] == "127.0.0.1"
    assert at.shortcut.take() is None
    os.close(found[0])
    assert data.recv(1) == b""
    assert os.listdir(at.root) == ["file"]


def test_a_connection_that_nobody_takes_is_closed_with_it(stage: Staged) -> None:
    at = stage(address="127.0.0.9")
    (at.root / "file").write_bytes(b"x")
    data = at.connect()
    assert at.shortcut.serve(b"RETR file\r\n") is False
    del at.shortcut
    assert data.recv(1) == b""


@pytest.mark.parametrize(("cwd", "name"), [("/a/b", "file"), ("/", "a/b/file"), ("/elsewhere", "/a/b/file")])
def test_paths_with_directories_stay_below_the_top(implementation: str, stage: Staged, cwd: str, name: str) -> None:
    at = stage(cwd=cwd)
    (at.root / "a" / "b").mkdir(parents=True)
    (at.root / "a" / "b" / "file").write_bytes(b"x")
    data = at.connect()
    done = at.shortcut.serve(f"RETR {name}\r\n".encode())
    if implementation == "py" or not done:
        assert done is False, "only openat2(2) opens such paths at once"
        return
    assert read_all(data) == b"x"
    at.told()
    at.connect()
    *_, path, fd, connection, directory, partial, _, _ = at.shortcut.serve(f"STOR {name}2\r\n".encode())
    assert path == "/a/b/file2"
    at.module.land(directory, partial, "file2", fd, connection, at.control.fileno(), b"226 done\r\n")
    os.close(directory)
    assert (at.root / "a" / "b" / "file2").exists()
    at.shortcut.keep()
    at.told()
    (at.root / "a" / "out").symlink_to(at.root.parent)
    (at.root.parent / "secret").write_bytes(b"x")
    at.connect()
    assert at.shortcut.serve(b"RETR /a/out/secret\r\n") is False
    assert at.shortcut.serve(b"STOR /a/out/new\r\n") is False
    assert not (at.root.parent / "new").exists()


def test_wrong_arguments_are_refused(ftpserve: ModuleType) -> None:
    with pytest.raises(TypeError):
        ftpserve.Shortcut(1, 2, 3)
