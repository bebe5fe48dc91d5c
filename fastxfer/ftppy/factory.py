"""The entry point: one set of settings, from which clients and servers are made."""

from __future__ import annotations

import os

from fastxfer.ftppy.client import FtpClient
from fastxfer.ftppy.configured import Configured
from fastxfer.ftppy.server import FtpServer

__all__ = ["FtpPy"]


class FtpPy(Configured):
    """Makes clients and servers for one endpoint; the arguments are those of :class:`Configured`."""

    def client(self) -> FtpClient:
        """A client: ``async with ftp.client() as client``."""
        return FtpClient(**self._settings())

    def server(self, path: str | os.PathLike[str] | None = None) -> FtpServer:
        """A server: ``async with ftp.server() as server``.

        Args:
            path: the directory that is served; see :class:`FtpServer` for what is served without one.
        """
        return FtpServer(**self._settings(), path=path)
