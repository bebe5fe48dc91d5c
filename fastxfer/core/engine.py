"""Native threads that drive transfers: see ``fastxfer/_ext/engine.pyi``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastxfer.core._choose import select

__all__ = ["Engine"]

if TYPE_CHECKING:
    from fastxfer._ext.engine import Engine
else:
    globals().update(select("engine"))
