"""A user's own servers as the place of a benchmark."""

from __future__ import annotations

import netrc
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from fastxfer.bench._fdfs import fdfs_async, fdfs_sync, source_file
from fastxfer.bench._ftp import file_names, ftp_async, ftp_config, ftp_sync, ftp_url, source_folder, target_folder
from fastxfer.bench._measure import Meter
from fastxfer.bench._work import Work

PASSWORD_VARIABLE = "FASTXFER_PASSWORD"
DEFAULT_PORTS = {"fdfs": 22122, "ftp": 21, "ftpes": 21}


class Target:
    """Where a benchmark runs.

    Args:
        url: ``fdfs://tracker[:port][,tracker[:port]]``, or ``ftp://`` or ``ftpes://[user@]host[:port][/directory]``.
            The password comes from the environment variable FASTXFER_PASSWORD or from the user's ``.netrc``.
        ca_file: certificate authorities for ``ftpes``, PEM; empty for the system's.

    Raises:
        ValueError: for a URL of another kind.
    """

    def __init__(self, url: str, ca_file: str = "") -> None:
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in DEFAULT_PORTS or not rest.strip("/"):
            raise ValueError(f"{url!r} is not fdfs://TRACKER, ftp://HOST or ftpes://HOST")
        self.scheme = scheme
        self.directory = ""
        if scheme == "fdfs":
            trackers = [
                part if ":" in part else f"{part}:{DEFAULT_PORTS['fdfs']}" for part in rest.strip("/").split(",")
            ]
            self.server: dict[str, Any] = {"tracker": ",".join(trackers)}
            self.operations: tuple[str, ...] = ("upload", "download", "info", "delete")
        else:
            self.server, self.directory = _ftp_server(url, ca_file)
            self.operations = ("upload", "download")

    def run(self, work: Work, client: str, meter: Meter) -> None:
        """Do *work* with the blocking client (*client* is ``"sync"``) or the asyncio one; nothing is left behind."""
        work = replace(work, server=self.server)
        if self.scheme == "fdfs":
            (fdfs_sync if client == "sync" else fdfs_async)(work, meter)
            return
        with _remote_folder(work, self.directory) as prepared:
            (ftp_sync if client == "sync" else ftp_async)(prepared, meter)


def _ftp_server(url: str, ca_file: str) -> tuple[dict[str, Any], str]:
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"{url!r} names no host")
    user, password = unquote(parts.username or ""), os.environ.get(PASSWORD_VARIABLE, "")
    if not (user and password):
        login = _from_netrc(parts.hostname)
        user, password = user or login[0], password or login[1]
    server = {
        "host": parts.hostname,
        "port": parts.port or DEFAULT_PORTS[parts.scheme],
        "user": user or "anonymous",
        "password": password or "anonymous@",
        "tls": parts.scheme == "ftpes",
        "ca": ca_file,
    }
    return server, unquote(parts.path).rstrip("/")


def _from_netrc(host: str) -> tuple[str, str]:
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    try:
        found = netrc.netrc(path).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        found = None
    return (found[0], found[2] or "") if found else ("", "")


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
