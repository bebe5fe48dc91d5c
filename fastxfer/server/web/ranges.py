"""Byte ranges of a request (RFC 9110, section 14)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["MAX_RANGES", "ByteRange", "ContentRange", "UnsatisfiableError", "parse_content_range", "parse_range"]

MAX_RANGES = 16
"""A request for more ranges than this gets the whole file (RFC 9110, 14.2 lets a server ignore such headers)."""

_HUGE = 1 << 63
_SPEC = re.compile(r"(\d*)\s*-\s*(\d*)", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes[ \t]+(?:(\d{1,19})-(\d{1,19})|(\*))/(?:(\d{1,19})|\*)", re.ASCII)


@dataclass(frozen=True)
class ByteRange:
    """The bytes from ``start`` up to, not including, ``stop``."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        """The value of Content-Range for a representation of *size* bytes."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


@dataclass(frozen=True)
class ContentRange:
    """Content-Range of an upload: where its body belongs; ``total`` is None when the sender does not know it yet.

    ``span`` is None for ``bytes */N``, which carries no bytes and only asks how far the upload has come.
    """

    span: ByteRange | None
    total: int | None


class UnsatisfiableError(ValueError):
    """No range asked for lies within the file: the answer is 416."""


def parse_range(header: str | None, size: int) -> list[ByteRange] | None:
    """The ranges that *header* asks of a file of *size* bytes, in the order asked, overlapping ones joined.

    None when there is no header, or one that is to be ignored: another unit, bad syntax, too many ranges.

    Raises:
        UnsatisfiableError: the syntax is right and nothing of it lies within the file.
    """
    if header is None:
        return None
    unit, equals, specs = header.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    parts = [part.strip() for part in specs.split(",") if part.strip()]
    if not parts or len(parts) > MAX_RANGES:
        return None
    found: list[ByteRange] = []
    for part in parts:
        match = _SPEC.fullmatch(part)
        if match is None or not any(match.groups()):
            return None
        first, last = match.groups()
        if first:
            start = _bounded(first)
            stop = min(_bounded(last) + 1, size) if last else size
            if last and _bounded(last) < start:
                return None
        else:
            start = max(size - _bounded(last), 0)
            stop = size
        if start < stop:
            found.append(ByteRange(start, stop))
    if not found:
        raise UnsatisfiableError(header)
    return _joined(found)


def parse_content_range(header: str) -> ContentRange:
    """Read the Content-Range of an upload (RFC 9110, 14.4 and 14.5).

    Raises:
        ValueError: bad syntax, an empty range, or a range past the total.
    """
    match = _CONTENT_RANGE.fullmatch(header.strip())
    if match is None:
        raise ValueError("Content-Range must be like 'bytes 0-99/200'")
    first, last, asked, total_text = match.groups()
    total = int(total_text) if total_text else None
    if asked:
        return ContentRange(None, total)
    span = ByteRange(int(first), int(last) + 1)
    if span.length <= 0 or (total is not None and span.stop > total):
        raise ValueError("Content-Range does not fit its own total")
    return ContentRange(span, total)


def _bounded(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) < 19 else _HUGE


def _joined(ranges: Sequence[ByteRange]) -> list[ByteRange]:
    ordered = sorted(ranges, key=lambda item: item.start)
    if all(left.stop < right.start for left, right in pairwise(ordered)):
        return list(ranges)
    joined = [ordered[0]]
    for item in ordered[1:]:
        if item.start <= joined[-1].stop:
            joined[-1] = ByteRange(joined[-1].start, max(item.stop, joined[-1].stop))
        else:
            joined.append(item)
    return joined
