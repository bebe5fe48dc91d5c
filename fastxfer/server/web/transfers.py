"""One file on its way: counted, told to the hooks, entered into the logs."""

from __future__ import annotations

import asyncio
import logging
import time
from types import TracebackType

from fastxfer.server.hooks import Direction, TransferInfo
from fastxfer.server.web.context import Visit
from fastxfer.server.web.errors import ApiError
from fastxfer.server.web.pump import Progress

__all__ = ["CountedTransfer"]

logger = logging.getLogger("fastxfer.server.web")


class CountedTransfer:
    """Surrounds the transfer of *path*; the body counts what it moves.

    Args:
        visit: who transfers.
        direction: which way.
        path: the file, or the directory of an archive.
        offset: where it begins, bytes.

    Raises:
        ApiError: 429 when the user has as many transfers and sessions under way as are allowed.
        PermissionError: a hook refuses the transfer.
    """

    __slots__ = ("_began", "_direction", "_offset", "_path", "_progress", "_visit")

    def __init__(self, visit: Visit, direction: Direction, path: str, offset: int = 0) -> None:
        self._visit = visit
        self._direction = direction
        self._path = path
        self._offset = offset
        self._progress = Progress()
        self._began = 0.0

    async def __aenter__(self) -> Progress:
        service = self._visit.shared.service
        user = self._visit.account.user
        if not service.guard.enter_user(user.name, user.max_sessions):
            raise ApiError(429, "Too many transfers at the same time", {"Retry-After": "5"})
        if service.asks_transfers:
            try:
                await self._announce()
            except BaseException:
                service.guard.leave_user(user.name)
                raise
        self._began = time.monotonic()
        return self._progress

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, traceback: TracebackType | None
    ) -> None:
        service = self._visit.shared.service
        try:
            if service.records_transfers:
                info = self._info(time.monotonic() - self._began, failure)
                service.transfer_ended(info)
                if service.awaits_transfers:
                    await service.call("on_transfer_end", self._visit.session, info)
        finally:
            service.guard.leave_user(self._visit.account.user.name)

    def _info(self, duration: float, failure: BaseException | None) -> TransferInfo:
        error = ""
        if failure is not None:
            error = (
                (isinstance(failure, asyncio.CancelledError) and "cancelled") or str(failure) or type(failure).__name__
            )
        return TransferInfo(
            session=self._visit.session,
            direction=self._direction,
            path=self._path,
            offset=self._offset,
            moved=self._progress.moved,
            duration=duration,
            ok=failure is None,
            error=error,
            encrypted=self._visit.session.tls,
        )

    async def _announce(self) -> None:
        visit = self._visit
        info = TransferInfo(
            session=visit.session,
            direction=self._direction,
            path=self._path,
            offset=self._offset,
            encrypted=visit.session.tls,
        )
        try:
            await visit.shared.service.hooks.on_transfer_start(info)
        except PermissionError as error:
            logger.info("transfer of %r by %r refused by a hook: %s", info.path, info.session.user, error)
            raise
        except Exception:
            logger.exception("on_transfer_start failed")
