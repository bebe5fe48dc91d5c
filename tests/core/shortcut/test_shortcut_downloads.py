"""A small file that is asked for, from the line to the reply in one call."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

import pytest

from tests.core.conftest import read_all
from tests.core.shortcut.conftest import DEADLINE, Staged


def test_what_was_sent_is_told_and_what_was_not_is_not(stage: Staged) -> None:
    told: list[Any] = []
    at = stage(ended=lambda *what: told.append(what))
    (at.root / "ünï").write_bytes(b"12345")
    at.connect()
    before = time.monotonic()
    assert at.shortcut.serve(b"RETR missing\r\n") is False
    assert at.shortcut.serve("RETR ünï\r\n".encode()) is True
    ((*what, started),) = told
    assert what == ["RETR", "/ünï", 5]
    assert before <= started <= time.monotonic()


@pytest.mark.parametrize("size", [0, 1, 4096, 16384, 16385])
def test_a_small_file_is_sent_and_its_end_told(stage: Staged, size: int) -> None:
    at = stage()
    content = os.urandom(size)
    (at.root / "ünï").write_bytes(content)
    data = at.connect()
    assert at.shortcut.prepared
    assert at.shortcut.serve("RETR ünï\r\n".encode()) is True
    assert read_all(data) == content
    assert at.told() == b"150 %d bytes\r\n226 done\r\n" % size
    assert not at.shortcut.prepared
    assert at.shortcut.kept_since > 0


def test_one_port_serves_as_often_as_it_may(stage: Staged) -> None:
    at = stage(uses=2)
    (at.root / "file").write_bytes(b"x")
    for verb, reply in (b"PASV", b"227 port\r\n"), (b"EPSV", b"229 port\r\n"):
        assert at.shortcut.serve(verb + b"\r\n") is True
        assert at.told() == reply
        assert at.shortcut.serve(b"EPSV\r\n") is False, "it has told its port already"
        with socket.create_connection(at.listener.getsockname(), timeout=DEADLINE) as data:
            assert at.shortcut.serve(b"RETR /file\r\n") is True
            assert read_all(data) == b"x"
        at.told()
    assert at.shortcut.uses == 0
    assert at.shortcut.serve(b"EPSV\r\n") is False


def test_what_the_connection_does_not_take_at_once_is_left(stage: Staged) -> None:
    at = stage()
    at.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
    content = os.urandom(65536)
    (at.root / "file").write_bytes(content)
    assert at.shortcut.serve(b"EPSV\r\n") is True
    at.told()
    with socket.socket() as data:
        data.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        data.settimeout(DEADLINE)
        data.connect(at.listener.getsockname())
        verb, path, fd, connection, moved = at.shortcut.serve(b"RETR file\r\n")
        assert (verb, path) == ("RETR", "/file")
        assert 0 <= moved < len(content)
        assert os.pread(fd, len(content), 0) == content
        os.close(fd)
        os.close(connection)
        assert read_all(data) == content[:moved]
    assert at.shortcut.prepared


def test_what_the_client_does_not_take_of_a_reply_is_given_back(stage: Staged) -> None:
    at = stage()
    (at.root / "file").write_bytes(b"x")
    at.connect()
    try:
        while True:
            at.control.send(bytes(65536))
    except BlockingIOError:
        pass
    assert at.shortcut.serve(b"RETR file\r\n") == b"150 1 bytes\r\n226 done\r\n"
