"""System calls of the FTP server's hot paths: see ``fastxfer/_ext/ftpserve.pyi``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeAlias

from fastxfer.core._choose import select

__all__ = ["Shortcut", "Uploads", "accept", "entry_mode", "land", "open_partial", "openat2", "send_now", "turn_away"]

Rest: TypeAlias = tuple[str, str, int, int, int] | tuple[str, str, int, int, int, str, bytes, int]
"""What :meth:`Shortcut.serve` leaves of a transfer."""

if TYPE_CHECKING:
    from fastxfer._ext.ftpserve import (
        Shortcut,
        Uploads,
        accept,
        entry_mode,
        land,
        open_partial,
        openat2,
        send_now,
        turn_away,
    )
elif sys.platform == "linux":
    globals().update(select("ftpserve"))
else:
    from fastxfer._pure.ftpserve import (
        Shortcut,
        Uploads,
        accept,
        entry_mode,
        land,
        open_partial,
        openat2,
        send_now,
        turn_away,
    )
