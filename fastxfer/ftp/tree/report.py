"""What a tool that touches many files says at the end, and while it runs."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fastxfer.net.progress import Progress

__all__ = ["Item", "OnItem", "TreeProgress", "TreeReport"]

_MOST_FAILURES = 10_000


@dataclass(frozen=True)
class Item:
    """One file or directory that a tool has dealt with.

    Attributes:
        action: ``"upload"``, ``"download"``, ``"delete"``, ``"mkdir"``, ``"skip"`` (there was nothing to do, or it was
            left out), ``"match"``, ``"differ"``, ``"missing"``, ``"extra"`` (:meth:`~AsyncClient.verify`).
        local: the local path, or "".
        remote: the remote path, or "".
        ok: it went well.
        size: bytes moved or compared.
        error: why it did not.
        reason: for ``skip``: why there was nothing to do.
        is_directory: it is a directory.
    """

    action: str
    local: str = ""
    remote: str = ""
    ok: bool = True
    size: int = 0
    error: BaseException | None = None
    reason: str = ""
    is_directory: bool = False


OnItem = Callable[[Item], object]


@dataclass
class TreeReport:
    """The sum of it. Successes are counted, failures are kept: give ``on_item`` to see every item.

    Attributes:
        actions: how many items, by action; failed ones not included.
        failures: the items that failed (the first 10,000 of them).
        failed: how many failed.
        bytes: bytes moved.
        seconds: how long it took.
        dry_run: nothing was really done.
        path: for a backup, the remote directory it is in; else "".
    """

    actions: Counter[str] = field(default_factory=Counter)
    failures: list[Item] = field(default_factory=list)
    failed: int = 0
    bytes: int = 0
    seconds: float = 0.0
    dry_run: bool = False
    path: str = ""

    @property
    def ok(self) -> bool:
        """Nothing failed."""
        return not self.failed

    def raise_for_failures(self) -> None:
        """Raise the first failure, if there is one."""
        for item in self.failures:
            if item.error is not None:
                raise item.error


class TreeProgress(Progress):
    """Progress of many files at once: :attr:`transferred` counts the bytes of all, those in flight included.

    Attributes:
        files_done: files finished, well or badly.
        files_failed: of those, badly.
    """

    def __init__(self, callback: Callable[[Progress], object] | None = None, total: int | None = None) -> None:
        super().__init__(callback, total)
        self.files_done = 0
        self.files_failed = 0
        self._in_flight: set[Progress] = set()

    @property
    def transferred(self) -> int:
        return super().transferred + sum(part.transferred for part in tuple(self._in_flight))

    def begin_file(self) -> Progress:
        """The progress of one more file."""
        part = Progress()
        self._in_flight.add(part)
        self.advance(0)
        return part

    def end_file(self, part: Progress, *, ok: bool) -> None:
        """That file is finished; its bytes count on."""
        self._in_flight.discard(part)
        self.advance(part.transferred)
        self.files_done += 1
        self.files_failed += not ok


class Recorder:
    """Gathers items into a report and shows them to whoever wants to see each."""

    def __init__(self, on_item: OnItem | None, progress: TreeProgress | None, *, dry_run: bool = False) -> None:
        self.report = TreeReport(dry_run=dry_run)
        self.progress = progress
        self._on_item = on_item
        self._began = time.monotonic()

    @contextlib.contextmanager
    def following(self) -> Iterator[Progress | None]:
        """The progress of one more file, where it is wanted; an error that leaves the block is the file's."""
        progress = self.progress
        if progress is None:
            yield None
            return
        part = progress.begin_file()
        ok = False
        try:
            yield part
            ok = True
        finally:
            progress.end_file(part, ok=ok)

    def add(self, item: Item) -> None:
        """One more item."""
        report = self.report
        if item.ok:
            report.actions[item.action] += 1
            report.bytes += item.size if item.action in ("upload", "download") and not report.dry_run else 0
        else:
            report.failed += 1
            if len(report.failures) < _MOST_FAILURES:
                report.failures.append(item)
        if self._on_item is not None:
            self._on_item(item)

    def finish(self) -> TreeReport:
        """No more items."""
        self.report.seconds = time.monotonic() - self._began
        if self.progress is not None:
            self.progress.finish()
        return self.report
