"""What a server wants done with its connection after it has seen a request. No I/O here."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fastxfer.fdfs.node.statuses import OK

HEADER = struct.Struct(">qBB")
REPLY_COMMAND = 100


@dataclass(slots=True)
class Request:
    """A request as far as it was read: all of it, or the first ``buffer_size`` bytes of a larger one."""

    command: int
    flags: int
    length: int
    """Length of the whole body, bytes."""
    body: bytes
    """The part of the body that has been read."""
    peer: str
    """Address the request came from."""

    @property
    def whole(self) -> bool:
        return len(self.body) == self.length


@dataclass(slots=True)
class Reply:
    """Send a header and a body."""

    status: int = OK
    body: bytes = b""

    def encode(self) -> bytes:
        return HEADER.pack(len(self.body), REPLY_COMMAND, self.status) + self.body


@dataclass(slots=True)
class SendFile:
    """Send a header and *count* bytes of a file from *offset*, then close the file."""

    fd: int
    offset: int
    count: int


@dataclass(slots=True)
class ReceiveFile:
    """Take the rest of the body into a file; the first ``head_size`` bytes of the body are not part of it.

    *finish* is called with the CRC-32 when the last byte has been written and makes the reply; *abort* is called
    instead where that does not come to pass. Both close the file.
    """

    fd: int
    head_size: int
    finish: Callable[[int], Reply]
    abort: Callable[[], None]


@dataclass(slots=True)
class Close:
    """Close the connection without a reply."""


Action = Reply | SendFile | ReceiveFile | Close


class Service(Protocol):
    """A server behind a listening socket."""

    name: str
    buffer_size: int
    closes_on_einval: bool
    """Whether a bodyless reply with status EINVAL is the connection's last."""
    pipelines: bool
    """Whether requests written in one go are all answered."""
    parses_refused_body: bool
    """Whether the unread rest of a refused request is taken for new requests; else the connection is closed."""
    length_bits: int
    """Bits of the length field that are looked at."""

    def handle(self, request: Request) -> Action:
        """Decide; Refused and OSError become replies."""

    def opened(self) -> None:
        """A connection was accepted."""

    def closed(self) -> None:
        """A connection is gone."""
