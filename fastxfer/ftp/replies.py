"""Replies of a server (RFC 959, section 4.2), in the order in which they come."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from fastxfer.core.ftpwire import MalformedReply, ReplyReader

__all__ = ["Reply", "ReplyQueue"]

_MOST_WAITING = 1000


class Reply(NamedTuple):
    """One reply: its code, and its lines without code and line ends."""

    code: int
    lines: list[str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def preliminary(self) -> bool:
        """1xx: another reply will follow."""
        return self.code < 200

    @property
    def positive(self) -> bool:
        """2xx: done."""
        return 200 <= self.code < 300


class ReplyQueue:
    """Feed it what the control connection receives; take whole replies out.

    Args:
        encoding: of the text; what is not valid in it becomes lone surrogates (PEP 383).
    """

    def __init__(self, encoding: str) -> None:
        self._reader = ReplyReader(encoding=encoding)
        self._replies: deque[Reply] = deque()

    @property
    def empty(self) -> bool:
        """Nothing was fed that has not been taken out."""
        return not self._replies and not self._reader.pending

    def feed(self, data: bytes) -> None:
        """Take bytes in. ValueError where they can not be replies, or are more than any replies should be."""
        try:
            found = self._reader.feed(data)
        except MalformedReply as error:
            self._replies.extend(Reply(code, lines) for code, lines in error.replies)
            raise
        for code, lines in found:
            self._replies.append(Reply(code, lines))
        if len(self._replies) > _MOST_WAITING:
            raise MalformedReply("more replies than commands")

    def take(self) -> Reply | None:
        """The next whole reply, or None."""
        return self._replies.popleft() if self._replies else None
