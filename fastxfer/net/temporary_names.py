"""Names for files that are not whole yet."""

from __future__ import annotations

import os
import random

__all__ = ["mark"]

# As good as the system's own randomness against two processes taking one name, and a twentieth of its price.
_marks = random.Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_marks.seed)


def mark() -> str:
    """Eight hexadecimal digits that nobody else has; what is at stake is a name taken twice, not a secret."""
    return f"{_marks.getrandbits(32):08x}"
