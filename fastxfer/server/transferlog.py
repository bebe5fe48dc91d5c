"""Transfer logs in files: one line of wu-ftpd's xferlog, or one JSON object, per transfer."""

from __future__ import annotations

import functools
import json
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from fastxfer.server.hooks import Direction, TransferInfo

__all__ = ["TransferLog", "json_line", "xferlog_line"]

logger = logging.getLogger("fastxfer.server")

_encode = json.JSONEncoder(ensure_ascii=False).encode
_SEPARATORS = re.compile("[\x7f-\x9f\u2028\u2029]")
"""What JSON allows in a text and some readers take for the end of a line."""


class TransferLog:
    """Appends a line to each file for every transfer. A file that was moved away is opened anew.

    Raises:
        OSError: a file cannot be opened.
    """

    def __init__(self, xferlog: str = "", json_file: str = "") -> None:
        self._files: list[tuple[TextIO, Callable[[TransferInfo, float], str]]] = [
            (_open(name), line) for name, line in ((xferlog, xferlog_line), (json_file, json_line)) if name
        ]

    @property
    def active(self) -> bool:
        """Whether there is a file."""
        return bool(self._files)

    def write(self, transfer: TransferInfo) -> None:
        """Enter *transfer*. A full disk does not stop the server: it is reported and the line lost."""
        now = time.time()
        for file, line in self._files:
            try:
                file.write(line(transfer, now))
            except OSError as error:
                logger.error("the transfer log cannot be written: %s", error)

    def reopen(self) -> None:
        """Open the files again by their names, after they were rotated."""
        for number, (old, line) in enumerate(self._files):
            try:
                self._files[number] = (_open(old.name), line)
            except OSError as error:
                logger.error("the transfer log cannot be opened anew, the old file stays in use: %s", error)
            else:
                _close(old)

    def close(self) -> None:
        """Idempotent."""
        for file, _ in self._files:
            _close(file)
        self._files = []


def _open(name: str) -> TextIO:
    return Path(name).open("a", encoding="utf-8", errors="surrogateescape", buffering=1)


def _close(file: TextIO) -> None:
    try:
        file.close()
    except OSError as error:
        # Lines that did not go to the disk before do not go there now either.
        logger.error("the transfer log cannot be written: %s", error)


def _word(text: str) -> str:
    """*text* as one word of a log line: blanks and what could begin a new line are replaced."""
    if text.isprintable():
        return text.replace(" ", "_") or "-"
    return "".join("_" if ch.isspace() or not ch.isprintable() else ch for ch in text)


# Many transfers end in one second.


@functools.lru_cache(maxsize=1)
def _local_time(second: int) -> str:
    return time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(second))


@functools.lru_cache(maxsize=1)
def _universal_time(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def xferlog_line(transfer: TransferInfo, now: float) -> str:
    """The line that wu-ftpd, vsftpd and ProFTPD write (xferlog(5))."""
    session = transfer.session
    return (
        " ".join(
            (
                _local_time(int(now)),
                str(max(round(transfer.duration), 1)),
                session.address,
                str(transfer.moved),
                _word(transfer.path),
                "a" if transfer.ascii else "b",
                "_",
                "o" if transfer.direction is Direction.DOWNLOAD else "i",
                "a" if session.user == "anonymous" else "r",
                _word(session.user),
                session.protocol,
                "0",
                "*",
                "c" if transfer.ok else "i",
            )
        )
        + "\n"
    )


def json_line(transfer: TransferInfo, now: float) -> str:
    """One JSON object with everything that is known."""
    session = transfer.session
    record = {
        "time": f"{_universal_time(int(now))}.{int(now % 1 * 1000):03d}Z",
        "session": session.id,
        "protocol": session.protocol,
        "address": session.address,
        "user": session.user,
        "direction": transfer.direction.value,
        "path": transfer.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
        "offset": transfer.offset,
        "bytes": transfer.moved,
        "seconds": round(transfer.duration, 6),
        "ok": transfer.ok,
        "error": transfer.error,
        "tls": transfer.encrypted,
    }
    return _SEPARATORS.sub(_escaped, _encode(record)) + "\n"


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
