"""What FTP and HTTP share: the tree, the users, the limits, the hooks, the books and the logs of one server."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fastxfer.server import paths
from fastxfer.server.account import Account
from fastxfer.server.config import ServerConfig
from fastxfer.server.filesystem import Filesystem
from fastxfer.server.guard import Guard, LoginRefusedError, SharedGuard
from fastxfer.server.hooks import Direction, Hooks, SessionInfo, TransferInfo
from fastxfer.server.quota import Ledger, Quota, SharedLedger
from fastxfer.server.transferlog import TransferLog
from fastxfer.server.turns import Turns
from fastxfer.server.users import Authenticator, Credentials, User, may_welcome

if TYPE_CHECKING:
    from fastxfer.core.xfer import RateLimit
    from fastxfer.server.metrics import Metrics
    from fastxfer.server.sharedbooks import WorkerBooks

__all__ = ["Service"]

logger = logging.getLogger("fastxfer.server")

MOST_ACCOUNTS = 1024
"""Accounts that are kept for the next login."""
_DIRECTIONS = {"RETR": Direction.DOWNLOAD, "STOR": Direction.UPLOAD}


class Service:
    """The part of a server that knows no protocol.

    Args:
        config: the settings.
        filesystem: the whole tree that is served.
        authenticator: who may log in.
        hooks: listeners for events.
        books: those that several workers keep together; None: the service keeps its own.
    """

    def __init__(
        self,
        config: ServerConfig,
        filesystem: Filesystem,
        authenticator: Authenticator,
        hooks: Hooks | None = None,
        books: WorkerBooks | None = None,
    ) -> None:
        self.config = config
        self.filesystem = filesystem
        self.authenticator = authenticator
        self.hooks = hooks or Hooks()
        self.books = books
        self.guard = SharedGuard(config.limits, books) if books is not None else Guard(config.limits)
        self._turns = Turns(self.guard)
        self._accounts: dict[int, Account] = {}
        """Of users who need nothing of their own, by the identity of the user."""
        self.welcoming = may_welcome(authenticator)
        """Whether some name may need no password."""
        self.next_id: Callable[[], int] = itertools.count(1).__next__
        """Numbers for new sessions, unique in this process."""
        self._trees: weakref.WeakValueDictionary[tuple[int, str], Filesystem] = weakref.WeakValueDictionary()
        self._quotas: dict[tuple[str, str], _Books] = {}
        self._server_limits = (_rate_limits(config.rates.download), _rate_limits(config.rates.upload))
        self._user_limits: dict[tuple[str, int], RateLimit] = {}
        self._tell_renames = self.hooks.listens("on_rename")
        self._tell_deletes = self.hooks.listens("on_delete")
        self.watches = self._tell_renames or self._tell_deletes
        """Whether a hook wants to know what users rename or delete."""
        self._log = TransferLog(config.log.xferlog, config.log.json)
        self.metrics: Metrics | None = None
        if config.metrics or (config.web.enabled and config.web.metrics):
            from fastxfer.server.metrics import Metrics

            self.metrics = Metrics()
            if books is not None:
                self.metrics.share(books.books.reports, books.number)
        self.records_transfers = self._log.active or self.metrics is not None or self.hooks.listens("on_transfer_end")
        """Whether anybody wants to know of finished transfers."""
        self.asks_transfers = self.hooks.listens("on_transfer_start")
        """Whether a hook wants to be asked before a transfer."""
        self.awaits_transfers = self.asks_transfers or self.hooks.listens("on_transfer_end")
        """Whether a transfer must wait for hooks."""

    def admit(self, name: str, password: str, address: str, *, tls: bool, host: str = "") -> Account | None:
        """Log somebody in who is known at once and whom nothing stands against; None: ask :meth:`authenticate`.

        Nothing is noted of one who is not let in here.

        Args:
            name: login name.
            password: what was shown as the password.
            address: where the user comes from.
            tls: whether the connection is encrypted.
            host: virtual host asked for.
        """
        if self._turns.taken or self.guard.remembers(address) or self.hooks.listens("on_login"):
            return None
        user = self.authenticator.recognize(name, password)
        if (
            user is None
            or not user.enabled
            or (user.require_tls and not tls)
            or (user.networks and not user.may_come_from(address))
        ):
            return None
        account = self._accounts.get(id(user))
        if account is None or account.user is not user:
            account = self.account(user, host)
            if self._common(account):
                if len(self._accounts) >= MOST_ACCOUNTS:
                    self._accounts.clear()
                self._accounts[id(user)] = account
        if self.metrics is not None:
            self.metrics.count_login("ftp", "ok")
        return account

    def _common(self, account: Account) -> bool:
        """Whether every session of the user can have this very account, now and later."""
        user = account.user
        rates = self.config.rates
        return not (
            self.config.hosts
            or self._tell_renames
            or self._tell_deletes
            or rates.user_download
            or rates.user_upload
            or user.download_rate
            or user.upload_rate
            or user.quota_bytes
            or user.quota_files
            # A subtree is opened anew for whoever comes when nobody is there: another directory may have its name.
            or account.filesystem is not (user.filesystem or self.filesystem)
        )

    async def authenticate(self, credentials: Credentials, session: SessionInfo) -> Account:
        """Judge *credentials*; failures are counted, delayed and lead to bans.

        Args:
            credentials: what the peer has shown.
            session: where it comes from; hooks are told of it.

        Raises:
            LoginRefusedError: refused.
        """
        guard = self.guard
        delay = 0.0
        async with self._turns.turn(credentials.address):
            user = await self.authenticator.authenticate(credentials)
            if user is not None and not (user.enabled and user.may_come_from(credentials.address)):
                # Nobody is to learn that the rest was right.
                user = None
            if user is None:
                delay = guard.failed(credentials.address)
        if user is None:
            logger.info("login of %r from %s failed", credentials.name, credentials.address)
            self._count_login(credentials, "failed")
            await self.call("on_login_failed", session, session, credentials.name)
            await asyncio.sleep(delay)
            raise LoginRefusedError("credentials")
        if user.require_tls and not credentials.tls:
            raise LoginRefusedError("tls")
        account = self.account(user, credentials.host)
        if user.name != "anonymous":
            # Anybody can log in so, between two guesses too.
            guard.succeeded(credentials.address)
        self._count_login(credentials, "ok")
        if self.hooks.listens("on_login"):
            try:
                await self.hooks.on_login(replace(session, user=user.name))
            except PermissionError as error:
                logger.info("login of %r from %s refused by a hook: %s", user.name, credentials.address, error)
                raise LoginRefusedError("limit") from error
            except Exception:
                logger.exception("on_login failed")
        return account

    def _count_login(self, credentials: Credentials, result: str) -> None:
        if self.metrics is not None:
            self.metrics.count_login(credentials.protocol, result)

    def account(self, user: User, host: str = "") -> Account:
        """What *user*, who was judged already, can do."""
        config = self.config
        tree = self._tree(user, host)
        quota = self._quota(user, host, tree) if user.quota_bytes or user.quota_files else None
        rates = config.rates
        down, up = self._server_limits
        return Account(
            user,
            tree,
            user.permissions.restricted_to(config.mask()) if config.read_only else user.permissions,
            config.uploads,
            quota=quota,
            download_limits=(*down, *self._user_limit(user.name, 0, user.download_rate or rates.user_download)),
            upload_limits=(*up, *self._user_limit(user.name, 1, user.upload_rate or rates.user_upload)),
        )

    def watch(self, account: Account, session: SessionInfo) -> None:
        """Have the hooks told what *account* renames and deletes, as done by *session*; if :attr:`watches`."""
        if self._tell_renames:
            account.on_rename = lambda source, target: self.call("on_rename", session, session, source, target)
        if self._tell_deletes:
            account.on_delete = lambda path: self.call("on_delete", session, session, path)

    def session_limits(self) -> tuple[Sequence[RateLimit], Sequence[RateLimit]]:
        """Token buckets of one new session: for downloads, and for uploads."""
        rates = self.config.rates
        if not (rates.session_download or rates.session_upload):
            return (), ()
        return _rate_limits(rates.session_download), _rate_limits(rates.session_upload)

    def transfer_ended(self, transfer: TransferInfo) -> None:
        """Enter a finished transfer into logs and metrics (the hook is for the caller to call)."""
        self._log.write(transfer)
        if self.metrics is not None:
            counts = self.metrics.transfers(transfer.session.protocol, transfer.direction.value, ok=transfer.ok)
            counts.enter(transfer.moved, transfer.duration)

    def small_files_recorder(self, session: SessionInfo) -> Callable[[str, str, int, float], None]:
        """What enters files into logs and metrics that *session*, as it is now, moves without anybody being asked.

        Called with the verb, RETR or STOR, the path, the bytes moved, and when it began (:func:`time.monotonic`).
        """
        metrics, log, protocol = self.metrics, self._log, session.protocol

        def enter(verb: str, path: str, moved: int, started: float) -> None:
            duration = time.monotonic() - started
            direction = _DIRECTIONS[verb]
            try:
                if log.active:
                    log.write(
                        TransferInfo(
                            session=session,
                            direction=direction,
                            path=path,
                            moved=moved,
                            duration=duration,
                            ok=True,
                        )
                    )
                if metrics is not None:
                    metrics.transfers(protocol, direction.value, ok=True).enter(moved, duration)
            except Exception:
                logger.exception("the transfer of %r with %s could not be entered", path, session.address)

        return enter

    def reopen_logs(self) -> None:
        """Open the transfer logs again, after they were rotated."""
        self._log.reopen()

    async def call(self, event: str, session: SessionInfo, *arguments: object) -> None:
        """Call a hook that cannot refuse; what it raises is logged."""
        if not self.hooks.listens(event):
            return
        try:
            await getattr(self.hooks, event)(*arguments)
        except Exception:
            logger.exception("%s failed (session %d, %s)", event, session.id, session.address)

    async def close(self) -> None:
        """Give back what is held. Idempotent."""
        await self.authenticator.close()
        for tree in list(self._trees.values()):
            if tree is not self.filesystem:
                await tree.close()
        for books in self._quotas.values():
            await books.close()
        await self.filesystem.close()
        self._log.close()

    def _tree(self, user: User, host: str) -> Filesystem:
        base = user.filesystem or self.filesystem
        top = self._top(user, host)
        if top == paths.ROOT:
            return base
        key = (id(base), top)
        tree = self._trees.get(key)
        if tree is None:
            tree = self._trees[key] = base.subtree(top)
        return tree

    def _top(self, user: User, host: str) -> str:
        """The directory of its filesystem that *user* sees as the root."""
        top = paths.resolve(paths.ROOT, user.root)
        if user.filesystem is not None:
            return top
        hosts = self.config.hosts
        return paths.rewrite(top, paths.resolve(paths.ROOT, hosts.get(host, hosts.get("", paths.ROOT))))

    def _quota(self, user: User, host: str, tree: Filesystem) -> Quota:
        """The quota of *user* in *tree*. The books are the tree's: all users who see it as theirs share them."""
        top = self._top(user, host)
        owner = user.name if user.filesystem is not None else ""
        base = user.filesystem or self.filesystem
        books = self._quotas.get((owner, top))
        if books is None or books.base is not base:
            ledger = SharedLedger(self.books.books, f"{owner} {top}") if self.books else Ledger()
            if books is not None:
                ledger.write(0, 0, float("-inf"))
            books = self._quotas[owner, top] = _Books(base, tree, ledger)
        return books.quota(user.quota_bytes, user.quota_files)

    def _user_limit(self, name: str, direction: int, rate: int) -> Sequence[RateLimit]:
        if not rate:
            return ()
        key = (name, direction)
        limit = self._user_limits.get(key)
        if limit is None or limit.bytes_per_second != rate:
            (limit,) = _rate_limits(rate)
            self._user_limits[key] = limit
        return (limit,)


class _Books:
    """The books of one tree, and the quotas that go by them."""

    def __init__(self, base: Filesystem, tree: Filesystem, ledger: Ledger) -> None:
        self.base = base
        self._tree = tree
        self._ledger = ledger
        self._quotas: dict[tuple[int, int], Quota] = {}

    def quota(self, max_bytes: int, max_files: int) -> Quota:
        """The quota with these limits."""
        key = (max_bytes, max_files)
        if key not in self._quotas:
            self._quotas[key] = Quota(self._tree, max_bytes, max_files, self._ledger)
        return self._quotas[key]

    async def close(self) -> None:
        for quota in self._quotas.values():
            await quota.close()


def _rate_limits(rate: int) -> Sequence[RateLimit]:
    if not rate:
        return ()
    from fastxfer.core.xfer import RateLimit

    return (RateLimit(rate),)


def local_root(root: str | os.PathLike[str]) -> str:
    """The absolute path of the directory *root*; a clear error if it is none."""
    path = os.path.abspath(os.path.expanduser(os.fspath(root)))
    if not os.path.isdir(path):
        raise NotADirectoryError(f"the directory to be served does not exist: {path}")
    return path
