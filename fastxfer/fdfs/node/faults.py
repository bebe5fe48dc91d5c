"""Failures on demand: what a test wants to go wrong, and how often."""

from __future__ import annotations

import threading
from dataclasses import dataclass

__all__ = ["Fault", "Faults"]


@dataclass
class Fault:
    """Something that goes wrong with a request.

    Args:
        server: name of the server it happens on (``tracker1``, ``group1/storage1``), or the beginning of it;
            empty for every server.
        command: command code of the requests it happens to; None for all.
        times: how many requests it happens to; None for all.
        skip: how many matching requests pass unharmed first.
        status: answer with this status and do nothing.
        delay: seconds before the request is looked at.
        stall: never answer.
        reply: send these bytes instead of the answer (the request is not carried out).
        answer: send these bytes instead of the answer, when the request has been carried out.
        cut: send only this many bytes of the answer, then close. 0 carries the request out and closes.
        corrupt: flip every bit of the byte at this offset of the answer's body.
        close: close the connection without looking at the request.
    """

    server: str = ""
    command: int | None = None
    times: int | None = 1
    skip: int = 0
    status: int | None = None
    delay: float = 0.0
    stall: bool = False
    reply: bytes | None = None
    answer: bytes | None = None
    cut: int | None = None
    corrupt: int | None = None
    close: bool = False
    hits: int = 0
    """How often it has happened."""

    def __post_init__(self) -> None:
        if self.times is not None and self.times < 1:
            raise ValueError(f"times must be at least 1 or None, not {self.times}")


class Faults:
    """The faults of a node; empty costs nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Arm *fault* and return it, to look at ``hits`` or to disarm it."""
        with self._lock:
            self._faults = [*self._faults, fault]
        return fault

    def remove(self, fault: Fault) -> None:
        """Disarm *fault*; nothing happens where it was not armed."""
        with self._lock:
            self._faults = [armed for armed in self._faults if armed is not fault]

    def clear(self) -> None:
        """Disarm all."""
        with self._lock:
            self._faults = []

    def match(self, server: str, command: int) -> Fault | None:
        """The fault that happens to this request, if any; counts it."""
        if not self._faults:
            return None
        with self._lock:
            for fault in self._faults:
                if not server.startswith(fault.server) or fault.command not in (None, command):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                if fault.times is not None and fault.hits >= fault.times:
                    continue
                fault.hits += 1
                return fault
        return None
