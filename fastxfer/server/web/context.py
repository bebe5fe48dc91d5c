"""What the handlers share, and what they know of the request in hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from fastxfer.server.web.connection import connection_of
from fastxfer.server.web.errors import ApiError
from fastxfer.server.web.pace import Paces
from fastxfer.server.web.turnstile import Turnstile
from fastxfer.server.web.urlpath import decode_path

if TYPE_CHECKING:
    from fastxfer.net.aio import TransferRunner
    from fastxfer.server.account import Account
    from fastxfer.server.hooks import SessionInfo
    from fastxfer.server.service import Service
    from fastxfer.server.web.logins import Logins
    from fastxfer.server.web.peer import Peer

__all__ = [
    "SHARED",
    "Caller",
    "RequestListener",
    "Shared",
    "Visit",
    "caller_of",
    "file_path",
    "raw_file_path",
    "visit_of",
]

RequestListener = Callable[[web.Request, web.StreamResponse, float], Awaitable[None]]
"""Called after each request with the request, its response and the seconds it took."""

_TRUE = frozenset({"", "1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


@dataclass(kw_only=True)
class Shared:
    """One for the whole interface."""

    service: Service
    runner: TransferRunner
    logins: Logins
    ports: dict[str, int]
    conditional: Turnstile
    """Passed by changes that are not to be made in every state of the file."""
    paces: Paces = field(default_factory=Paces)
    on_request: RequestListener | None = None
    active: int = 0
    """Requests under way."""
    drained: asyncio.Event | None = None
    """Set when the last request has ended, once the interface is being stopped."""


SHARED: web.AppKey[Shared] = web.AppKey("shared", Shared)


@dataclass(frozen=True)
class Caller:
    """Where a request comes from."""

    peer: Peer
    session: SessionInfo


@dataclass(frozen=True)
class Visit:
    """One request, once it is known who sends it."""

    shared: Shared
    session: SessionInfo
    account: Account
    query: Mapping[str, list[str]]
    guest: bool
    """Nobody in particular: the request came without credentials."""

    def value(self, name: str, default: str = "") -> str:
        """The last value of *name* in the query."""
        return self.query[name][-1] if name in self.query else default

    def flag(self, name: str) -> bool:
        """Whether *name* is in the query and not switched off.

        Raises:
            ApiError: 400 for a value that is neither yes nor no.
        """
        if name not in self.query:
            return False
        value = self.value(name).lower()
        if value not in _TRUE | _FALSE:
            raise ApiError(400, f"{name} must be true or false")
        return value in _TRUE

    def number(self, name: str, default: int) -> int:
        """The whole number *name* of the query, at least 0.

        Raises:
            ApiError: 400 if it is something else.
        """
        text = self.value(name, str(default))
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise ApiError(400, f"{name} must be a whole number")
        return int(text)


def caller_of(request: web.Request) -> Caller:
    """Where *request* comes from."""
    caller = connection_of(request).caller
    assert caller is not None
    return caller


def visit_of(request: web.Request) -> Visit:
    """Who sends *request*, and what it asks for."""
    visit = connection_of(request).visit
    assert visit is not None
    return visit


def raw_file_path(request: web.Request) -> str:
    """What follows ``/files`` in the URL, still percent-encoded."""
    return request.rel_url.raw_path.lstrip("/").partition("/")[2]


def file_path(request: web.Request) -> str:
    """The virtual path that the URL names."""
    return decode_path(raw_file_path(request))
