"""Settings of the server: one tree of names, the same in code, in a TOML file and on the command line.

``config.tls.cert`` is ``cert`` in the table ``[tls]`` of a file and ``--tls-cert`` on the command line. Sizes are
bytes, durations seconds, rates bytes per second; 0 means "no limit" wherever there is a limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fastxfer.server.permissions import Permission

__all__ = [
    "LimitsConfig",
    "ListenerConfig",
    "LogConfig",
    "PassiveConfig",
    "ProcessConfig",
    "RatesConfig",
    "ServerConfig",
    "TimeoutsConfig",
    "TlsConfig",
    "UploadsConfig",
    "WebConfig",
    "at_most",
]


LOOPBACK = ("127.0.0.0/8", "::1")
"""The machine itself."""
LAST_PORT = 65535


def at_most(limit: int) -> int:
    """*limit*; where that is 0, which stands for none, a number that nobody reaches."""
    return limit or 0x7FFFFFFF


def _between(name: str, value: float, least: float, most: float = float("inf")) -> None:
    if not least <= value <= most:
        range_ = f"from {least} to {most}" if most < float("inf") else f"{least} or more"
        raise ValueError(f"{name} must be {range_}, not {value!r}")


@dataclass(frozen=True, kw_only=True)
class ListenerConfig:
    """One address that FTP is spoken on."""

    host: str = "127.0.0.1"
    """Address or name to listen on; ``::`` takes IPv6 and IPv4, an empty string every interface."""
    port: int = 2121
    """TCP port; 0 lets the system choose."""
    implicit_tls: bool = False
    """TLS from the first byte (the usual port is 990) instead of AUTH TLS."""
    require_tls: bool | None = None
    """Overrides ``tls.require_control`` here."""
    proxy_protocol: bool = False
    """Every connection begins with a PROXY protocol header (version 1 or 2) of a load balancer."""
    trusted_proxies: tuple[str, ...] = LOOPBACK
    """Addresses or networks of the load balancers whose PROXY header is believed; others are turned away."""
    fd: int = -1
    """Listening socket that was inherited, instead of host and port."""

    def __post_init__(self) -> None:
        _between("port", self.port, 0, LAST_PORT)


@dataclass(frozen=True, kw_only=True)
class TlsConfig:
    """Certificates and what they are demanded for."""

    cert: str = ""
    """PEM file with the certificate chain; empty: no TLS."""
    key: str = ""
    """PEM file with the private key; empty: it is in the file of the certificate."""
    key_password: str = field(default="", repr=False)
    client_ca: str = ""
    """PEM file with the authorities that sign client certificates; empty: none are asked for."""
    require_client_cert: bool = False
    """Refuse a handshake without a client certificate."""
    require_control: bool = False
    """No login before TLS."""
    require_data: bool = False
    """No data connection without TLS."""
    require_session_reuse: bool = False
    """Data connections must resume the TLS session of their control connection, which proves that both come from
    the same client. Python's ftplib and aioftp cannot do so."""
    min_version: str = "1.2"
    """``1.2`` or ``1.3``."""
    ciphers: str = ""
    """OpenSSL cipher list for TLS 1.2; empty: the default of Python."""
    allow_ccc: bool = False
    """Permit CCC: back to a plain control connection after login."""
    reload: float = 10.0
    """Seconds between looks whether the files have changed."""


@dataclass(frozen=True, kw_only=True)
class PassiveConfig:
    """Data connections."""

    ports: tuple[int, int] | None = None
    """First and last passive port; None: 49152 to 65535."""
    address: str = ""
    """IPv4 address told in PASV replies (NAT); empty: the one the client connected to."""
    address_by_network: Mapping[str, str] = field(default_factory=dict)
    """Client network → address told to clients there, before ``address``."""
    active: bool = True
    """Permit PORT and EPRT."""
    fxp: bool = False
    """Permit data connections with other hosts than the control peer."""
    min_active_port: int = 1024
    """Lowest port that PORT and EPRT may name."""
    congestion: str = ""
    """TCP congestion control of data connections (Linux); empty: the system's."""
    buffer: int = 0
    """Socket buffer of data connections, bytes; 0: the system's."""

    def __post_init__(self) -> None:
        if self.ports is not None:
            _between("passive.ports", self.ports[0], 1, LAST_PORT)
            _between("the second of passive.ports", self.ports[1], self.ports[0], LAST_PORT)
        _between("passive.min_active_port", self.min_active_port, 0, LAST_PORT)
        _between("passive.buffer", self.buffer, 0, 0x7FFFFFFF)


