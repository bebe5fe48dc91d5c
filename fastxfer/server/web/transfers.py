"""One file on its way: counted, told to the hooks, entered into the logs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from fastxfer.server.hooks import Direction, TransferInfo
from fastxfer.server.web.context import Visit
from fastxfer.server.web.errors import ApiError
from fastxfer.server.web.pump import Progress

__all__ = ["transfer"]

logger = logging.getLogger("fastxfer.server.web")


@asynccontextmanager
async def transfer(visit: Visit, direction: Direction, path: str, offset: int = 0) -> AsyncIterator[Progress]:
    """Surrounds the transfer of *path*; the body counts what it moves.

    Raises:
        ApiError: 429 when the user has as many transfers and sessions under way as are allowed.
        PermissionError: a hook refuses the transfer.
    """
    service = visit.shared.service
    user = visit.account.user
    if not service.guard.enter_user(user.name, user.max_sessions):
        raise ApiError(429, "Too many transfers at the same time", {"Retry-After": "5"})
    try:
        info = TransferInfo(
            session=visit.session, direction=direction, path=path, offset=offset, encrypted=visit.session.tls
        )
        await _announce(visit, info)
        progress = Progress()
        began = time.monotonic()
        error = ""
        try:
            yield progress
        except asyncio.CancelledError:
            error = "cancelled"
            raise
        except BaseException as failure:
            error = str(failure) or type(failure).__name__
            raise
        finally:
            info = replace(info, moved=progress.moved, duration=time.monotonic() - began, ok=not error, error=error)
            service.transfer_ended(info)
            await service.call("on_transfer_end", visit.session, info)
    finally:
        service.guard.leave_user(user.name)


async def _announce(visit: Visit, info: TransferInfo) -> None:
    hooks = visit.shared.service.hooks
    if not hooks.listens("on_transfer_start"):
        return
    try:
        await hooks.on_transfer_start(info)
    except PermissionError as error:
        logger.info("transfer of %r by %r refused by a hook: %s", info.path, info.session.user, error)
        raise
    except Exception:
        logger.exception("on_transfer_start failed")
