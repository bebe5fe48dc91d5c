"""The server's side of small files, from the line to the reply: where a shortcut is tried."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.core.conftest import core_module

DEADLINE = 60.0


OPENING = b"150 opening\r\n"


class Stage:
    """A shortcut with both ends of its control connection, a directory and a passive port."""

    def __init__(self, module: Any, root: Path, stack: ExitStack, **settings: Any) -> None:
        self.module = module
        self.root = root
        self.client, self.control = (stack.enter_context(sock) for sock in socket.socketpair())
        self.client.settimeout(DEADLINE)
        self.control.setblocking(False)
        self.listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.listener.setblocking(False)
        self.top = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, self.top)
        self._stack = stack
        wanted = {
            "address": "127.0.0.1",
            "epsv": b"229 port\r\n",
            "pasv": b"227 port\r\n",
            "sending": b"150 ",
            "sent": b" bytes\r\n226 done\r\n",
            "opening": OPENING,
            "cwd": "/",
            "suffix": ".part",
            "partial_name": lambda name: b".%b.part" % name,
            "reads": True,
            "writes": True,
            "beneath": True,
            "mode": 0o640,
            "uses": 3,
            "max_line": 200,
        }
        self.shortcut = module.Shortcut(
            self.control.fileno(), self.listener.fileno(), self.top, **{**wanted, **settings}
        )

    def told(self) -> bytes:
        """What the client was told."""
        return self.client.recv(4096)

    def connect(self) -> socket.socket:
        """Ask for the port and connect to it."""
        assert self.shortcut.serve(b"EPSV\r\n") is True
        assert self.told() == b"229 port\r\n"
        return self._stack.enter_context(socket.create_connection(self.listener.getsockname(), timeout=DEADLINE))

    def still_waits(self) -> bool:
        """Whether the client's connection can still be taken."""
        found = self.shortcut.take() or self.module.accept(self.listener.fileno())
        if found is None:
            return False
        os.close(found[0])
        return bool(found[1] == "127.0.0.1")


Staged = Callable[..., Stage]


@pytest.fixture
def stage(ftpserve: ModuleType, tmp_path: Path) -> Iterator[Staged]:
    root = tmp_path / "root"
    root.mkdir()
    with ExitStack() as stack:
        yield lambda **settings: Stage(ftpserve, root, stack, **settings)


class Transport:
    """What a shortcut asks of the control connection's transport."""

    def __init__(self) -> None:
        self.closing = False
        self.waiting = 0

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return self.waiting


class Upload:
    """An upload that native code waits for."""

    def __init__(self, stage: Staged, name: str = "file", *, folder: str = "", left: bytes = b"") -> None:
        module = core_module("ftpserve", "c")
        self.told: list[Any] = []
        self.transport = Transport()
        self.uploads = module.Uploads(b"226 done\r\n")
        self.at = stage(
            uploads=self.uploads, owner="owner", transport=self.transport, ended=lambda *what: self.told.append(what)
        )
        if folder:
            (self.at.root / folder).mkdir()
        if left:
            (self.at.root / f".{name}.part").write_bytes(left)
        self.data = self.at.connect()
        assert self.at.shortcut.serve(f"STOR {name}\r\n".encode()) is None
        assert self.at.told() == OPENING
        assert self.at.shortcut.uploading_since > 0

    def collect(self) -> Any:
        """How it ends, where others are left something to do; else b"" once it has ended, and None before."""
        with select.epoll() as poll:
            poll.register(self.uploads.fileno(), select.EPOLLIN)
            assert poll.poll(DEADLINE)
        found = self.uploads.collect()
        if not found:
            return None if self.at.shortcut.uploading_since else b""
        ((owner, end),) = found
        assert owner == "owner"
        return end


native = pytest.mark.parametrize("implementation", ["c"], indirect=True)
