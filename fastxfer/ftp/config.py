"""Settings of an FTP client and the reading of its URL."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from fastxfer.ftp.errors import InvalidArgumentError
from fastxfer.net.address import Address, parse_address, split_url
from fastxfer.net.retry import RetryPolicy
from fastxfer.net.tls import TLSSettings

__all__ = ["ClientConfig", "Credentials", "Limits", "Timeouts", "parse_url"]

_SCHEMES = {"ftp": "none", "ftps": "implicit", "ftpes": "explicit"}
_PORTS = {"none": 21, "explicit": 21, "implicit": 990}

RETRY_CODES = frozenset({421, 425, 426, 434, 450, 451})
"""Replies after which the same is tried again: RFC 959's passing troubles, without 452 (disk full)."""


@dataclass(frozen=True)
class Credentials:
    """Who logs in. The defaults are the anonymous account (RFC 1635)."""

    user: str = "anonymous"
    password: str = field(default="anonymous@", repr=False)
    account: str = field(default="", repr=False)


@dataclass(frozen=True)
class Timeouts:
    """How long to wait, seconds; None for ever.

    Attributes:
        connect: for a TCP connection, control or data, and for its TLS handshake.
        reply: for a whole reply on the control connection; anew after each preliminary one (1xx).
        data: for the next byte on a data connection.
        send: for a byte to leave on one, where that is to be another time than *data*.
        total: for one operation with all its retries.
        lease: for a free connection of the pool.
    """

    connect: float | None = 15.0
    reply: float | None = 60.0
    data: float | None = 60.0
    total: float | None = None
    lease: float | None = 300.0
    send: float | None = None

    @property
    def sending(self) -> float | None:
        """For a byte to leave on a data connection."""
        return self.data if self.send is None else self.send


@dataclass(frozen=True)
class Limits:
    """How much of a server is used.

    Attributes:
        connections: logged-in control connections at a time, at most.
        idle: of those, how many are kept open while unused.
        keepalive: seconds after which an unused connection is kept alive with NOOP; None to let it go stale.
        transfer_keepalive: seconds between two NOOPs on the control connection while a transfer is under way, for
            firewalls that forget silent connections; None for none. Servers may answer them at once or afterwards.
        idle_lifetime: seconds after which an unused connection is closed; None for never.
        upload_rate: bytes per second, all transfers of the client together; None for as fast as it goes.
        download_rate: the same for downloads.
        body: longest file read into memory, bytes.
    """

    connections: int = 8
    idle: int = 8
    keepalive: float | None = 30.0
    transfer_keepalive: float | None = None
    idle_lifetime: float | None = 300.0
    upload_rate: float | None = None
    download_rate: float | None = None
    body: int = 1 << 31

    def __post_init__(self) -> None:
        if self.connections < 1:
            raise InvalidArgumentError(f"connections must be at least 1, not {self.connections}")
        if self.idle < 0:
            raise InvalidArgumentError(f"idle must not be negative: {self.idle}")
        if self.transfer_keepalive is not None and not self.transfer_keepalive > 0:
            raise InvalidArgumentError(f"transfer_keepalive must be positive: {self.transfer_keepalive}")


