"""Who logs in."""

from __future__ import annotations

import base64
import warnings
from dataclasses import dataclass, field

__all__ = ["Auth", "Basic", "Guest"]

SHORTEST = 8
_WEAK = frozenset({"password", "12345678", "123456789", "qwerty123", "password1", "letmein1", "iloveyou", "admin123"})


@dataclass(frozen=True)
class Basic:
    """A user and password.

    Warns of a password that is short or known to everybody.

    Args:
        user: login name.
        password: in clear.
        auth: the same as an HTTP Basic header; made when not given.

    Raises:
        ValueError: the user or the password is blank.
    """

    user: str
    password: str = field(repr=False)
    auth: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not self.user.strip() or not self.password.strip():
            raise ValueError("user and password must not be blank")
        if len(self.password) < SHORTEST:
            warnings.warn(f"the password has fewer than {SHORTEST} characters", stacklevel=3)
        elif self.password.lower() in _WEAK or self.password == self.user:
            warnings.warn("the password is easily guessed", stacklevel=3)
        if not self.auth:
            token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")
            object.__setattr__(self, "auth", f"Basic {token}")


@dataclass(frozen=True)
class Guest:
    """The anonymous account.

    Args:
        key: who one is, by convention an address; sent where the password would be.

    Raises:
        ValueError: *key* is blank.
    """

    key: str

    def __post_init__(self) -> None:
        if not self.key.strip():
            raise ValueError("key must not be blank")


Auth = Basic | Guest
