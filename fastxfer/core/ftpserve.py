"""System calls of the FTP server's hot paths: see ``fastxfer/_ext/ftpserve.pyi``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fastxfer.core._choose import select

__all__ = ["accept", "entry_mode", "open_partial", "turn_away"]

if TYPE_CHECKING:
    from fastxfer._ext.ftpserve import accept, entry_mode, open_partial, turn_away
elif sys.platform == "linux":
    globals().update(select("ftpserve"))
else:
    from fastxfer._pure.ftpserve import accept, entry_mode, open_partial, turn_away
