"""The control channel's part of ``fastxfer._pure.ftpwire``: lines, Telnet, commands and replies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

LINE_EMPTY = "empty line"
LINE_TOO_LONG = "line too long"
LINE_HAS_NUL = "NUL in the line"
LINE_HAS_CR = "bare CR in the line"

# How much of a line that is too long is shown, bytes.
SAMPLE_LENGTH = 200

_IAC = 0xFF
_SUBNEGOTIATION = 0xFA
_SUBNEGOTIATION_END = 0xF0
_WILL = 0xFB
_LINE_FEED = 0x0A
# States of the Telnet filter: plain data, after IAC, before an option's number, in a subnegotiation, after IAC in it.
_PLAIN, _AFTER_IAC, _OPTION, _IN_SUB, _AFTER_SUB_IAC = range(5)

_VERB = re.compile(rb"[A-Za-z]+")
_CONTROL = re.compile("[\x00-\x1f\x7f]")


class Lines:
    """Lines without LF from bytes in any pieces; None stands for one too long, whose beginning is in ``sample``.

    Telnet commands are taken out if *telnet*.
    """

    def __init__(self, max_line: int, telnet: bool = True) -> None:
        if max_line < 1:
            raise ValueError(f"max_line {max_line} is less than 1")
        self._max_line = max_line
        self._telnet = telnet
        self.sample = b""
        self.clear()

    def clear(self) -> None:
        self._line = bytearray()
        self._discarding = False
        self._state = _PLAIN

    @property
    def pending(self) -> int:
        return len(self._line)

    @property
    def idle(self) -> bool:
        return not self._line and not self._discarding and self._state == _PLAIN

    def split(self, data: Buffer) -> Iterator[bytes | None]:
        chunk = memoryview(data).tobytes()
        if self._telnet and (self._state != _PLAIN or _IAC in chunk):
            chunk = self._without_telnet(chunk)
        start = 0
        while start < len(chunk):
            end = chunk.find(b"\n", start)
            piece = chunk[start:] if end < 0 else chunk[start:end]
            start = len(chunk) if end < 0 else end + 1
            if not self._discarding and len(self._line) + len(piece) > self._max_line:
                self.sample = bytes(self._line + piece[:SAMPLE_LENGTH])
                self._line.clear()
                self._discarding = True
                yield None
            if self._discarding:
                self._discarding = end < 0
                continue
            self._line += piece
            if end >= 0:
                yield self.take()

    def take(self) -> bytes:
        """What is pending, as a line."""
        line = bytes(self._line)
        self._line.clear()
        return line

    def _without_telnet(self, chunk: bytes) -> bytes:
        out = bytearray()
        for byte in chunk:
            if self._state == _PLAIN:
                if byte == _IAC:
                    self._state = _AFTER_IAC
                else:
                    out.append(byte)
            elif self._state == _AFTER_IAC:
                if _WILL <= byte < _IAC:
                    self._state = _OPTION
                    continue
                self._state = _IN_SUB if byte == _SUBNEGOTIATION else _PLAIN
                if byte == _IAC:
                    out.append(byte)
                elif byte < _SUBNEGOTIATION_END:
                    begins_line = out[-1] == _LINE_FEED if out else not (self._line or self._discarding)
                    out += bytes((byte,)) if begins_line and bytes((byte,)).isalpha() else bytes((_IAC, byte))
            elif self._state == _OPTION:
                self._state = _PLAIN
            elif self._state == _IN_SUB:
                self._state = _AFTER_SUB_IAC if byte == _IAC else _IN_SUB
            else:
                self._state = _PLAIN if byte == _SUBNEGOTIATION_END else _IN_SUB
        return bytes(out)


class CommandReader:
    def __init__(self, max_line: int = 8192, encoding: str = "utf-8") -> None:
        self.encoding = encoding
        self._lines = Lines(max_line)

    @property
    def pending(self) -> int:
        return self._lines.pending

    @property
    def idle(self) -> bool:
        return self._lines.idle

    def feed(self, data: Buffer, /) -> list[tuple[str, str]]:
        return [self._command(line) for line in self._lines.split(data)]

    def clear(self) -> None:
        self._lines.clear()

    def _command(self, line: bytes | None) -> tuple[str, str]:
        if line is None:
            return "", LINE_TOO_LONG
        line = line.removesuffix(b"\r").lstrip(b" ")
        if not line:
            return "", LINE_EMPTY
        if b"\0" in line:
            return "", LINE_HAS_NUL
        if b"\r" in line:
            return "", LINE_HAS_CR
        verb, _, argument = line.partition(b" ")
        return (
            verb.upper().decode(self.encoding, "surrogateescape"),
            argument.decode(self.encoding, "surrogateescape"),
        )


class MalformedReply(ValueError):
    """What the server sent is not a reply, or is longer than allowed."""

    def __init__(self, message: str, replies: list[tuple[int, list[str]]] | None = None) -> None:
        super().__init__(message)
        self.replies = replies or []


class ReplyReader:
    def __init__(self, max_line: int = 16384, max_reply: int = 262144, encoding: str = "utf-8") -> None:
        if max_reply < 1:
            raise ValueError(f"max_reply {max_reply} is less than 1")
        self.encoding = encoding
        self._lines = Lines(max_line)
        self._max_reply = max_reply
        self._broken = ""
        self.clear()

    def clear(self) -> None:
        self._lines.clear()
        self._code = b""
        self._texts: list[bytes] = []
        self._size = 0

    @property
    def pending(self) -> int:
        return self._lines.pending + self._size

    def feed(self, data: Buffer, /) -> list[tuple[int, list[str]]]:
        replies: list[tuple[int, list[str]]] = []
        for line in () if self._broken else self._lines.split(data):
            if line is None:
                self._broken = "a reply line is too long"
            elif self._take(line.rstrip(b"\r")):
                lines = [text.decode(self.encoding, "surrogateescape") for text in self._texts]
                replies.append((int(self._code), lines))
                self._code, self._texts, self._size = b"", [], 0
            if self._broken:
                break
        if self._broken:
            raise MalformedReply(self._broken, replies)
        return replies

    def _take(self, line: bytes) -> bool:
        """Add *line* to the reply under way; True when it is the last."""
        code, separator, text = line[:3], line[3:4], line[4:]
        if not self._code:
            if not line:
                return False
            if not (len(code) == 3 and code.isdigit() and b"1" <= code[:1] <= b"6" and separator in (b"", b" ", b"-")):
                self._broken = f"not a reply: {line[:100].decode('ascii', 'backslashreplace')!r}"
                return False
            self._code = code
            self._texts.append(text)
            self._size = len(line)
            return separator != b"-"
        self._size += len(line) + 1
        if self._size > self._max_reply:
            self._broken = f"a reply is longer than {self._max_reply} bytes"
            return False
        ours = code == self._code
        self._texts.append(text if ours and separator in (b"", b" ", b"-") else line)
        return ours and separator in (b"", b" ")


def format_reply(code: int, text: str | Sequence[str], encoding: str = "utf-8") -> bytes:
    if not 100 <= code <= 659:
        raise ValueError(f"{code} is not a reply code")
    texts = [text] if isinstance(text, str) else list(text)
    if not texts:
        raise ValueError("a reply needs at least one line")
    lines = [f" {line}" for line in texts]
    lines[0] = f"{code}-{texts[0]}"
    lines[-1] = f"{code} {texts[-1]}"
    clean = "\r\n".join(_CONTROL.sub("?", line) for line in lines) + "\r\n"
    return clean.encode(encoding, "surrogateescape").replace(b"\xff", b"\xff\xff")


def quote_path(path: str) -> str:
    doubled = path.replace('"', '""')
    return f'"{doubled}"'


def format_command(verb: str, argument: str = "", encoding: str = "utf-8") -> bytes:
    line = f"{verb} {argument}" if argument else verb
    for character, name in ("\r", "CR"), ("\n", "LF"), ("\0", "NUL"):
        if character in line:
            raise ValueError(f"{name} in command {line!r}")
    encoded = line.encode(encoding, "surrogateescape")
    if not _VERB.fullmatch(encoded.partition(b" ")[0]):
        raise ValueError(f"{verb!r} is not a command")
    return encoded.replace(b"\xff", b"\xff\xff") + b"\r\n"