@dataclass(frozen=True, kw_only=True)
class LimitsConfig:
    """How much of everything."""

    sessions: int = 5000
    sessions_per_ip: int = 0
    sessions_per_user: int = 0
    web_requests: int = 1000
    """HTTP requests under way at the same time."""
    line: int = 4096
    """Longest command line, bytes."""
    pipeline: int = 64
    """Commands waiting in one session before its input is no longer read."""
    unread_replies: int = 65536
    """Reply bytes that a client may leave unread before it is cut off."""
    login_attempts: int = 3
    """Failed logins on one connection."""
    login_delay: float = 1.0
    """Seconds before a failed login is answered; doubled with each failure from the same address, up to 16 times."""
    ban_after: int = 20
    """Failed logins from one address within ``ban_time`` after which it is banned; 0: never."""
    ban_time: float = 600.0
    list_entries: int = 100_000
    """Entries that one LIST, NLST or STAT with globs or ``-R`` sends."""
    list_depth: int = 16
    """Directory levels that ``-R`` descends."""
    inflate_ratio: int = 1000
    """Largest growth of a MODE Z upload, checked after its first mebibyte."""


@dataclass(frozen=True, kw_only=True)
class TimeoutsConfig:
    """How long everything may take, seconds."""

    login: float = 60.0
    """From the connection to a successful login."""
    idle: float = 300.0
    """Without a command."""
    data_connect: float = 30.0
    """Until a data connection stands."""
    data_stall: float = 120.0
    """Without a byte moving on a data connection, or of an answer over HTTP."""
    transfer: float = 0.0
    """A whole transfer."""
    shutdown: float = 10.0
    """How long transfers under way may go on after the server was told to stop."""


@dataclass(frozen=True, kw_only=True)
class RatesConfig:
    """Bytes per second. Downloads are from the server to the client."""

    download: int = 0
    """The whole server (each worker of several)."""
    upload: int = 0
    user_download: int = 0
    """Each user, all sessions together, unless the user has a rate of his own."""
    user_upload: int = 0
    session_download: int = 0
    session_upload: int = 0


@dataclass(frozen=True, kw_only=True)
class UploadsConfig:
    """How files come into being."""

    atomic: bool = True
    """Write under a hidden name and rename at the end; False writes under the final name from the first byte."""
    keep_partial: bool = True
    """Keep what an upload that broke off has brought, so that its user can resume it."""
    partial_age: float = 7 * 86400.0
    """Seconds after which what a broken upload has left is removed, if it was not resumed; 0: never."""
    fsync: bool = False
    """Reply 226 only after the bytes are on the disk."""
    max_size: int = 0
    """Largest file accepted, bytes."""
    umask: int = 0o022

    def __post_init__(self) -> None:
        if not 0 <= self.umask <= 0o777:
            raise ValueError(f"uploads.umask must be from 0 to 0o777, not {self.umask:#o}")


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    """Transfer logs. The ``fastxfer.server`` logger of :mod:`logging` is beside them."""

    xferlog: str = ""
    """File for lines in the format of wu-ftpd's xferlog; empty: none."""
    json: str = ""
    """File for one JSON object per transfer; empty: none."""


