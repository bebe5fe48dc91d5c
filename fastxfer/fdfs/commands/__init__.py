"""The requests of the protocol and the meaning of their replies, without I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["REPLY_LIMIT", "Command", "as_it_is", "nothing"]

T = TypeVar("T")

REPLY_LIMIT = 1 << 20
"""No reply to a request without file data is longer: 512 groups of 113 bytes, or 32 servers of 517."""


@dataclass(slots=True)
class Command(Generic[T]):
    """A request and how to read its reply.

    Attributes:
        code: the command.
        request: header and body, as sent.
        decode: from the body of a reply of status 0 to its meaning; ValueError where it is none.
    """

    code: int
    request: bytes
    decode: Callable[[bytes], T]


def as_it_is(body: bytes) -> bytes:
    """For replies whose bytes are what was asked for."""
    return body


def nothing(body: bytes) -> None:
    """For replies that carry nothing. Some servers send the request's body back: it is ignored."""
