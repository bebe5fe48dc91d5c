"""The three phases of the demo: upload, download and verify, delete; each with several threads."""

from __future__ import annotations

import filecmp
import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastxfer.cli._display import CountDisplay
from fastxfer.cli._errors import describe, exit_code
from fastxfer.cli._parameters import size_text
from fastxfer.fdfs import Client, IntegrityError

IN_MEMORY = 4 << 20
"""Files up to this size are verified in memory, larger ones through a temporary file, bytes."""


@dataclass(frozen=True)
class LocalFile:
    path: Path
    size: int


@dataclass
class Phase:
    """What one phase did. Latencies are seconds."""

    name: str
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def megabytes_per_second(self) -> float:
        return self.bytes / 1e6 / max(self.seconds, 1e-9)

    @property
    def files_per_second(self) -> float:
        return self.files / max(self.seconds, 1e-9)

    def percentile(self, percent: float) -> float:
        """The latency that *percent* of the files did not exceed; 0 where there were none."""
        if not self.latencies:
            return 0.0
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    def document(self) -> dict[str, Any]:
        return {
            "phase": self.name,
            "files": self.files,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 6),
            "megabytes_per_second": round(self.megabytes_per_second, 3),
            "files_per_second": round(self.files_per_second, 1),
            "p50_seconds": round(self.percentile(50), 6),
            "p99_seconds": round(self.percentile(99), 6),
        }


def find_files(root: Path, limit: int | None) -> list[LocalFile]:
    """The regular, readable files at or below *root*; links, installed packages and caches are left out."""
    found: list[LocalFile] = []
    for path in [root] if root.is_file() else _walk(root):
        if limit is not None and len(found) >= limit:
            break
        info = path.lstat()
        if stat.S_ISREG(info.st_mode) and os.access(path, os.R_OK):
            found.append(LocalFile(path, info.st_size))
    return found


def _walk(root: Path) -> Iterable[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in ("site-packages", "dist-packages", "__pycache__"))
        for name in sorted(names):
            yield Path(folder, name)


class DemoRun:
    """Runs the phases; a file that fails is noted and left out of those that follow."""

    def __init__(self, client: Client, files: list[LocalFile], threads: int, display: CountDisplay) -> None:
        self.threads = threads
        self.phases: list[Phase] = []
        self.errors: list[str] = []
        self.mismatches: list[str] = []
        self._client = client
        self._display = display
        self._files = files
        self._stored: list[tuple[LocalFile, str]] = []
        self._lock = threading.Lock()

    def upload(self) -> None:
        def one(file: LocalFile) -> int:
            file_id = self._client.upload_file(file.path, file_ext_name="")
            with self._lock:
                self._stored.append((file, file_id))
            return file.size

        self._run("upload", self._files, one, lambda file: str(file.path))

    def download(self) -> None:
        with tempfile.TemporaryDirectory(prefix="fastxfer-demo-") as directory:

            def one(stored: tuple[LocalFile, str]) -> int:
                file, file_id = stored
                if file.size <= IN_MEMORY:
                    same = self._client.download_file(file_id) == file.path.read_bytes()
                else:
                    copy = Path(directory, str(threading.get_ident()))
                    self._client.download_to_file(file_id, copy)
                    same = filecmp.cmp(file.path, copy, shallow=False)
                    copy.unlink()
                if not same:
                    raise IntegrityError(f"{file.path} came back changed")
                return file.size

            self._run("download", list(self._stored), one, lambda stored: str(stored[0].path))

    def delete(self) -> None:
        def one(stored: tuple[LocalFile, str]) -> int:
            self._client.delete_file(stored[1])
            return 0

        self._run("delete", list(self._stored), one, lambda stored: str(stored[0].path))

    def _run(
        self,
        name: str,
        items: list[Any],
        operation: Callable[[Any], int],
        item_name: Callable[[Any], str],
    ) -> None:
        phase = Phase(name)
        self.phases.append(phase)
        task = self._display.phase(name, len(items))
        remaining = iter(items)
        stopping = threading.Event()
        begun = time.perf_counter()

        def work() -> None:
            while not stopping.is_set():
                with self._lock:
                    item = next(remaining, None)
                if item is None:
                    return
                started = time.perf_counter()
                try:
                    size = operation(item)
                except Exception as error:
                    self._note(error, item_name(item))
                    continue
                with self._lock:
                    phase.files += 1
                    phase.bytes += size
                    phase.latencies.append(time.perf_counter() - started)

        pool = ThreadPoolExecutor(self.threads, "fastxfer-demo")
        try:
            futures = [pool.submit(work) for _ in range(self.threads)]
            while not all(future.done() for future in futures):
                time.sleep(0.05)
                self._show(task, phase, time.perf_counter() - begun)
        finally:
            stopping.set()
            pool.shutdown()
        phase.seconds = max(time.perf_counter() - begun, 1e-9)
        for future in futures:
            future.result()
        self._show(task, phase, phase.seconds)

    def _show(self, task: Any, phase: Phase, seconds: float) -> None:
        rate = f"{size_text(phase.bytes / max(seconds, 1e-9))}/s" if phase.bytes else ""
        self._display.show(task, phase.files, rate)

    def _note(self, error: Exception, name: str) -> None:
        if exit_code(error) is None:
            raise error
        with self._lock:
            notes = self.mismatches if isinstance(error, IntegrityError) else self.errors
            notes.append(f"{name}: {describe(error)}")
