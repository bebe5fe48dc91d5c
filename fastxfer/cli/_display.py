"""Live progress on a terminal; nothing at all elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import (
    Progress as RichProgress,
)

from fastxfer.cli._output import Output, harmless
from fastxfer.net.progress import Progress

if TYPE_CHECKING:
    from typing_extensions import Self


class _Display:
    """Shown while it is entered."""

    _rich: RichProgress

    def __enter__(self) -> Self:
        self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._rich.stop()


class TransferDisplay(_Display):
    """One moving line per file that is under way."""

    def __init__(self, output: Output) -> None:
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        ]
        self._rich = RichProgress(
            *columns, console=output.progress_console, disable=not output.live, transient=True, refresh_per_second=10
        )
        self._live = output.live

    def follow(self, description: str, total: int | None = None) -> tuple[Progress | None, Callable[[], None]]:
        """A progress to give to a transfer, and what to call when it has ended."""
        if not self._live:
            return None, lambda: None
        task = self._rich.add_task(harmless(description), total=total)

        def show(progress: Progress) -> None:
            self._rich.update(task, completed=progress.transferred, total=progress.total or total)

        return Progress(show, total), lambda: self._rich.remove_task(task)


class CountDisplay(_Display):
    """One line per phase of many files: files done of all, bytes per second, time."""

    def __init__(self, output: Output) -> None:
        self._rich = RichProgress(
            TextColumn("{task.description:>10}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeElapsedColumn(),
            console=output.progress_console,
            disable=not output.live,
            refresh_per_second=10,
        )

    def phase(self, name: str, total: int | None) -> TaskID:
        return self._rich.add_task(name, total=total, rate="")

    def show(self, task: TaskID, done: int, rate: str, total: int | None = None) -> None:
        if total is None:
            self._rich.update(task, completed=done, rate=rate)
        else:
            self._rich.update(task, completed=done, rate=rate, total=total)
