"""Why a transfer failed: the server's own reason, where it gives one soon."""

from __future__ import annotations

from fastxfer.ftp.errors import FTPError, ReplyError
from fastxfer.ftp.session import Session

__all__ = ["GRACE", "NOOP_REPLIES", "reason"]

GRACE = 1.5
"""Seconds to wait for the server's reason when its data connection failed."""
NOOP_REPLIES = frozenset({200, 500, 502})
"""What NOOP is answered with, and a transfer is not."""


async def reason(session: Session, line: str, seconds: float, noops: int = 0) -> ReplyError | None:
    """The refusal that comes within *seconds*, if any; answers to as many *noops* may come before it."""
    try:
        reply = await session.reply(line, seconds=seconds)
        while noops and reply.code in NOOP_REPLIES:
            noops -= 1
            reply = await session.reply(line, seconds=seconds)
    except ReplyError as refusal:
        return refusal
    except FTPError:
        return None
    return session.refusal(reply, line) if reply.code >= 400 else None