@dataclass(frozen=True)
class ClientConfig:
    """Everything an FTP client can be told. Instances do not change; :func:`dataclasses.replace` makes variants.

    Attributes:
        tls: ``"none"``, ``"explicit"`` (AUTH TLS, RFC 4217) or ``"implicit"`` (TLS from the first byte); None takes
            what the URL's scheme says (``ftp``, ``ftpes``, ``ftps``). Never falls back to less.
        tls_settings: certificates, versions, ciphers.
        protect_data: data connections are encrypted too (PROT P).
        clear_control: leave TLS on the control connection after login (CCC), for firewalls that must read it.
        require_close_notify: a TLS download of unknown size that ends without close_notify is an error.
        passive: the client opens the data connections (PASV, EPSV); else the server does (PORT, EPRT).
        extended: EPSV and EPRT (RFC 2428) before PASV and PORT. IPv6 always takes them.
        epsv_all: promise the server to use nothing but EPSV (``EPSV ALL``, RFC 2428, section 4), so that address
            translators need not read along: True to every server that has FEAT, False never, None to those that list
            EPSV where there is surely a translator between: this end's address is private and the server's is not.
        trust_passive_address: connect to whatever address PASV names instead of the server's own.
        active_ports: first and last port listened on in active mode; None for any.
        active_address: the address told to the server in active mode; None for the control connection's own.
        family: ``socket.AF_INET`` or ``AF_INET6`` to take no other.
        local_address: address that connections are made from.
        proxy: ``socks5://``, ``socks4://`` or ``http://`` URL of a proxy (needs the extra ``proxy``).
        encoding: of paths. Bytes that are not valid in it survive as lone surrogates (PEP 383).
        timeouts: see :class:`Timeouts`.
        limits: see :class:`Limits`.
        retry: attempts and pauses.
        retry_codes: reply codes after which an operation is tried again.
        pipelining: send commands that belong together in one piece: True, False, or None to do so as far as the
            server is seen to take it.
        preopen: open the next passive connection along with a transfer: True, False, or None where the server is known
            to handle it.
        compress: have data compressed on the way (MODE Z) where the server offers it.
        atomic: uploads and downloads go to a temporary name and are renamed when whole.
        spin: microseconds of busy polling before sleeping for a reply; synchronous client only.
        congestion_control: TCP congestion control algorithm of data connections (Linux), None for the system's.
        socket_buffer: send and receive buffer of data connections, bytes; None for the system's.
    """

    tls: str | None = None
    tls_settings: TLSSettings = field(default_factory=TLSSettings)
    protect_data: bool = True
    clear_control: bool = False
    require_close_notify: bool = True
    passive: bool = True
    extended: bool = True
    epsv_all: bool | None = None
    trust_passive_address: bool = False
    active_ports: tuple[int, int] | None = None
    active_address: str | None = None
    family: socket.AddressFamily = socket.AF_UNSPEC
    local_address: str | None = None
    proxy: str | None = None
    encoding: str = "utf-8"
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Limits = field(default_factory=Limits)
    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(attempts=4, first_delay=0.5, max_delay=30.0))
    retry_codes: frozenset[int] = RETRY_CODES
    pipelining: bool | None = None
    preopen: bool | None = None
    compress: bool = False
    atomic: bool = True
    spin: int = 0
    congestion_control: str | None = None
    socket_buffer: int | None = None

    def __post_init__(self) -> None:
        if self.tls not in (None, *_PORTS):
            raise InvalidArgumentError(f"tls is 'none', 'explicit', 'implicit' or None, not {self.tls!r}")
        "".encode(self.encoding)
        if self.active_ports is not None:
            first, last = self.active_ports
            if not 1024 <= first <= last <= 65535:
                raise InvalidArgumentError(f"active_ports must be within 1024..65535 and in order, not {first}, {last}")
        if self.proxy is not None and not self.passive:
            raise InvalidArgumentError("active mode does not work through a proxy")
        if self.epsv_all and not (self.passive and self.extended):
            raise InvalidArgumentError("epsv_all excludes active mode and extended=False")

    def with_options(self, options: Mapping[str, Any]) -> ClientConfig:
        """A copy with some attributes set otherwise; those of ``timeouts`` and ``limits`` may be named directly.

        ``timeout`` sets connect, reply and data together. Raises InvalidArgumentError on a name that is none.
        """
        own: dict[str, Any] = {}
        inner: dict[str, dict[str, Any]] = {"timeouts": {}, "limits": {}}
        for name, value in options.items():
            if name == "timeout":
                inner["timeouts"].update(connect=value, reply=value, data=value)
            elif name in self.__dataclass_fields__:
                own[name] = value
            elif name in Limits.__dataclass_fields__:
                inner["limits"][name] = value
            else:
                raise InvalidArgumentError(f"unknown option {name!r}")
        config = replace(self, **own)
        for name, changes in inner.items():
            if changes:
                config = replace(config, **{name: replace(getattr(config, name), **changes)})
        return config


@dataclass(frozen=True)
class Endpoint:
    """What a URL says."""

    address: Address
    tls: str
    user: str | None
    password: str | None = field(repr=False)
    path: str


def parse_url(url: str, tls: str | None = None) -> Endpoint:
    """Read ``ftp://user:password@host:port/path`` (or ``ftps``, ``ftpes``, or a bare ``host[:port]``).

    Percent-encoding is undone. *tls* overrules the scheme. Raises InvalidArgumentError.
    """
    if any(ord(character) < 32 for character in url):
        raise InvalidArgumentError("control characters in the URL")
    if "://" not in url:
        url = f"ftp://{url}"
    try:
        parts, raw = split_url(url)
        if parts.scheme not in _SCHEMES:
            raise InvalidArgumentError(f"the URL's scheme must be ftp, ftps or ftpes, not {parts.scheme!r}")
        mode = tls or _SCHEMES[parts.scheme]
        host_text = parts.netloc.rpartition("@")[2]
        if host_text.startswith("["):
            # The percent sign before the zone of a link-local address is encoded (RFC 6874).
            host_text = unquote(host_text)
        address = parse_address(host_text, _PORTS[mode])
    except ValueError as error:
        raise InvalidArgumentError(str(error)) from error
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    for value in (user, password, path := unquote(raw)):
        if value is not None and any(character in value for character in "\r\n\0"):
            raise InvalidArgumentError("control characters in the URL")
    return Endpoint(address, mode, user, password, path)
