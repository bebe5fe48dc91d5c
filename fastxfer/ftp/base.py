"""What all operations of a client share: the pool, retries, paths, hooks."""

from __future__ import annotations

import inspect
import logging
import posixpath
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, TypeVar

from fastxfer.ftp.commands import check_path
from fastxfer.ftp.config import ClientConfig, Credentials, parse_url
from fastxfer.ftp.driver import Driver
from fastxfer.ftp.errors import (
    ClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    FTPError,
    InvalidArgumentError,
    LocalFileError,
    LoginError,
    ProtocolError,
    ReplyError,
    ServiceUnavailableError,
    TimedOutError,
    TLSFailedError,
    TruncatedError,
)
from fastxfer.ftp.moving import Rates
from fastxfer.ftp.pool import Link, SessionPool
from fastxfer.ftp.profile import ServerProfile
from fastxfer.ftp.session import Session

__all__ = ["HEADWAY", "HOOKS", "ClientBase", "RemotePath"]

T = TypeVar("T")
RemotePath = str | PurePath

log = logging.getLogger("fastxfer.ftp")

HEADWAY = 4096
"""Bytes by which an attempt must have got further for the count of failures to begin again: whoever gets on is not
failing, but a server that gives a byte a time must not keep a client for ever."""


@dataclass
class _State:
    """What clients that share their connections have in common, and changes.

    Attributes:
        directory: the working directory, where it is not the one of the login.
        context: for TLS; a session is resumed only within one context.
        pool: the connections; None before the first was opened.
        transfers: files moved.
        retries: attempts that were not the first.
    """

    directory: str | None = None
    context: ssl.SSLContext | None = None
    pool: SessionPool | None = None
    transfers: int = 0
    retries: int = 0


HOOKS = frozenset({"connect", "upload", "download", "retry", "error"})


