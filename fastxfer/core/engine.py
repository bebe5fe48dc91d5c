"""Native threads that drive transfers: see ``fastxfer/_ext/engine.pyi``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from fastxfer.core._choose import select
from fastxfer.core.xfer import Transfer

__all__ = ["Engine"]

if TYPE_CHECKING:
    from fastxfer._ext.engine import Engine
elif (
    sys.platform == "linux"
    and os.environ.get("FASTXFER_NO_EPOLL", "") in ("", "0")
    and Transfer.__module__ == "fastxfer._ext.xfer"
):
    globals().update(select("engine"))
else:  # the compiled engine needs epoll and compiled transfers; the twin drives transfers of either kind
    from fastxfer._pure.engine import Engine
