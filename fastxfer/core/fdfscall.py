"""The small FastDFS operations from their arguments to their results: see ``fastxfer/_ext/fdfscall.pyi``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastxfer.core._choose import select

__all__ = ["Begun", "Shortcut"]

if TYPE_CHECKING:
    from fastxfer._ext.fdfscall import Begun, Shortcut
else:
    globals().update(select("fdfscall"))
