"""Who may log in: users, credentials, and the interface that judges them."""

from __future__ import annotations

import hmac
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from fastxfer.server.filesystem import Filesystem
from fastxfer.server.networks import Networks
from fastxfer.server.permissions import Permissions

__all__ = ["Anonymous", "Authenticator", "Chain", "Credentials", "User", "UserTable", "may_welcome"]


@dataclass(frozen=True, kw_only=True)
class User:
    """One who may log in, and what is granted to him.

    Args:
        name: login name.
        root: directory of the server's tree that the user sees as ``/``; nothing leads out of it.
        home: working directory after login, as the user sees it.
        permissions: what is allowed where, by paths as the user sees them.
        filesystem: the user's own filesystem instead of the server's.
        max_sessions: sessions at the same time; 0 for no limit of the user's own.
        download_rate: bytes per second, all sessions of the user together; 0 for no limit.
        upload_rate: likewise, towards the server.
        quota_bytes: bytes that the files under *root* may take together; 0 for no limit.
        quota_files: how many files and directories may be there; 0 for no limit.
        networks: where the user may come from (``192.0.2.0/24``); empty for anywhere.
        require_tls: refuse this user on a plain control connection.
        enabled: False refuses every login.

    Raises:
        ValueError: one of *networks* is none.
    """

    name: str
    root: str = "/"
    home: str = "/"
    permissions: Permissions = field(default_factory=Permissions)
    filesystem: Filesystem | None = field(default=None, repr=False)
    max_sessions: int = 0
    download_rate: int = 0
    upload_rate: int = 0
    quota_bytes: int = 0
    quota_files: int = 0
    networks: Sequence[str] = ()
    require_tls: bool = False
    enabled: bool = True

    def __post_init__(self) -> None:
        # Who gave it should be told, not the one who logs in.
        Networks(self.networks)

    def may_come_from(self, address: str) -> bool:
        """Whether *address* lies in one of the user's networks."""
        return not self.networks or address in Networks(self.networks)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What a peer shows to be let in."""

    name: str
    password: str = field(default="", repr=False)
    address: str = ""
    """Address of the peer, without the port."""
    tls: bool = False
    certificate: Mapping[str, Any] | None = None
    """The verified client certificate as :meth:`ssl.SSLSocket.getpeercert` gives it."""
    host: str = ""
    """Virtual host asked for (RFC 7151 HOST, TLS server name or HTTP Host); empty if none."""
    protocol: str = "ftp"
    """``ftp`` or ``http``."""


class Authenticator(ABC):
    """Judges credentials. Must take as long for an unknown name as for a wrong password."""

    complete = False
    """Whether whom :meth:`recognize` does not know is unknown to :meth:`authenticate` too."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        for ancestor in cls.__mro__:
            if "recognize" in vars(ancestor):
                break
            if "authenticate" in vars(ancestor):
                # Whoever judges in a way of his own is to be asked that way.
                cls.recognize = Authenticator.recognize  # type: ignore[method-assign]
                cls.complete = False
                break

    @abstractmethod
    async def authenticate(self, credentials: Credentials) -> User | None:
        """The user that *credentials* belong to, or None to refuse."""

    def recognize(self, name: str, password: str) -> User | None:
        """The user whom these two alone make known, where that takes no waiting; None: ask :meth:`authenticate`.

        A shortcut, to say at once what :meth:`authenticate` would say.
        """
        return None

    def welcomes(self, credentials: Credentials) -> bool:
        """Whether the name needs no password (FTP then answers USER with 230)."""
        return False

    async def close(self) -> None:  # noqa: B027 - having nothing to give back is the ordinary case
        """Give back what is held. Idempotent."""


class UserTable(Authenticator):
    """Users given in code, with their passwords in clear; only a keyed hash of each is kept.

    >>> table = UserTable()
    >>> table.add(User(name="alice"), "wonderland")
    """

    complete = True

    def __init__(self, users: Iterable[tuple[User, str]] = ()) -> None:
        self._key = os.urandom(32)
        self._users: dict[str, tuple[User, bytes]] = {}
        self._nobody = os.urandom(32)
        for user, password in users:
            self.add(user, password)

    def add(self, user: User, password: str) -> None:
        """Add *user*, or replace the one of the same name."""
        self._users[user.name] = (user, self._digest(password))

    def remove(self, name: str) -> None:
        """Forget the user *name*; KeyError if there is none."""
        del self._users[name]

    def recognize(self, name: str, password: str) -> User | None:
        user, digest = self._users.get(name, (None, self._nobody))
        return user if hmac.compare_digest(digest, self._digest(password)) else None

    async def authenticate(self, credentials: Credentials) -> User | None:
        return UserTable.recognize(self, credentials.name, credentials.password)

    def _digest(self, password: str) -> bytes:
        return blake2b(password.encode("utf-8", "surrogateescape"), key=self._key, digest_size=32).digest()


class Anonymous(Authenticator):
    """Lets anyone in under a conventional name, whatever the password.

    Args:
        user: what the guests are granted; read-only if not given.
        names: the names that guests use.
    """

    complete = True

    def __init__(self, user: User | None = None, names: Iterable[str] = ("anonymous", "ftp")) -> None:
        self.user = user or User(name="anonymous", permissions=Permissions("read-only"))
        self._names = frozenset(names)

    def recognize(self, name: str, password: str) -> User | None:
        return self.user if name in self._names else None

    async def authenticate(self, credentials: Credentials) -> User | None:
        return Anonymous.recognize(self, credentials.name, credentials.password)


class Chain(Authenticator):
    """Asks several authenticators in turn; the first that knows the credentials decides."""

    def __init__(self, authenticators: Iterable[Authenticator]) -> None:
        self._authenticators = tuple(authenticators)
        if type(self).recognize is Chain.recognize:
            self.complete = all(authenticator.complete for authenticator in self._authenticators)
        self._welcoming = tuple(filter(may_welcome, self._authenticators))

    def recognize(self, name: str, password: str) -> User | None:
        for authenticator in self._authenticators:
            user = authenticator.recognize(name, password)
            if user is not None or not authenticator.complete:
                return user
        return None

    async def authenticate(self, credentials: Credentials) -> User | None:
        for authenticator in self._authenticators:
            user = await authenticator.authenticate(credentials)
            if user is not None:
                return user
        return None

    @property
    def welcoming(self) -> bool:
        """Whether :meth:`welcomes` is worth asking."""
        return bool(self._welcoming)

    def welcomes(self, credentials: Credentials) -> bool:
        return any(authenticator.welcomes(credentials) for authenticator in self._welcoming)

    async def close(self) -> None:
        for authenticator in self._authenticators:
            await authenticator.close()


def may_welcome(authenticator: Authenticator) -> bool:
    """Whether there can be a name that *authenticator* asks no password of."""
    if isinstance(authenticator, Chain) and type(authenticator).welcomes is Chain.welcomes:
        return authenticator.welcoming
    return type(authenticator).welcomes is not Authenticator.welcomes or "welcomes" in vars(authenticator)