@dataclass(frozen=True, kw_only=True)
class WebConfig:
    """The HTTP interface."""

    enabled: bool = False
    host: str | None = None
    """None: where FTP listens."""
    port: int | None = None
    """None: the FTP port + 1 (or any free one where the FTP port was chosen by the system)."""
    cors_origins: tuple[str, ...] = ()
    """Origins that scripts of other sites may call from; ``*`` for all, then without credentials."""
    ui: bool = True
    """Serve the file manager page to browsers at ``/``."""
    metrics: bool = True
    """Serve ``/metrics``."""
    metrics_open: bool = False
    """``/metrics`` without a login."""
    hosts: tuple[str, ...] = ()
    """Names that clients may call the server by (the Host header); empty: any. Names of one's own keep pages of
    others from reaching a server in the local network by a name that they point there."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks whose X-Forwarded-For, -Proto and -Host headers are believed."""
    session: float = 12 * 3600.0
    """Seconds after which the file manager asks for the password again."""
    secret: str = field(default="", repr=False)
    """What the cookies of the file manager are encrypted with; empty: a new one at every start. Several servers
    behind one name need the same."""

    def __post_init__(self) -> None:
        _between("web.port", self.port or 0, 0, LAST_PORT)


@dataclass(frozen=True, kw_only=True)
class ProcessConfig:
    """What the process becomes once its ports are open. Needs root."""

    user: str = ""
    """Account to change to."""
    group: str = ""
    """Group to change to; empty: the account's."""
    chroot: bool = False
    """Make the served directory the root of the process."""


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Everything. See the module's docstring for units."""

    root: str = "."
    """Directory that is served."""
    host: str = "127.0.0.1"
    """Address of the first listener; see :class:`ListenerConfig`."""
    port: int = 2121
    implicit_tls: bool = False
    proxy_protocol: bool = False
    """Every connection begins with a PROXY protocol header of a load balancer; see ``trusted_proxies``."""
    trusted_proxies: tuple[str, ...] = LOOPBACK
    """Addresses or networks of the load balancers whose PROXY header is believed; others are turned away."""
    listeners: tuple[ListenerConfig, ...] = ()
    """More listeners; if given, ``host``, ``port``, ``implicit_tls``, ``proxy_protocol`` and ``trusted_proxies`` are
    not used."""
    backlog: int = 1024
    banner: str = "fastxfer FTP server ready"
    """Text of the 220 reply; may have several lines."""
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Virtual hosts (RFC 7151): name → directory of the tree that is their root. Empty: any name is accepted. The name
    ``""`` stands for clients that name no host, or over HTTP an unknown one; without it they see the whole tree."""
    read_only: bool = False
    anonymous: bool = False
    """Let ``anonymous`` and ``ftp`` in, with ``anonymous_permissions`` under ``anonymous_root``."""
    anonymous_root: str = "/"
    anonymous_permissions: str = "read-only"
    user: str = ""
    """Name of a single user, with the password in ``password`` or in ``password_file``."""
    password: str = field(default="", repr=False)
    password_file: str = ""
    users_file: str = ""
    """File of users with argon2 hashes, as ``fastxfer passwd`` writes it."""
    pam: bool = False
    """Ask PAM; the user's directory is ``/home/NAME`` of the tree if there is one."""
    pam_service: str = "ftp"
    workers: int = 1
    """Processes that share the ports."""
    metrics: bool = False
    """Count for Prometheus."""

    tls: TlsConfig = field(default_factory=TlsConfig)
    passive: PassiveConfig = field(default_factory=PassiveConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    timeouts: TimeoutsConfig = field(default_factory=TimeoutsConfig)
    rates: RatesConfig = field(default_factory=RatesConfig)
    uploads: UploadsConfig = field(default_factory=UploadsConfig)
    log: LogConfig = field(default_factory=LogConfig)
    web: WebConfig = field(default_factory=WebConfig)
    process: ProcessConfig = field(default_factory=ProcessConfig)

    def __post_init__(self) -> None:
        _between("port", self.port, 0, LAST_PORT)
        _between("backlog", self.backlog, 1, 0x7FFFFFFF)
        _between("workers", self.workers, 1)

    def effective_listeners(self) -> tuple[ListenerConfig, ...]:
        """The listeners given, or the one that ``host`` and ``port`` describe."""
        return self.listeners or (
            ListenerConfig(
                host=self.host,
                port=self.port,
                implicit_tls=self.implicit_tls,
                proxy_protocol=self.proxy_protocol,
                trusted_proxies=self.trusted_proxies,
            ),
        )

    def mask(self) -> Permission:
        """What may be allowed to anyone at all."""
        return Permission.READ_ONLY if self.read_only else Permission.ALL
