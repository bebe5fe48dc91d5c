"""What a command-line argument means: a local path, or a path on an FTP or FastDFS server."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote

import click

from fastxfer.net.address import split_url

FTP_SCHEMES = ("ftp", "ftps", "ftpes")
_MAGIC = re.compile(r"[*?[]")
_ENCODED_MAGIC = re.compile(r"%(2a|3f|5b)", re.IGNORECASE)


@dataclass(frozen=True)
class Location:
    """A place and a path in it.

    Attributes:
        text: as it was given, less a password.
        scheme: ``file``, ``ftp``, ``ftps`` (TLS from the start), ``ftpes`` (TLS by AUTH), or ``fdfs``.
        server: ``host[:port]``; of ``fdfs`` the trackers, joined by commas; empty for local paths.
        path: of FTP absolute; of FastDFS ``group`` or a file ID, without a slash at the beginning.
        pattern: of FTP: the path as a pattern, where it holds the wildcards ``*``, ``?`` or ``[``; those that are
            percent-encoded mean themselves.
    """

    text: str
    scheme: str
    server: str
    path: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    pattern: str | None = None

    @property
    def is_local(self) -> bool:
        return self.scheme == "file"

    @property
    def is_ftp(self) -> bool:
        return self.scheme in FTP_SCHEMES

    @property
    def name(self) -> str:
        """The last part of the path; empty for a path that ends in a slash."""
        return os.path.basename(self.path) if self.is_local else self.path.rpartition("/")[2]

    @property
    def means_directory(self) -> bool:
        """Whether the path itself says that it is a directory."""
        return self.path.endswith(("/", os.sep)) or self.path in ("", ".", "..")


def parse_location(text: str) -> Location:
    """Read a command-line argument. UsageError for a URL of an unknown scheme or without a host."""
    if any(ord(character) < 32 for character in text):
        raise click.UsageError(f"control characters in {text!r}")
    if "://" not in text:
        return Location(text, "file", "", text)
    try:
        parts, raw = split_url(text)
        host, port = parts.hostname or "", None if parts.scheme == "fdfs" else parts.port
    except ValueError as error:
        raise click.UsageError(f"{text}: {error}") from None
    if parts.scheme == "file":
        return Location(text, "file", "", unquote(raw))
    server = parts.netloc.rpartition("@")[2]
    if parts.scheme in FTP_SCHEMES:
        if not host or port == 0:
            raise click.UsageError(f"{text}: a host is missing")
        path = unquote(raw) or "/"
        user = None if parts.username is None else unquote(parts.username)
        password = None if parts.password is None else unquote(parts.password)
        shown = text if password is None else text.replace(f":{parts.password}@", "@", 1)
        pattern = unquote(_ENCODED_MAGIC.sub(_itself, raw)) if _MAGIC.search(raw) else None
        return Location(shown, parts.scheme, server, path, user, password, pattern)
    if parts.scheme == "fdfs":
        return Location(text, "fdfs", server, unquote(raw).lstrip("/"))
    raise click.UsageError(f"{text}: the scheme {parts.scheme!r} is none of file, ftp, ftps, ftpes, fdfs")


def _itself(encoded: re.Match[str]) -> str:
    return f"[{unquote(encoded[0])}]"


def found_location(location: Location, path: str) -> Location:
    """One of the paths that the pattern of *location* means."""
    shown = re.sub(r"[%*?[]", lambda character: f"%{ord(character[0]):02X}", path)
    base = location.text.partition("://")[2].partition("/")[0]
    return replace(location, text=f"{location.scheme}://{base}{shown}", path=path, pattern=None)


def local_path(location: Location) -> Path:
    """The path of a location that must be local."""
    if not location.is_local:
        raise click.UsageError(f"{location.text} is not a local path")
    return Path(location.path)
