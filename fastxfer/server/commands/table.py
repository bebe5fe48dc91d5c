"""The table of commands: each a small function that takes the session and the argument."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from fastxfer.server.session import Session

__all__ = ["COMMANDS", "Command", "Handler", "command"]

Handler = Callable[["Session", str], "bytes | Awaitable[bytes | None] | None"]
"""Gives the reply, or an awaitable of it; None where the replies were written already."""


H = TypeVar("H", bound=Handler)


@dataclass(frozen=True, slots=True)
class Command:
    """One entry of the table."""

    verb: str
    run: Handler
    login: bool
    """Whether it needs a user who has logged in."""
    argument: bool | None
    """True: an argument is required, False: none is allowed, None: either."""
    keeps: bool
    """Whether a restart point that REST has set survives this command."""
    neutral: bool
    """Whether it changes nothing that the next transfers depend on, so that a shortcut may go on serving them."""
    syntax: str
    """The argument as HELP shows it."""
    rfc: str
    """Where the command is defined."""


COMMANDS: dict[str, Command] = {}
"""Verb → command."""


def command(
    verb: str, rfc: str, *, syntax: str = "", login: bool = True, keeps: bool = False, neutral: bool = False
) -> Callable[[H], H]:
    """Enter the decorated function into the table.

    Args:
        verb: the command, in upper case.
        rfc: where it is defined.
        syntax: the argument; empty: none is allowed; in square brackets: optional.
        login: whether it needs a login.
        keeps: whether REST survives it.
        neutral: whether the next transfers are what they would be without it, files and names aside.
    """

    def enter(handler: H) -> H:
        if verb in COMMANDS:
            raise ValueError(f"command {verb} is defined twice")
        argument = None if syntax.startswith("[") else bool(syntax)
        COMMANDS[verb] = Command(verb, handler, login, argument, keeps, neutral, syntax, rfc)
        return handler

    return enter
