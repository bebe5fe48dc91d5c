"""The files that servers hold before a run, and what a run must leave there."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.macro.client import WorkerError
from fastxfer.bench import Work, file_names, source_folder, target_folder

BLOCK = os.urandom(1 << 20)
SPARE_LINKS = 256 * 1024


def fill(folder: Path, size: int, count: int, shared: Path) -> str:
    """Lay *count* files of *size* bytes in *folder*, unless they are there; their common prefix.

    Large ones are links to one file in *shared*, which is the same for all parties of a scenario. A file of its own for
    each would be faster or slower to send by a third, depending on whether the system found whole stretches of free
    memory for it, and the party whose file is written first would have the worst.
    """
    prefix = f"file-{size}-"
    folder.mkdir(parents=True, exist_ok=True)
    common = shared / f"{prefix}all"
    if size >= SPARE_LINKS and not common.exists():
        shared.mkdir(parents=True, exist_ok=True)
        write(common, size)
        _read_through(common)
    for index in range(count):
        path = folder / f"{prefix}{index}"
        if path.exists():
            continue
        if size >= SPARE_LINKS:
            path.hardlink_to(common)
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


def _read_through(path: Path) -> None:
    """The first reading of a file costs more than the later ones; nobody is to pay for it."""
    with path.open("rb", buffering=0) as file:
        while file.read(len(BLOCK)):
            pass


@contextlib.contextmanager
def entries(root: Path, count: int, shared: Path) -> Iterator[str]:
    """A directory of *count* empty files, which is in *root* meanwhile; its name.

    It is the same for all parties and waits in *shared* for the next. One of its own for each would be faster or slower
    to read by up to a fifth, depending on where the system found memory for its entries, and that of the party whose
    entries are laid first would be the worst.
    """
    name = f"entries-{count}"
    common, lent = shared / name, root / name
    if not common.exists():
        common.mkdir(parents=True)
        for index in range(count):
            os.close(os.open(common / f"entry-{index:06d}.dat", os.O_CREAT | os.O_WRONLY, 0o644))
    common.rename(lent)
    try:
        yield name
    finally:
        lent.rename(common)


class RemoteFiles:
    """Lays the files that clients download, and checks those that they upload.

    Args:
        root: the directory that the FTP server serves.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def prepare(self, work: Work) -> None:
        target = self._local(target_folder(work))
        shutil.rmtree(target, ignore_errors=True)
        _open_folder(target)
        for op in work.ops:
            folder = self._local(source_folder(work, op)) if op.startswith("download") else target
            for parent in {folder / Path(name).parent for name in file_names(work, op)}:
                _open_folder(parent)
            if op.startswith("download"):
                self._lay(folder, file_names(work, op), work.size)

    def check(self, work: Work) -> None:
        """Every uploaded file is there and whole.

        Raises:
            WorkerError: when one is not.
        """
        target = self._local(target_folder(work))
        for op in work.ops:
            if not op.startswith("upload"):
                continue
            for name in file_names(work, op):
                path = target / name
                if not path.exists() or path.stat().st_size != work.size:
                    raise WorkerError(f"{op}: {name} did not arrive whole")
        shutil.rmtree(target)

    def _local(self, remote: str) -> Path:
        return self._root / remote.lstrip("/")

    def _lay(self, folder: Path, names: list[str], size: int) -> None:
        first = folder / names[0]
        if not first.exists():
            write(first, size)
        for name in names[1:]:
            path = folder / name
            if path.exists():
                continue
            if size >= SPARE_LINKS:
                path.hardlink_to(first)
            else:
                write(path, size)


def _open_folder(path: Path) -> None:
    """A directory that the server's user may write in, whoever it is."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o777)
