"""Failures as this API tells them: warnings, and functions of the user's that are called on events."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["FtpPyWarning", "Hook", "Hooks"]

log = logging.getLogger("fastxfer.ftppy")

Hook = Callable[..., Any]


class FtpPyWarning(UserWarning):
    """Something was not done; the text says why."""


class Hooks:
    """The functions registered for events, coroutine functions or plain ones.

    Args:
        functions: by event: ``connect``, ``error``, ``upload``, ``download``, ``request``, ``start``, ``stop``.

    Raises:
        TypeError: something is no function.
    """

    def __init__(self, functions: Mapping[str, Hook] | None) -> None:
        self._functions = dict(functions or {})
        for name, function in self._functions.items():
            if not callable(function):
                raise TypeError(f"the hook {name!r} must be a function, not {type(function).__name__}")

    def __contains__(self, event: str) -> bool:
        return event in self._functions

    async def call(self, event: str, *arguments: object) -> None:
        """Call the function for *event*, if there is one. What it raises becomes a warning."""
        function = self._functions.get(event)
        if function is None:
            return
        try:
            outcome = function(*arguments)
            if inspect.isawaitable(outcome):
                await outcome
        except Exception as error:
            log.warning("the hook %r failed", event, exc_info=True)
            warnings.warn(f"the hook {event!r} failed: {error}", FtpPyWarning, stacklevel=2)

    async def failed(self, what: str, error: BaseException) -> None:
        """Tell that *what* was not done because of *error*."""
        text = str(error) or type(error).__name__
        log.info("%s: %s", what, text)
        await self.call("error", error)
        warnings.warn(f"{what}: {text}", FtpPyWarning, stacklevel=4)
