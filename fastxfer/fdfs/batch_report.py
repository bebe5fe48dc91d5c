"""Tells a batch's progress function how far it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fastxfer.fdfs.batch import BatchProgress, BatchResult

__all__ = ["Reporter"]

_log = logging.getLogger("fastxfer.fdfs")


class Reporter:
    """Counts results in *state* and calls *function* with it; one that fails is not called again."""

    def __init__(self, state: BatchProgress, function: Callable[[BatchProgress], object] | None) -> None:
        self._state = state
        self._function = function

    def count(self, result: BatchResult[Any], moved: int) -> None:
        self._state.count(result, moved)
        if self._function is not None and self._state.due():
            self.report()

    def report(self) -> None:
        """Call it now."""
        if self._function is None:
            return
        try:
            self._function(self._state)
        except Exception:
            # What it reports of was done, and is still to be given out: that must not be lost.
            self._function = None
            _log.exception("the progress function of a batch failed; it is not called again")
