"""A user's own servers as the place of a benchmark."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from fastxfer.bench._fdfs import fdfs_async, fdfs_sync, source_file
from fastxfer.bench._ftp import file_names, ftp_async, ftp_config, ftp_sync, ftp_url, source_folder, target_folder
from fastxfer.bench._measure import Meter
from fastxfer.bench._work import Work
from fastxfer.net.address import parse_address, split_url

DEFAULT_PORTS = {"fdfs": 22122, "ftp": 21, "ftpes": 21, "ftps": 990}


class Target:
    """Where a benchmark runs.

    Args:
        url: ``fdfs://tracker[:port][,tracker[:port]]``, or
            ``ftp://``, ``ftpes://`` or ``ftps://[user[:password]@]host[:port][/directory]``.
        ca_file: certificate authorities for ``ftpes`` and ``ftps``, PEM; empty for the system's.
        user: who logs in to an FTP server; overrules the URL. Nobody named: the anonymous account.
        password: their password.

    Raises:
        ValueError: for a URL of another kind.
    """

    def __init__(self, url: str, ca_file: str = "", *, user: str | None = None, password: str | None = None) -> None:
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in DEFAULT_PORTS or not rest.strip("/"):
            raise ValueError(f"{url!r} is not fdfs://TRACKER, ftp://HOST, ftpes://HOST or ftps://HOST")
        self.scheme = scheme
        self.directory = ""
        if scheme == "fdfs":
            trackers = [parse_address(part, DEFAULT_PORTS["fdfs"]) for part in rest.strip("/").split(",")]
            self.server: dict[str, Any] = {"tracker": ",".join(map(str, trackers))}
            self.operations: tuple[str, ...] = ("upload", "download", "info", "delete")
        else:
            self.server, self.directory = _ftp_server(url, ca_file, user, password)
            self.operations = ("upload", "download")

    def run(self, work: Work, client: str, meter: Meter) -> None:
        """Do *work* with the blocking client (*client* is ``"sync"``) or the asyncio one; nothing is left behind."""
        work = replace(work, server=self.server)
        if self.scheme == "fdfs":
            (fdfs_sync if client == "sync" else fdfs_async)(work, meter)
            return
        with _remote_folder(work, self.directory) as prepared:
            (ftp_sync if client == "sync" else ftp_async)(prepared, meter)


def _ftp_server(url: str, ca_file: str, user: str | None, password: str | None) -> tuple[dict[str, Any], str]:
    parts, path = split_url(url)
    if not parts.hostname:
        raise ValueError(f"{url!r} names no host")
    server = {
        "host": parts.hostname,
        "port": parts.port or DEFAULT_PORTS[parts.scheme],
        "user": user or unquote(parts.username or "") or "anonymous",
        "password": password or unquote(parts.password or "") or "anonymous@",
        "scheme": parts.scheme,
        "tls": parts.scheme != "ftp",
        "ca": ca_file,
    }
    return server, unquote(path).rstrip("/")


@contextmanager
def _remote_folder(work: Work, directory: str) -> Iterator[Work]:
    """A directory of our own on the server with the files that are downloaded; removed in the end."""
    from fastxfer.ftp import Client

    work = replace(work, remote=f"{directory}/fastxfer-bench-{uuid.uuid4().hex[:12]}")
    with Client(ftp_url(work), password=work.server["password"], config=ftp_config(work)) as client:
        client.mkdir(target_folder(work), parents=True)
        try:
            if "download" in work.ops:
                client.mkdir(source_folder(work, "download"), parents=True)
                path = source_file(work)
                for name in file_names(work, "download"):
                    client.upload(path, f"{source_folder(work, 'download')}/{name}")
            yield work
        finally:
            client.remove_tree(work.remote)
