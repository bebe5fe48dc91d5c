"""From a request to whoever sends it: judged anew, or known from the request before it on the same connection."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from aiohttp import web

from fastxfer.server.web.connection import Connection
from fastxfer.server.web.context import Caller, Shared, Visit
from fastxfer.server.web.peer import Proxies
from fastxfer.server.web.urlpath import query_values

__all__ = ["Regular", "begin_visit", "identify"]

_NOTHING: Mapping[str, list[str]] = MappingProxyType({})


@dataclass(frozen=True)
class Regular:
    """Who the last request of a connection came from."""

    authorization: str | None
    cookie: str | None
    caller: Caller
    until: float
    """When the credentials must be judged again, :func:`time.monotonic`."""
    visit: Visit
    """Without a query."""


def identify(connection: Connection, request: web.Request, proxies: Proxies) -> Caller:
    """Where *request* comes from; only of one that no proxy has sent it can be told by the request before."""
    host = request.headers.get("Host", "")
    known = connection.known_caller
    if known is not None and known[0] == host:
        return known[1]
    peer = proxies.peer(request)
    session = connection.session
    if peer.address != session.address or peer.tls != session.tls:
        session = replace(session, address=peer.address, port=peer.port, tls=peer.tls)
    caller = Caller(peer, session)
    if not proxies.trusts(connection.session.address):
        connection.known_caller = host, caller
    return caller


async def begin_visit(connection: Connection, request: web.Request, shared: Shared, caller: Caller) -> Visit:
    """Who sends *request* and what its query says. The hooks hear of what is done to the account.

    Raises:
        ApiError: 401 when there are no credentials or wrong ones.
        BadPathError: the query cannot be understood.
    """
    headers = request.headers
    authorization, cookie = headers.get("Authorization"), headers.get("Cookie")
    last = connection.regular
    if (
        last is not None
        and last.caller is caller
        and last.authorization == authorization
        and last.cookie == cookie
        and last.until > time.monotonic()
        and not shared.service.guard.banned(caller.peer.address)
    ):
        visit = last.visit
    else:
        account, guest, until = await shared.logins.account(request, caller)
        session = replace(caller.session, user=account.user.name)
        shared.service.watch(account, session)
        visit = Visit(shared, session, account, _NOTHING, guest)
        connection.regular = Regular(authorization, cookie, caller, until, visit)
    query = request.rel_url.raw_query_string
    return replace(visit, query=query_values(query)) if query else visit
