"""Checks of what callers give, before anything is sent: :class:`InvalidArgumentError`, naming the argument."""

from __future__ import annotations

import math
from operator import index
from typing import Any

from fastxfer.fdfs.errors import InvalidArgumentError
from fastxfer.net.cancel import CancelToken

__all__ = [
    "LARGEST",
    "LARGEST_CONCURRENCY",
    "check_cancel",
    "check_integer",
    "check_items",
    "check_progress",
    "check_timeout",
]

LARGEST = (1 << 63) - 1
"""What the protocol has room for where it tells offsets, lengths and sizes."""

LARGEST_CONCURRENCY = 1 << 16
"""Items of a batch under way at a time: more is a slip of the pen, and memory for each of them is taken at once."""


def check_integer(name: str, value: Any, least: int = 0, most: int = LARGEST) -> int:
    """*value* as an int from *least* to *most*; those of other libraries are welcome, True and 1.5 are slips."""
    try:
        if value.__class__ is bool:
            raise TypeError
        number = index(value)
    except TypeError:
        raise InvalidArgumentError(f"{name} must be an integer, not {value!r}") from None
    if number < least:
        rule = "not be negative" if least == 0 else f"be at least {least}"
        raise InvalidArgumentError(f"{name} must {rule}, not {_short(number)}")
    if number > most:
        raise InvalidArgumentError(f"{name} must be at most {most}, not {_short(number)}")
    return number


def check_timeout(value: Any) -> float | None:
    """*value*, seconds or None for no end; what has passed already is a time, too."""
    try:
        if value is None or (value.__class__ is not bool and not math.isnan(value)):
            return None if value is None else float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except TypeError:
        pass
    raise InvalidArgumentError(f"timeout must be a number of seconds or None, not {value!r}")


def check_progress(value: Any) -> None:
    """*value* is called with how far it all is, or is None."""
    if value is not None and not callable(value):
        raise InvalidArgumentError(f"progress must be a function, not {value!r}")


def check_cancel(value: Any) -> None:
    """*value* is what ends an operation, or None."""
    if value is not None and not isinstance(value, CancelToken):
        raise InvalidArgumentError(f"cancel must be a CancelToken, not {value!r}")


def check_items(value: Any) -> None:
    """*value* is the items of a batch, not one of them whose characters would pass for items."""
    if isinstance(value, (str, bytes, bytearray, memoryview)):
        raise InvalidArgumentError(
            f"a batch takes a list of items, or another iterable, not one {type(value).__name__}"
        )


def _short(number: int) -> str:
    # An int of thousands of digits cannot be turned into text.
    return str(number) if number.bit_length() <= 256 else f"a number of {number.bit_length()} bits"
