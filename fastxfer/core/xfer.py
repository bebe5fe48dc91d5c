"""One movement of bytes over one socket: see ``fastxfer/_ext/xfer.pyi``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastxfer.core._choose import select

__all__ = ["FRAMING_FASTDFS", "FRAMING_NONE", "FRAMING_RAW", "RateLimit", "Transfer", "exchange", "let_sleep"]

if TYPE_CHECKING:
    from fastxfer._ext.xfer import (
        FRAMING_FASTDFS,
        FRAMING_NONE,
        FRAMING_RAW,
        RateLimit,
        Transfer,
        exchange,
        let_sleep,
    )
else:
    globals().update(select("xfer"))
