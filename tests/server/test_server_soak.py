"""Many sessions doing anything at all: every byte is checked against a model, and nothing is left behind.

``FASTXFER_SOAK_SECONDS`` makes it longer, ``FASTXFER_SOAK_SESSIONS`` wider.
"""

from __future__ import annotations

import contextlib
import os
import random
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

from fastxfer.server import LimitsConfig, TlsConfig
from tests.server.conftest import Tls
from tests.server.dialogue import Dialogue, Running, reset, wait_for

SECONDS = float(os.environ.get("FASTXFER_SOAK_SECONDS", "3"))
SESSIONS = int(os.environ.get("FASTXFER_SOAK_SESSIONS", "12"))
NAMES = ["a", "b", "ünïcödé", "with space"]
SIZES = [0, 1, 1000, 50_000, 800_000]
ENGINE_DESCRIPTORS = 32
JOIN_DEADLINE = SECONDS + 60.0


class Actor:
    """One client with a directory of its own, and what must be in it."""

    def __init__(self, server: Running, number: int, context: ssl.SSLContext | None) -> None:
        self._random = random.Random(number)
        self._server = server
        self._context = context
        self._directory = f"/actor{number}"
        self._files: dict[str, bytes] = {}
        self._client = self._connect()
        self._client.expect(257, f"MKD {self._directory}")
        self._client.expect(250, f"CWD {self._directory}")
        self.operations = 0

    def _connect(self) -> Dialogue:
        client = Dialogue(self._server.address)
        if self._context is not None:
            client.starttls(self._context)
        return client.login()

    def act(self) -> None:
        """Do something, and check what comes of it."""
        operation: Callable[[str], None] = self._random.choice(
            [self._store, self._store, self._retrieve, self._retrieve, self._resume, self._append, self._rename,
             self._delete, self._list, self._break_off, self._reconnect, self._hash]
        )  # fmt: skip
        operation(self._random.choice(NAMES))
        self.operations += 1

    def _content(self) -> bytes:
        return self._random.randbytes(self._random.choice(SIZES))

    def _put(self, command: str, content: bytes) -> int:
        raw = self._client.data_after(command)
        if self._context is None:
            with raw:
                raw.sendall(content)
        else:
            with self._context.wrap_socket(raw, server_hostname="localhost") as data:
                data.sendall(content)
                data.unwrap().close()
        return self._client.read().code

    def _store(self, name: str) -> None:
        content = self._content()
        assert self._put(f"STOR {name}", content) == 226
        self._files[name] = content

    def _append(self, name: str) -> None:
        if name in self._files:
            content = self._content()[:10_000]
            assert self._put(f"APPE {name}", content) == 226
            self._files[name] += content

    def _resume(self, name: str) -> None:
        if name in self._files:
            offset = self._random.randint(0, len(self._files[name]))
            content = self._content()
            self._client.expect(350, f"REST {offset}")
            assert self._put(f"STOR {name}", content) == 226
            self._files[name] = self._files[name][:offset] + content

    def _retrieve(self, name: str) -> None:
        if name in self._files:
            offset = self._random.randint(0, len(self._files[name]))
            self._client.expect(350, f"REST {offset}")
            assert self._client.fetch(f"RETR {name}", context=self._context) == self._files[name][offset:]

    def _rename(self, name: str) -> None:
        target = self._random.choice(NAMES)
        if name in self._files and name != target:
            self._client.expect(350, f"RNFR {name}")
            self._client.expect(250, f"RNTO {target}")
            self._files[target] = self._files.pop(name)

    def _delete(self, name: str) -> None:
        self._client.expect(250 if name in self._files else 550, f"DELE {name}")
        self._files.pop(name, None)

    def _list(self, name: str) -> None:
        listed = self._client.fetch("NLST", context=self._context).decode().split("\r\n")[:-1]
        assert sorted(listed) == sorted(self._files)
        if name in self._files:
            assert self._client.expect(213, f"SIZE {name}") == f"213 {len(self._files[name])}"

    def _hash(self, name: str) -> None:
        import zlib

        if name in self._files:
            assert self._client.expect(250, f"XCRC {name}") == f"250 {zlib.crc32(self._files[name]):08X}"

    def _break_off(self, name: str) -> None:
        upload = self._random.random() < 0.5
        if not upload and name not in self._files:
            return
        data = self._client.data_after(f"{'STOR' if upload else 'RETR'} {name}")
        if upload and self._context is None:
            with contextlib.suppress(OSError):
                data.sendall(b"this must never be seen")
        reset(data)
        code = self._client.read().code
        assert code in ((426,) if upload or self._context is not None else (226, 426))

    def _reconnect(self, name: str) -> None:
        if self._random.random() < 0.5:
            self._client.expect(221, "QUIT")
        self._client.close()
        self._client = self._connect()
        self._client.expect(250, f"CWD {self._directory}")

    def close(self) -> None:
        self._client.close()


def test_nothing_is_mixed_up_lost_or_left_behind(
    serve: Callable[..., Running], tls: Tls, root: Path, descriptors: Callable[[], int]
) -> None:
    server = serve(tls=TlsConfig(cert=tls.cert), limits=LimitsConfig(sessions=SESSIONS * 2 + 10))
    context = tls.context()
    before = descriptors()
    failures: list[BaseException] = []
    counts: list[int] = []
    end = time.monotonic() + SECONDS

    def live(number: int) -> None:
        try:
            actor = Actor(server, number, context if number % 3 == 0 else None)
            with contextlib.closing(actor):
                while time.monotonic() < end:
                    actor.act()
            counts.append(actor.operations)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=live, args=(number,)) for number in range(SESSIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_DEADLINE)
    if failures:
        raise failures[0]
    assert len(counts) == SESSIONS
    assert sum(counts) > ENGINE_DESCRIPTORS
    wait_for(lambda: server.server.sessions == 0)
    # The engine's threads keep a pipe each, and there are eight at the most; a leak would be of hundreds.
    wait_for(lambda: descriptors() <= before + ENGINE_DESCRIPTORS)
    for path in root.rglob("*"):
        if path.is_file() and not path.name.endswith(".fxpart"):
            assert b"this must never be seen" not in path.read_bytes()
