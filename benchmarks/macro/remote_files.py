"""The files that servers hold before a run."""

from __future__ import annotations

import os
from pathlib import Path

BLOCK = os.urandom(1 << 20)
SPARE_LINKS = 256 * 1024


def fill(folder: Path, size: int, count: int) -> str:
    """Lay *count* files of *size* bytes in *folder*, unless they are there; their common prefix.

    Large ones are links to one file: what counts is that it is read, not where it lies.
    """
    prefix = f"file-{size}-"
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        path = folder / f"{prefix}{index}"
        if path.exists():
            continue
        if index and size >= SPARE_LINKS:
            path.hardlink_to(folder / f"{prefix}0")
        else:
            write(path, size)
    return prefix


def write(path: Path, size: int) -> None:
    """Write a file of *size* bytes."""
    with path.open("wb", buffering=0) as file:
        left = size
        while left > 0:
            left -= file.write(BLOCK[:left])
    path.chmod(0o644)


def lay_entries(root: Path, count: int) -> str:
    """A directory of *count* empty files below *root*, unless it is there; its name."""
    name = f"entries-{count}"
    folder = root / name
    if not folder.exists():
        folder.mkdir()
        for index in range(count):
            os.close(os.open(folder / f"entry-{index:06d}.dat", os.O_CREAT | os.O_WRONLY, 0o644))
    return name
