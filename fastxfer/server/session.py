"""What the server remembers of one client between its commands."""

from __future__ import annotations

import errno
import ssl
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastxfer.server import paths
from fastxfer.server.hooks import SessionInfo
from fastxfer.server.replies import NOT_LOGGED_IN, ReplyError

if TYPE_CHECKING:
    from fastxfer.core.xfer import RateLimit
    from fastxfer.server.account import Account
    from fastxfer.server.config import ListenerConfig, ServerConfig
    from fastxfer.server.control import Control
    from fastxfer.server.datachannel import DataChannel
    from fastxfer.server.runtime import Runtime
    from fastxfer.server.service import Service
    from fastxfer.server.transfers import Progress

__all__ = ["DEFAULT_FACTS", "Session"]

DEFAULT_FACTS = ("type", "size", "modify", "perm", "unix.mode")


class Session:
    """The state of one control connection (RFC 959 section 5.1)."""

    __slots__ = (
        "_account",
        "_local",
        "_told",
        "aborted",
        "address",
        "attempts",
        "ccc",
        "config",
        "control",
        "copy_from",
        "cwd",
        "data",
        "download_limits",
        "epsv_only",
        "facts",
        "hash_algorithm",
        "host",
        "host_of_tls",
        "id",
        "listener",
        "login_clock",
        "mode_z",
        "name",
        "pbsz",
        "peer_address",
        "port",
        "private",
        "progress",
        "range",
        "rename_from",
        "rest",
        "runtime",
        "service",
        "started",
        "type_ascii",
        "upload_limits",
        "zlevel",
    )

    def __init__(
        self,
        runtime: Runtime,
        control: Control,
        listener: ListenerConfig,
        address: str,
        port: int,
    ) -> None:
        self.runtime = runtime
        self.service: Service = runtime.service
        self.config: ServerConfig = runtime.service.config
        self.control = control
        self.listener = listener
        self.id = runtime.service.next_id()
        self.address = address
        self.port = port
        self.peer_address = address
        """Where the TCP connection comes from: the client, or a load balancer in front of it."""
        self._local: tuple[str, int] | None = None
        self._told = ""
        self.started = time.monotonic()
        self.login_clock = control.last
        self.attempts = 0
        self.host = ""
        self.host_of_tls = ""
        self.ccc = False
        self.pbsz = False
        self.private = listener.implicit_tls
        self.data: DataChannel | None = None
        self.aborted = False
        self.reset()

    def reset(self) -> None:
        """Forget the user and every parameter (REIN, RFC 959 section 4.1.1); the TLS protection stays."""
        self._account: Account | None = None
        self.name = ""
        self.cwd = paths.ROOT
        self.type_ascii = True
        self.mode_z = False
        self.zlevel = 6
        self.rest = 0
        self.range: tuple[int, int] | None = None
        self.rename_from = ""
        self.copy_from = ""
        self.epsv_only = False
        self.facts: tuple[str, ...] = DEFAULT_FACTS
        self.hash_algorithm = "SHA-256"
        self.progress: Progress | None = None
        self.download_limits: Sequence[RateLimit] = ()
        self.upload_limits: Sequence[RateLimit] = ()

    @property
    def _here(self) -> tuple[str, int]:
        # Not asked of the system before it is needed: most sessions that only look in never do.
        if self._local is None:
            self._local = self.control.local_address()
        return self._local

    @property
    def local_address(self) -> str:
        """The address of this machine that the connection came in at."""
        return self._here[0]

    @property
    def local_zone(self) -> int:
        """Number of the interface that a link-local address belongs to (RFC 4007); 0 for other addresses."""
        return self._here[1]

    @property
    def told_address(self) -> str:
        """The address that the client connected to."""
        return self._told or self.local_address

    def come_through(self, proxy: str, told_address: str) -> None:
        """A load balancer at *proxy* has passed the connection on, which was made to *told_address*, if it says so."""
        self.peer_address = proxy
        self._told = told_address

    @property
    def logged_in(self) -> bool:
        return self._account is not None

    @property
    def account(self) -> Account:
        """What the user can do; ReplyError 530 before login."""
        if self._account is None:
            error = ReplyError(530, "")
            error.reply = NOT_LOGGED_IN
            raise error
        return self._account

    def enter(self, account: Account) -> None:
        """The user of *account* has logged in."""
        self._account = account
        self.name = account.user.name
        home = account.user.home
        # That is where a session begins.
        if home != paths.ROOT:
            self.cwd = paths.resolve(paths.ROOT, home)
        service = self.service
        if service.watches:
            service.watch(account, self.info())
        down, up = service.session_limits()
        self.download_limits = (*account.download_limits, *down)
        self.upload_limits = (*account.upload_limits, *up)

    def leave(self) -> Account | None:
        """The user is gone; his account, if there was one."""
        account, self._account = self._account, None
        return account

    def path(self, argument: str) -> str:
        """The virtual path that *argument* names from the working directory."""
        if not argument.isprintable() and any(ch < " " or ch == "\x7f" for ch in argument):
            raise OSError(errno.EILSEQ, "Control character in path")
        return paths.resolve(self.cwd, argument)

    @property
    def tls_context(self) -> ssl.SSLContext | None:
        """What the control connection was encrypted with; its data connections share it."""
        return self.control.context

    @property
    def tls(self) -> bool:
        """Whether the control connection is encrypted now."""
        return self.control.encrypted

    def info(self) -> SessionInfo:
        """The session as hooks see it."""
        return SessionInfo(
            id=self.id,
            address=self.address,
            port=self.port,
            user=self._account.user.name if self._account is not None else "",
            tls=self.tls,
        )