class ClientBase:
    """State and habits that the operations build on. Not used by itself.

    Args:
        url: ``ftp://[user[:password]@]host[:port][/directory]``; ``ftps`` is implicit, ``ftpes`` explicit TLS.
        user: who logs in; overrules the URL. Nobody named: the anonymous account.
        password: their password.
        account: their account, for servers that ask for one.
        config: settings.
        hooks: functions, or coroutine functions for AsyncClient, called on events: ``connect(server, banner)``,
            ``upload(source, path)`` and ``download(path, target)`` before a transfer, ``retry(error, attempt,
            seconds)``, ``error(error)`` before an operation's error is raised. What they raise, the operation raises.
        options: attributes of :class:`ClientConfig`, and of its timeouts and limits, to be set otherwise.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        account: str = "",
        config: ClientConfig | None = None,
        hooks: Mapping[str, Callable[..., object]] | None = None,
        **options: Any,
    ) -> None:
        self._config = (config or ClientConfig()).with_options(options)
        endpoint = parse_url(url, self._config.tls)
        self._address = endpoint.address
        self._tls = endpoint.tls
        name = user if user is not None else endpoint.user
        secret = password if password is not None else endpoint.password
        for value in (name, secret, account):
            if value is not None and any(character in value for character in "\r\n\0"):
                raise InvalidArgumentError("CR, LF and NUL can not stand in a user name or password")
        default = Credentials()
        self._credentials = Credentials(
            default.user if name is None else name,
            secret if secret is not None else (default.password if name in (None, default.user) else ""),
            account,
        )
        unknown = set(hooks or ()) - HOOKS
        if unknown:
            raise InvalidArgumentError(f"unknown hooks: {', '.join(sorted(unknown))}")
        self._hooks = dict(hooks or {})
        self._profile = ServerProfile()
        self._rates = Rates.of(self._config.limits)
        self._state = _State(endpoint.path if len(endpoint.path) > 1 else None)
        self._driver_in_use: Driver | None = None

    def _share(self, other: ClientBase) -> None:
        """Use the connections of *other*, a client of the same server and settings, and all that it learns."""
        self._profile, self._rates, self._state = other._profile, other._rates, other._state

    # State

    @property
    def config(self) -> ClientConfig:
        """The settings in force."""
        return self._config

    @property
    def host(self) -> str:
        return self._address.host

    @property
    def port(self) -> int:
        return self._address.port

    @property
    def secure(self) -> bool:
        """The control connection is encrypted."""
        return self._tls != "none"

    @property
    def features(self) -> dict[str, str]:
        """What the server said to FEAT: names in capitals to parameters. Empty before the first connection."""
        return dict(self._profile.features)

    @property
    def server_kind(self) -> str:
        """Which server it is, as far as its greeting tells: ``"vsftpd"``, ``"pure-ftpd"`` …, or ""."""
        return self._profile.kind

    def stats(self) -> dict[str, object]:
        """Where the client is connected to, and what it has open and done."""
        pool = self._state.pool
        return {
            "host": self.host,
            "port": self.port,
            "secure": self.secure,
            "passive": self._config.passive,
            "encoding": self._config.encoding,
            "connected": pool is not None and pool.open > 0,
            "connections": 0 if pool is None else pool.open,
            "active": 0 if pool is None else pool.active,
            "transfers": self._state.transfers,
            "retries": self._state.retries,
            "server": self._profile.kind,
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._credentials.user}@{self._address} tls={self._tls}>"

    # Opening and closing

    @property
    def _driver(self) -> Driver:
        if self._driver_in_use is None:
            raise ClosedError("the client is not open: use it in a with block, or call connect()")
        return self._driver_in_use

    @property
    def _pool(self) -> SessionPool:
        pool = self._state.pool
        if pool is None:
            raise ClosedError("the client is not open: use it in a with block, or call connect()")
        return pool

    def _start(self, driver: Driver) -> None:
        """Begin to work with *driver*."""
        if self._tls != "none" and self._state.context is None:
            try:
                self._state.context = self._config.tls_settings.client_context()
            except OSError as error:
                raise TLSFailedError(f"the TLS settings can not be used: {error}") from error
        self._driver_in_use = driver
        self._state.pool = SessionPool(self._config, self._new_session)

    def _new_session(self, driver: Driver) -> Session:
        return Session(
            driver,
            self._config,
            self._address,
            self._credentials,
            self._tls,
            self._state.context,
            self._profile,
        )

    async def _connect(self) -> None:
        """Open the first connection now, so that wrong addresses and passwords show at once."""

        async def nothing(link: Link) -> None:
            """Having been opened is all."""

        await self._run(nothing)
        await self._hook("connect", str(self._address), self._profile.banner)

    async def _disconnect(self) -> None:
        # The closed pool stays, for those who still have a connection of it to give back.
        if self._state.pool is not None and self._driver_in_use is not None:
            await self._state.pool.close(self._driver)

    # Operations

    async def _run(
        self, operation: Callable[[Link], Awaitable[T]], *, repeatable: bool = True, refusable: bool = True
    ) -> T:
        """Run *operation* on a session, again after failures that may pass.

        Args:
            operation: given a session of its own.
            repeatable: doing it twice is as good as once. Else it is tried again only where it can not have been done:
                before it began, and after a refusal.
            refusable: what the server refuses it has not done at all (RFC 959, section 4.2.1).
        """
        failures = 0
        end = self._deadline()
        while True:
            link: Link | None = None
            try:
                link = await self._pool.acquire(self._driver)
                result = await operation(link)
            except FTPError as error:
                stale = link is not None and not link.fresh and isinstance(error, ConnectionLostError)
                if link is not None:
                    self._pool.release(link)
                # One that died while idle costs nothing but another one.
                if stale and repeatable:
                    continue
                failures += 1
                undone = link is None or (refusable and isinstance(error, ReplyError))
                again = self._passing(error) and (repeatable or undone)
                if not again or not await self._pause(error, failures, end):
                    await self._hook("error", error)
                    raise
            except BaseException:
                if link is not None:
                    # Whether the order of replies is whole is not known.
                    self._pool.discard(link) if link.session.broken else self._pool.release(link)
                raise
            else:
                self._pool.release(link)
                return result

    def _deadline(self) -> float | None:
        total = self._config.timeouts.total
        return None if total is None else time.monotonic() + total

    def _passing(self, error: FTPError) -> bool:
        """Whether *error* is of the kind that may be gone the next time."""
        if isinstance(error, ReplyError):
            return isinstance(error, ServiceUnavailableError) or error.code in self._config.retry_codes
        if isinstance(error, (TLSFailedError, LoginError, LocalFileError, ClosedError)):
            return False
        return isinstance(error, (ConnectionFailedError, TimedOutError, ProtocolError, TruncatedError))

    async def _pause(self, error: FTPError, failures: int, end: float | None) -> bool:
        """Wait before the next attempt; False where there is none."""
        policy = self._config.retry
        if failures >= policy.attempts:
            return False
        delay = policy.delay(failures)
        if end is not None and time.monotonic() + delay >= end:
            return False
        log.info("attempt %d failed, next in %.2f s: %s", failures, delay, error)
        self._state.retries += 1
        await self._hook("retry", error, failures, delay)
        await self._driver.sleep(delay)
        return True

    async def _hook(self, event: str, *arguments: object) -> None:
        hook = self._hooks.get(event)
        if hook is not None:
            outcome = hook(*arguments)
            if inspect.isawaitable(outcome):
                await outcome

    # Paths

    def _path(self, path: RemotePath) -> str:
        """*path* as it is sent: from the client's working directory, and free of what may not be sent."""
        if isinstance(path, str):
            text = str(path)
        elif isinstance(path, PurePath):
            text = path.as_posix()
        else:
            # Its text would be a name all the same: None is one that servers take.
            raise InvalidArgumentError(f"a remote path must be a str or a pure path, not {type(path).__name__}")
        check_path(text)
        directory = self._state.directory
        if directory is None or text.startswith("/"):
            return text
        return posixpath.join(directory, text)
