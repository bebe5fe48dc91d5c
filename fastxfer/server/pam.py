"""Accounts of the machine, judged by PAM."""

from __future__ import annotations

import asyncio
import logging
import pwd
from concurrent.futures import ThreadPoolExecutor

from fastxfer.server.permissions import Permissions
from fastxfer.server.users import Authenticator, Credentials, User

__all__ = ["PamAuthenticator"]

logger = logging.getLogger("fastxfer.server")

THREADS = 4
MIN_UID = 1000
"""Accounts below belong to the system and cannot log in."""


class PamAuthenticator(Authenticator):
    """Lets accounts of the machine in.

    Files are read and written with the rights of the server's process, never with the account's own: what a user
    may do is what *user* grants. PAM runs in threads, since its modules may wait.

    Args:
        service: name of the PAM service (``/etc/pam.d/NAME``).
        roots: directory of the served tree that is the root of each user; ``{name}`` stands for the account.
        permissions: granted to everyone.
        min_uid: lowest user ID that may log in.

    Raises:
        ImportError: the package pamela is missing.
    """

    def __init__(
        self,
        service: str = "ftp",
        *,
        roots: str = "/home/{name}",
        permissions: Permissions | None = None,
        min_uid: int = MIN_UID,
    ) -> None:
        try:
            import pamela
        except ImportError as error:
            raise ImportError("PAM needs pamela: pip install 'fastxfer[pam]'") from error
        self._pamela = pamela
        self._service = service
        self._roots = roots
        self._permissions = permissions or Permissions()
        self._min_uid = min_uid
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="fastxfer-pam")

    async def authenticate(self, credentials: Credentials) -> User | None:
        name = credentials.name
        loop = asyncio.get_running_loop()
        if not await loop.run_in_executor(self._threads, self._ask, name, credentials.password):
            return None
        try:
            account = pwd.getpwnam(name)
        except (KeyError, ValueError):
            return None
        if account.pw_uid < self._min_uid or "/" in name or name in (".", ".."):
            logger.warning("account %r may not log in", name)
            return None
        return User(name=name, root=self._roots.format(name=name), permissions=self._permissions)

    def _ask(self, name: str, password: str) -> bool:
        if not name or "\0" in name + password:
            return False
        try:
            self._pamela.authenticate(name, password, service=self._service, close=True)
            self._pamela.check_account(name, service=self._service)
        except self._pamela.PAMError as error:
            logger.info("PAM refuses %r: %s", name, error)
            return False
        return True

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
