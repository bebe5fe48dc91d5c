"""Metadata as a storage server keeps it: ``name 0x02 value`` joined with 0x01, sorted by name, cut to its limits."""

from __future__ import annotations

MAX_NAME = 64
MAX_VALUE = 256

Pairs = list[tuple[bytes, bytes]]


def split(text: bytes) -> Pairs:
    """The pairs in *text*, which ends at the first NUL, sorted by name; names and values are cut."""
    visible = text.partition(b"\0")[0]
    pairs = []
    for record in visible.split(b"\1") if visible else ():
        name, _, value = record.partition(b"\2")
        if record:
            pairs.append((name[:MAX_NAME], value[:MAX_VALUE]))
    return sorted(pairs, key=lambda pair: pair[0])


def pack(pairs: Pairs) -> bytes:
    return b"\1".join(name + b"\2" + value for name, value in pairs)


def overwrite(text: bytes) -> bytes:
    """What is stored for *text*.

    The real server packs the sorted pairs over the request's own bytes and then stores as many bytes as were sent:
    where cutting made them fewer, a NUL and old bytes are left at the end. So does this one.
    """
    packed = pack(split(text)) + b"\0"
    return (packed + text[len(packed) :])[: len(text)]


def merge(stored: bytes, text: bytes) -> bytes:
    """*stored* with the pairs of *text* added; a name that is in both takes the new value."""
    old, new = split(stored), split(text)
    merged: Pairs = []
    while old and new:
        if old[0][0] < new[0][0]:
            merged.append(old.pop(0))
        elif old[0][0] == new[0][0]:
            old.pop(0)
            merged.append(new.pop(0))
        else:
            merged.append(new.pop(0))
    return pack(merged + old + new)
