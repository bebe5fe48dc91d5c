"""Many FTP clients doing anything at all, each with a directory of its own and a model of what must be in it.

``python -m tests.server.crowd HOST PORT SESSIONS SECONDS FIRST [CA]`` is a crowd in a process of its own, whose actors
are numbered from FIRST on; a third of it speaks TLS where CA is given. One JSON document tells how it went.
"""

from __future__ import annotations

import contextlib
import json
import random
import resource
import ssl
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.server.dialogue import Dialogue, reset

PATIENCE = 100.0
"""Seconds after which an actor gives the server up. A thousand of them take their time on a machine that is busy."""
JOIN_DEADLINE = 120.0
SHOWN_FAILURES = 5
"""So many are told in full: whoever reads them may do so only when all is over, and a pipe holds 64 KiB."""
NAMES = ["a", "b", "ünïcödé", "with space"]
SIZES = [0, 1, 1000, 50_000, 800_000]


class Actor:
    """One client with a directory of its own, and what must be in it."""

    def __init__(self, address: tuple[str, int], number: int, context: ssl.SSLContext | None) -> None:
        self._random = random.Random(number)
        self._address = address
        self._context = context
        self._directory = f"/actor{number}"
        self._files: dict[str, bytes] = {}
        self._client = self._connect()
        self._client.expect(257, f"MKD {self._directory}")
        self._client.expect(250, f"CWD {self._directory}")
        self.operations = 0

    def _connect(self) -> Dialogue:
        client = Dialogue(self._address, timeout=PATIENCE)
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
        # Without a file it is the rest of a broken upload that goes, which SIZE tells of.
        there = name in self._files or self._client.say(f"SIZE {name}").code == 213
        self._client.expect(250 if there else 550, f"DELE {name}")
        self._files.pop(name, None)

    def _list(self, name: str) -> None:
        listed = self._client.fetch("NLST", context=self._context).decode().split("\r\n")[:-1]
        assert sorted(listed) == sorted(self._files)
        if name in self._files:
            assert self._client.expect(213, f"SIZE {name}") == f"213 {len(self._files[name])}"

    def _hash(self, name: str) -> None:
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


@dataclass
class Outcome:
    """What became of a crowd."""

    operations: int = 0
    sessions: int = 0
    failures: list[str] = field(default_factory=list)


def crowd(
    address: tuple[str, int], sessions: int, seconds: float, context: ssl.SSLContext | None, first: int = 0
) -> Outcome:
    """Let *sessions* actors live for *seconds*; the directory of the first is ``actor{first}``."""
    outcome = Outcome()
    lock = threading.Lock()
    end = time.monotonic() + seconds

    def live(number: int) -> None:
        try:
            actor = Actor(address, number, context if number % 3 == 0 else None)
            with contextlib.closing(actor):
                while time.monotonic() < end:
                    actor.act()
            with lock:
                outcome.sessions += 1
                outcome.operations += actor.operations
        except BaseException:
            with lock:
                outcome.failures.append(f"actor {number}: {traceback.format_exc()}")

    threads = [threading.Thread(target=live, args=(first + number,)) for number in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + JOIN_DEADLINE)
    if any(thread.is_alive() for thread in threads):
        outcome.failures.append("an actor never came to its end")
    if len(outcome.failures) > SHOWN_FAILURES:
        outcome.failures[SHOWN_FAILURES:] = [f"and {len(outcome.failures) - SHOWN_FAILURES} more"]
    return outcome


def main(host: str, port: str, sessions: str, seconds: str, first: str, ca: str = "") -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    threading.stack_size(256 * 1024)
    context = ssl.create_default_context(cafile=ca) if ca else None
    outcome = crowd((host, int(port)), int(sessions), float(seconds), context, int(first))
    json.dump(vars(outcome), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
