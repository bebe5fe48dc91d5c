"""The entry point: one set of settings, from which clients and servers are made."""

from __future__ import annotations

import os
from collections.abc import Mapping

from fastxfer.ftppy.auth import Auth
from fastxfer.ftppy.client import FtpClient
from fastxfer.ftppy.config import Limits, Retry, Timeout
from fastxfer.ftppy.endpoint import read_endpoint
from fastxfer.ftppy.hooks import Hook
from fastxfer.ftppy.server import FtpServer
from fastxfer.ftppy.settings import SSL

__all__ = ["FtpPy"]


class FtpPy:
    """Makes clients and servers for one endpoint.

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
        TypeError: *endpoint* is no string.
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
        where = read_endpoint(endpoint)
        if auth is not None and not isinstance(auth, Auth):
            raise ValueError(f"auth must be Basic, Guest or None, not {type(auth).__name__}")
        self.endpoint = endpoint
        self.host = where.host
        self.port = where.port
        self.secure = where.secure
        self.auth = auth
        self.limits = limits or Limits()
        self.retry = retry or Retry()
        self.timeout = timeout or Timeout()
        self.ssl = ssl
        self.hooks = dict(hooks or {})
        self.passive = passive
        self.encoding = encoding

    def client(self) -> FtpClient:
        """A client: ``async with ftp.client() as client``."""
        return FtpClient(
            self.endpoint,
            auth=self.auth,
            limits=self.limits,
            retry=self.retry,
            timeout=self.timeout,
            ssl=self.ssl,
            hooks=self.hooks,
            passive=self.passive,
            encoding=self.encoding,
        )

    def server(self, path: str | os.PathLike[str] | None = None) -> FtpServer:
        """A server: ``async with ftp.server() as server``.

        Args:
            path: the directory that is served; see :class:`FtpServer` for what is served without one.
        """
        return FtpServer(
            self.endpoint,
            auth=self.auth,
            limits=self.limits,
            retry=self.retry,
            timeout=self.timeout,
            ssl=self.ssl,
            hooks=self.hooks,
            passive=self.passive,
            encoding=self.encoding,
            path=path,
        )

    def __repr__(self) -> str:
        return f"<FtpPy {self.host}:{self.port} secure={self.secure}>"
