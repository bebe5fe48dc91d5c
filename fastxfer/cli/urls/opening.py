"""The options of all URL commands, and the connections they lead to."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fastxfer.cli._parameters import SIZE
from fastxfer.cli.urls.credentials import credentials_for
from fastxfer.cli.urls.local_place import LocalPlace
from fastxfer.cli.urls.location import Location
from fastxfer.cli.urls.place import Place

if TYPE_CHECKING:
    from fastxfer.cli.urls.ftp_place import FtpPlace

MOST_SEGMENTS = 16
"""Connections that one file may take."""

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Options:
    """What the user wants of connections."""

    jobs: int = 4
    rate: int | None = None
    timeout: float | None = None
    retries: int | None = None
    netrc: str | None = None
    insecure: bool = False
    ca_file: str | None = None
    certificate: str | None = None
    key: str | None = None
    active: bool = False
    proxy: str | None = None
    encoding: str | None = None


class Places:
    """Opens each server once, when it is first needed."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._open: dict[tuple[str, str, str | None], Place] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Places:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for place in self._open.values():
            place.close()

    def at(self, location: Location) -> Place:
        """The place where *location* is."""
        key = (location.scheme, location.server, location.user)
        with self._lock:
            if key not in self._open:
                self._open[key] = self._connect(location)
            return self._open[key]

    def _connect(self, location: Location) -> Place:
        if location.is_local:
            return LocalPlace()
        return self._connect_fdfs(location) if location.scheme == "fdfs" else self._connect_ftp(location)

    def ftp_at(self, location: Location) -> FtpPlace:
        """The FTP server where *location* is."""
        place: Any = self.at(location)
        return place  # type: ignore[no-any-return]

    def _connect_fdfs(self, location: Location) -> Place:
        from fastxfer.cli.fdfs.connection import config_of
        from fastxfer.cli.urls.fdfs_place import FdfsPlace
        from fastxfer.fdfs import Client

        if self.options.rate is not None:
            raise click.UsageError("--rate is for FTP; FastDFS transfers have no rate limit")
        settings: dict[str, Any] = {"max_conns": max(10, self.options.jobs)}
        if self.options.timeout is not None:
            settings |= {"connect_timeout": self.options.timeout, "network_timeout": self.options.timeout}
        if self.options.retries is not None:
            settings["retry_count"] = self.options.retries
        trackers = tuple(text for text in location.server.split(",") if text)
        return FdfsPlace(Client(config_of(trackers, None, settings)))

    def _connect_ftp(self, location: Location) -> Place:
        from fastxfer.cli.urls.ftp_place import FtpPlace
        from fastxfer.ftp import AsyncClient, ClientConfig, TLSSettings
        from fastxfer.net.retry import RetryPolicy

        wanted = self.options
        user, password = credentials_for(location, wanted.netrc)
        settings: dict[str, Any] = {
            "connections": max(MOST_SEGMENTS, wanted.jobs),
            "idle": wanted.jobs,
            "upload_rate": wanted.rate,
            "download_rate": wanted.rate,
            "passive": not wanted.active,
            "proxy": wanted.proxy,
            "tls_settings": TLSSettings(
                verify=not wanted.insecure,
                ca_file=wanted.ca_file,
                certificate=wanted.certificate,
                key=wanted.key,
            ),
        }
        if wanted.timeout is not None:
            settings["timeout"] = wanted.timeout
        if wanted.retries is not None:
            settings["retry"] = RetryPolicy(wanted.retries, 0.5, 30.0)
        if wanted.encoding is not None:
            settings["encoding"] = wanted.encoding
        url = f"{location.scheme}://{location.server}"
        config = ClientConfig().with_options(settings)
        return FtpPlace(lambda: AsyncClient(url, user=user, password=password, config=config))


_OPTIONS = (
    click.option("-j", "--jobs", type=click.IntRange(1, 256), default=4, show_default=True, help="How many at a time."),
    click.option("--rate", type=SIZE, metavar="SIZE", help="Bytes per second at most, e.g. 500k (FTP)."),
    click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Seconds without an answer or a byte."),
    click.option("--retries", type=click.IntRange(1), help="How often something is tried in all."),
    click.option("--netrc", type=click.Path(dir_okay=False), help="User names and passwords [default: ~/.netrc]."),
    click.option("--insecure", is_flag=True, help="Do not check the server's TLS certificate."),
    click.option("--ca-file", type=click.Path(dir_okay=False), help="Certificate authorities to trust (PEM)."),
    click.option("--cert", "certificate", type=click.Path(dir_okay=False), help="Client certificate (PEM)."),
    click.option("--key", type=click.Path(dir_okay=False), help="Its private key, if not in the same file."),
    click.option("--active", is_flag=True, help="Let the server open the FTP data connections."),
    click.option("--proxy", metavar="URL", help="socks5://, socks4:// or http:// proxy for FTP."),
    click.option("--encoding", help="Encoding of FTP paths [default: utf-8]."),
)


def place_options(function: Function) -> Function:
    """Give a command the options for connections, and pass it ``places``."""

    @functools.wraps(function)
    def with_places(*arguments: Any, **given: Any) -> Any:
        names = Options.__dataclass_fields__
        options = Options(**{name: given.pop(name) for name in list(given) if name in names})
        with Places(options) as places:
            return function(*arguments, places=places, **given)

    wrapped: Any = with_places
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]
