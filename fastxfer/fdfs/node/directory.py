"""The directory of a node: who uses it, and whether what is in it goes with what is asked for."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from fastxfer.fdfs.node.config import NodeConfig, StorageSpec
from fastxfer.fdfs.node.files import write_whole

FORMAT = 1
_STATE_FILE = "node.json"
_LOCK_FILE = "node.lock"


class DirectoryLock:
    """Keeps two nodes from using one directory at the same time; it dies with the process."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _LOCK_FILE
        self._fd = -1

    def acquire(self) -> None:
        """Take it; BlockingIOError where another node has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            _lock(fd)
        except OSError as error:
            os.close(fd)
            raise BlockingIOError(error.errno, "another node uses this directory", str(self._path.parent)) from None
        self._fd = fd

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _lock(fd: int) -> None:
    try:
        import fcntl
    except ImportError:
        import msvcrt

        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def check_identity(directory: Path, config: NodeConfig, storages: Sequence[tuple[StorageSpec, str]]) -> dict[str, int]:
    """Compare what file IDs in *directory* depend on with what is wanted, and write it down.

    Returns:
        When each storage joined, seconds since 1970.

    Raises:
        ValueError: files that are there would not be found any more.
    """
    path = directory / _STATE_FILE
    known: dict[str, dict[str, object]] = {}
    if path.exists():
        state = json.loads(path.read_text())
        if state.get("format") != FORMAT:
            raise ValueError(f"{path} has format {state.get('format')}, not {FORMAT}")
        known = state["storages"]
    wanted: dict[str, dict[str, object]] = {}
    for spec, name in storages:
        old = known.get(name, {})
        entry: dict[str, object] = {
            "source": spec.storage_id if config.use_storage_id else spec.host,
            "store_paths": spec.store_paths,
            "trunk": config.use_trunk_file,
            "subdir_count": config.subdir_count,
            "joined_at": old.get("joined_at", int(time.time())),
        }
        for field in ("source", "store_paths", "subdir_count"):
            if field in old and old[field] != entry[field]:
                raise ValueError(
                    f"{directory} was made with {field} {old[field]} for {name}, not {entry[field]}; "
                    "file IDs given out before would not be found"
                )
        wanted[name] = entry
    document = {"format": FORMAT, "storages": {**known, **wanted}}
    write_whole(str(path), json.dumps(document, indent=2).encode() + b"\n")
    return {name: int(str(entry["joined_at"])) for name, entry in wanted.items()}
