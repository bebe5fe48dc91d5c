"""How often, and after what pauses, a failed operation is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["RetryPolicy"]


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff with full jitter on the upper half of each pause.

    Attributes:
        attempts: how often an operation is tried in all; 1 means no retry.
        first_delay: longest pause before the second attempt, seconds; doubled before each further one.
        max_delay: no pause is longer than this, seconds.
    """

    attempts: int = 3
    first_delay: float = 0.1
    max_delay: float = 5.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, not {self.attempts}")
        if self.first_delay < 0 or self.max_delay < 0:
            raise ValueError("delays must not be negative")

    def delay(self, failures: int) -> float:
        """Seconds to wait after the *failures*-th failed attempt (1, 2, …): between half and all of the backoff.

        The jitter keeps many clients that failed together from returning together.
        """
        longest = min(self.max_delay, self.first_delay * 2.0 ** min(failures - 1, 60))
        return longest * random.uniform(0.5, 1.0)
