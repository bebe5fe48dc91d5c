"""The settings that factory, client and server have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastxfer.ftppy.auth import Auth
from fastxfer.ftppy.config import Limits, Retry, Timeout
from fastxfer.ftppy.endpoint import read_endpoint
from fastxfer.ftppy.hooks import Hook, Hooks
from fastxfer.ftppy.settings import SSL

__all__ = ["Configured"]


class Configured:
    """Something with an endpoint and settings.

    Args:
        endpoint: ``ftp://host[:port]`` or ``ftps://host[:port]`` (TLS from the first byte; on port 21, and as
            ``ftpes://`` on any, AUTH TLS).
        auth: who logs in; nobody named: the anonymous account.
        limits: connections.
        retry: what is tried again.
        timeout: how long things may take.
        ssl: TLS settings.
        hooks: functions by event: ``connect(connection)``, ``error(error)``, ``upload(source, target)``,
            ``download(source, target)``; on a server ``start(server)``, ``stop(server)``, ``connect(info)``,
            ``error(error)``, ``request(request, response, duration)``.
        passive: the client opens the data connections; else the server does.
        encoding: of names.

    Raises:
        TypeError: *endpoint* is no string, or a hook no function.
        ValueError: *endpoint* or *auth* makes no sense.
    """

    def __init__(
        self,
        endpoint: str,
        auth: Auth | None = None,
        limits: Limits | None = None,
        retry: Retry | None = None,
        timeout: Timeout | None = None,
        ssl: SSL | None = None,
        hooks: Mapping[str, Hook] | None = None,
        passive: bool = True,
        encoding: str = "utf-8",
    ) -> None:
        self._where = read_endpoint(endpoint)
        if auth is not None and not isinstance(auth, Auth):
            raise ValueError(f"auth must be Basic, Guest or None, not {type(auth).__name__}")
        self.endpoint = endpoint
        self.host = self._where.host
        self.port = self._where.port
        self.secure = self._where.secure
        self.auth = auth
        self.limits = limits or Limits()
        self.retry = retry or Retry()
        self.timeout = timeout or Timeout()
        self.ssl = ssl
        self.hooks = dict(hooks or {})
        self.passive = passive
        self.encoding = encoding
        self._hooks = Hooks(hooks)

    def _settings(self) -> dict[str, Any]:
        """The arguments that make another one with the same settings."""
        names = ("endpoint", "auth", "limits", "retry", "timeout", "ssl", "hooks", "passive", "encoding")
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.host}:{self.port} secure={self.secure}>"
