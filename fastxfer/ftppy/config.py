"""How much, how long, how often."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fastxfer.ftp.config import RETRY_CODES

__all__ = ["Limits", "Redirects", "Retry", "Timeout"]

POOL_SECONDS = 60.0


@dataclass(frozen=True)
class Limits:
    """Connections. They are opened when they are needed, never ahead.

    Args:
        connections: at the same time, in all.
        keepalive: of these, how many stay open while idle.
        host: at the same time to one host (or, for a server, from one address).

    Raises:
        ValueError: a limit is below one (*keepalive*: below zero).
    """

    connections: int = 50
    keepalive: int = 10
    host: int = 20

    def __post_init__(self) -> None:
        if self.connections < 1 or self.host < 1 or self.keepalive < 0:
            raise ValueError("connections and host must be at least 1, keepalive at least 0")


class Timeout:
    """Seconds.

    Args:
        connect: until a connection stands.
        read: without a byte or reply arriving.
        write: without a byte leaving.
        pool: for one operation with all its retries. Only when it is given does it end transfers that move: the
            default does not cut off a large file that takes longer.

    Raises:
        ValueError: a time is not above zero.
    """

    def __init__(
        self, connect: float = 5.0, read: float = 30.0, write: float = 10.0, pool: float | None = None
    ) -> None:
        if min(connect, read, write, POOL_SECONDS if pool is None else pool) <= 0:
            raise ValueError("timeouts must be above zero")
        self.connect = connect
        self.read = read
        self.write = write
        self.pool = POOL_SECONDS if pool is None else pool
        self.total = pool
        """As *pool*; None where it was not given."""

    def __repr__(self) -> str:
        return f"Timeout(connect={self.connect}, read={self.read}, write={self.write}, pool={self.pool})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timeout) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.connect, self.read, self.write, self.total))


class Retry:
    """What is tried again, after ``backoff * 2 ** attempt`` seconds.

    Connections that fail or break are always tried again, and transfers go on where they stopped.

    Args:
        total: attempts after the first.
        backoff: seconds before the first of them.
        status: FTP reply codes after which to try again; None for those that RFC 959 calls transient.

    Raises:
        ValueError: a negative number, or a status that is no reply code.
    """

    def __init__(self, total: int = 3, backoff: float = 1.0, status: Iterable[int] | None = None) -> None:
        if total < 0 or backoff < 0:
            raise ValueError("total and backoff must not be negative")
        self.total = total
        self.backoff = backoff
        self.status = sorted(RETRY_CODES) if status is None else list(status)
        if any(not 400 <= code <= 599 for code in self.status):
            raise ValueError("status must hold FTP reply codes from 400 to 599")

    def __repr__(self) -> str:
        return f"Retry(total={self.total}, backoff={self.backoff}, status={self.status})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Retry) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.total, self.backoff, tuple(self.status)))


@dataclass(frozen=True)
class Redirects:
    """Accepted for compatibility: FTP has no redirects.

    Args:
        limit: how many would be followed.
    """

    limit: int = 10
