"""The client underneath, set up as this API's settings say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from fastxfer.ftp import AsyncClient, ClientConfig, RetryPolicy, TimedOutError, Timeouts, TLSSettings, TransferResult
from fastxfer.ftp import Limits as ClientLimits
from fastxfer.ftppy.auth import Auth, Basic, Guest
from fastxfer.ftppy.config import Limits, Retry, Timeout
from fastxfer.ftppy.endpoint import Endpoint
from fastxfer.ftppy.hooks import Hooks
from fastxfer.ftppy.settings import SSL

__all__ = ["Connection", "make_connection"]

T = TypeVar("T")


class Connection(AsyncClient):
    """A client whose transfers have a time limit as a whole, if *total* (seconds) is given."""

    total: float | None = None

    async def upload(self, *arguments: Any, **options: Any) -> TransferResult:
        """As :meth:`AsyncClient.upload`, within the time limit."""
        return await self.within(super().upload(*arguments, **options))

    async def download(self, *arguments: Any, **options: Any) -> TransferResult:
        """As :meth:`AsyncClient.download`, within the time limit."""
        return await self.within(super().download(*arguments, **options))

    async def within(self, operation: Awaitable[T]) -> T:
        """What *operation* gives.

        Raises:
            TimedOutError: it took longer than the time limit.
        """
        if self.total is None:
            return await operation
        try:
            return await asyncio.wait_for(operation, self.total)
        except asyncio.TimeoutError as error:
            if isinstance(error, TimedOutError):
                raise
            raise TimedOutError(f"not done within {self.total:g} seconds") from None


def make_connection(
    where: Endpoint,
    auth: Auth | None,
    limits: Limits,
    retry: Retry,
    timeout: Timeout,
    ssl: SSL | None,
    hooks: Hooks,
    *,
    passive: bool,
    encoding: str,
) -> Connection:
    """A client for *where*, not yet connected."""
    connections = min(limits.connections, limits.host)
    config = ClientConfig(
        tls=where.tls,
        tls_settings=TLSSettings() if ssl is None else ssl.client_settings(),
        passive=passive,
        encoding=encoding,
        timeouts=Timeouts(
            connect=timeout.connect,
            reply=timeout.read,
            data=timeout.read,
            send=timeout.write,
            total=timeout.total,
            lease=timeout.total,
        ),
        limits=ClientLimits(connections=connections, idle=min(limits.keepalive, connections)),
        retry=RetryPolicy(
            attempts=retry.total + 1,
            first_delay=retry.backoff,
            max_delay=max(retry.backoff * 2.0**retry.total, retry.backoff),
        ),
        retry_codes=frozenset(retry.status),
    )

    async def before_upload(source: object, target: str) -> None:
        await hooks.call("upload", source, target)

    async def before_download(source: str, target: object) -> None:
        await hooks.call("download", source, target)

    connection: Connection = Connection(
        where.text,
        user=_user(auth),
        password=_password(auth),
        config=config,
        hooks={"upload": before_upload, "download": before_download},
    )
    connection.total = timeout.total
    return connection


def _user(auth: Auth | None) -> str | None:
    if isinstance(auth, Basic):
        return auth.user
    return "anonymous" if isinstance(auth, Guest) else None


def _password(auth: Auth | None) -> str | None:
    if isinstance(auth, Basic):
        return auth.password
    return auth.key if isinstance(auth, Guest) else None
