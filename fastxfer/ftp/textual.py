"""TYPE A: line ends on the network are CR LF (RFC 959, section 3.1.1.1), here they are the system's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["FromNetworkLines", "ToNetworkLines"]


class FromNetworkLines:
    """CR LF becomes *newline*; a lone CR or LF stays as it is."""

    def __init__(self, newline: bytes = os.linesep.encode()) -> None:
        self._newline = newline
        self._held = b""

    def update(self, data: Buffer, /) -> bytes:
        text = self._held + memoryview(data).tobytes()
        # Its LF may come with the next block.
        self._held = b"\r" if text.endswith(b"\r") else b""
        if self._held:
            text = text[:-1]
        return text if self._newline == b"\r\n" else text.replace(b"\r\n", self._newline)

    def finish(self) -> bytes:
        held, self._held = self._held, b""
        return held


class ToNetworkLines:
    """LF becomes CR LF; CR LF stays."""

    def __init__(self) -> None:
        self._after_cr = False

    def update(self, data: Buffer, /) -> bytes:
        text = memoryview(data).tobytes()
        if not text:
            return b""
        head = b""
        if self._after_cr and text.startswith(b"\n"):
            head, text = b"\n", text[1:]
        self._after_cr = text.endswith(b"\r") if text else False
        return head + text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

    def finish(self) -> bytes:
        return b""
