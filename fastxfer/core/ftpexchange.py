"""Small files over FTP in one go: see ``fastxfer/_ext/ftpexchange.pyi``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from fastxfer.core._choose import select

__all__ = ["Exchange", "Watch"]

AVAILABLE = sys.platform == "linux" and os.environ.get("FASTXFER_NO_EPOLL", "") in ("", "0")
"""Whether this system has what exchanges need; without them the same is done a step at a time."""

if TYPE_CHECKING:
    from fastxfer._ext.ftpexchange import Exchange, Watch
elif AVAILABLE:
    globals().update(select("ftpexchange"))
else:
    Exchange = Watch = None
