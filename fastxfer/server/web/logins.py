"""From the credentials of a request to an account: HTTP Basic, the cookie of the file manager, or a guest."""

from __future__ import annotations

import base64
import binascii
import json
import os
import time
from collections import OrderedDict
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web
from cryptography.fernet import Fernet, InvalidToken

from fastxfer.server.guard import LoginRefusedError
from fastxfer.server.users import Credentials, User
from fastxfer.server.web.errors import ApiError
from fastxfer.server.web.origin import SCRIPT_HEADER

if TYPE_CHECKING:
    from fastxfer.server.account import Account
    from fastxfer.server.service import Service
    from fastxfer.server.web.context import Caller
    from fastxfer.server.web.peer import Peer

__all__ = ["Admission", "Logins", "unauthorized"]

REALM = "FTP Server"
REMEMBER = 60.0
"""Seconds for which credentials that were right need not be judged again: hashing takes long, by design."""
MAX_REMEMBERED = 4096
MAX_CREDENTIALS = 4096
"""Longest Authorization header or cookie that is looked at, characters."""


class Admission(NamedTuple):
    """Somebody who was let in."""

    account: Account
    guest: bool
    """Whether that is nobody in particular."""
    until: float
    """When to judge anew, :func:`time.monotonic`."""


class Logins:
    """Finds out who sends a request.

    The cookie holds the credentials, encrypted with a key that only this server has, so that no table of sessions is
    needed, several processes can serve one user, and a changed password ends every session.

    Args:
        service: judges credentials; delays and bans are its own, shared with FTP.
        lifetime: seconds that a cookie is good for.
        secret: several processes that share users' cookies need the same; empty for a random one.
    """

    def __init__(self, service: Service, lifetime: float, secret: str = "") -> None:
        self._service = service
        self._lifetime = int(lifetime)
        key = sha256(b"fastxfer web session\0" + secret.encode()).digest() if secret else os.urandom(32)
        self._cipher = Fernet(base64.urlsafe_b64encode(key))
        self._digest_key = os.urandom(32)
        self._known: OrderedDict[bytes, tuple[float, User | None]] = OrderedDict()

    async def account(self, request: web.Request, caller: Caller) -> Admission:
        """The account that *request* acts for.

        Raises:
            ApiError: 401 when there are no credentials or wrong ones.
        """
        shown = _basic(request)
        if shown is not None:
            return await self._judge(shown, caller, request)
        remembered = self._from_cookie(request, caller.peer)
        if remembered is not None:
            try:
                return await self._judge(remembered, caller, request)
            except ApiError as error:
                # No longer right: shown again and again it would look like an attack.
                error.headers["Set-Cookie"] = f"{_cookie_name(caller.peer)}=; Max-Age=0; Path=/; HttpOnly"
                raise
        guest, until = await self._guest(caller.peer)
        if guest is None:
            raise unauthorized(request)
        return Admission(self._service.account(guest, caller.peer.host_name), guest=True, until=until)

    async def log_in(self, request: web.Request, name: str, password: str, caller: Caller) -> tuple[Account, str]:
        """Judge what a user typed in; the account, and the cookie's value.

        Raises:
            ApiError: 401 for wrong credentials, 400 for too long ones.
        """
        account = (await self._judge((name, password), caller, request)).account
        token = self._cipher.encrypt(json.dumps([name, password]).encode()).decode("ascii")
        if len(token) > MAX_CREDENTIALS - 100:
            raise ApiError(400, "The name or the password is too long")
        return account, token

    def set_cookie(self, response: web.Response, token: str, peer: Peer) -> None:
        """Have the browser keep *token*; it is sent to this server only, and never on behalf of other sites."""
        response.set_cookie(
            _cookie_name(peer),
            token,
            max_age=self._lifetime,
            path="/",
            secure=peer.tls,
            httponly=True,
            samesite="Strict",
        )

    def clear_cookie(self, response: web.Response, peer: Peer) -> None:
        """Have the browser forget it."""
        response.set_cookie(
            _cookie_name(peer), "", max_age=0, path="/", secure=peer.tls, httponly=True, samesite="Strict"
        )

    def _from_cookie(self, request: web.Request, peer: Peer) -> tuple[str, str] | None:
        token = request.cookies.get(_cookie_name(peer), "")
        if not token or len(token) > MAX_CREDENTIALS:
            return None
        try:
            name, password = json.loads(self._cipher.decrypt(token.encode(), ttl=self._lifetime))
        except (InvalidToken, ValueError):
            return None
        return name, password

    async def _judge(self, shown: tuple[str, str], caller: Caller, request: web.Request) -> Admission:
        name, password = shown
        peer = caller.peer
        credentials = Credentials(
            name=name,
            password=password,
            address=peer.address,
            tls=peer.tls,
            certificate=_certificate(request),
            host=peer.host_name,
            protocol="http",
        )
        key = self._key(credentials)
        known = self._known.get(key)
        if known is not None and known[0] > time.monotonic() and not self._service.guard.banned(peer.address):
            until, user = known
            if user is not None:
                return Admission(self._service.account(user, peer.host_name), guest=False, until=until)
        try:
            account = await self._service.authenticate(credentials, caller.session)
        except LoginRefusedError as error:
            raise unauthorized(request) from error
        return Admission(account, guest=False, until=self._remember(key, account.user))

    async def _guest(self, peer: Peer) -> tuple[User | None, float]:
        """The user for those without credentials, if the server has one, and until when."""
        credentials = Credentials(
            name="anonymous",
            password="guest@",
            address=peer.address,
            tls=peer.tls,
            host=peer.host_name,
            protocol="http",
        )
        key = self._key(credentials)
        known = self._known.get(key)
        if known is not None and known[0] > time.monotonic():
            return known[1], known[0]
        # Not through the service: having no password is no failed login.
        user = await self._service.authenticator.authenticate(credentials)
        allowed = (
            user is not None
            and user.enabled
            and user.may_come_from(peer.address)
            and (peer.tls or not user.require_tls)
            and not self._service.guard.banned(peer.address)
        )
        user = user if allowed else None
        return user, self._remember(key, user)

    def _key(self, credentials: Credentials) -> bytes:
        parts = [
            credentials.name,
            credentials.password,
            credentials.address,
            credentials.host,
            str(credentials.tls),
            repr(credentials.certificate),
        ]
        return blake2b(json.dumps(parts).encode(), key=self._digest_key, digest_size=32).digest()

    def _remember(self, key: bytes, user: User | None) -> float:
        until = time.monotonic() + REMEMBER
        self._known[key] = (until, user)
        self._known.move_to_end(key)
        while len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return until


def _basic(request: web.Request) -> tuple[str, str] | None:
    """Name and password of HTTP Basic (RFC 7617)."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic" or len(header) > MAX_CREDENTIALS:
        raise unauthorized(request)
    try:
        name, colon, password = base64.b64decode(text.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise unauthorized(request) from None
    if not colon or "\0" in name + password:
        raise unauthorized(request)
    return name, password


def _certificate(request: web.Request) -> dict[str, object] | None:
    transport = request.transport
    return transport.get_extra_info("peercert") or None if transport is not None else None


def unauthorized(request: web.Request) -> ApiError:
    """What is told to a client that must show a name and a password, or other ones."""
    # A page that shows its own form does not want the browser's dialog.
    headers = (
        {} if SCRIPT_HEADER in request.headers else {"WWW-Authenticate": f'Basic realm="{REALM}", charset="UTF-8"'}
    )
    return ApiError(401, "A valid name and password are needed", headers)


def _cookie_name(peer: Peer) -> str:
    # Cookies do not know ports, but several servers of one host must not take each other's away.
    name = f"fastxfer-{peer.host_port}" if peer.host_port else "fastxfer"
    # Browsers accept the prefix only with Secure, and then from nobody else.
    return f"__Host-{name}" if peer.tls else name
