"""Doing the same to several items, some at a time, going on after errors, and one exit code for it all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import click

from fastxfer.cli._errors import describe, exit_code
from fastxfer.cli._exit_codes import ExitCode
from fastxfer.cli._output import Output
from fastxfer.net.cancel import CancelToken

Item = TypeVar("Item")


class Several:
    """Runs an operation on items, in order of completion.

    Args:
        output: gets a JSON document per item, or a line of text; errors go to standard error.
        jobs: how many at a time.
    """

    def __init__(self, output: Output, jobs: int = 1) -> None:
        self.output = output
        self.jobs = jobs
        self.cancel = CancelToken()

    def run(
        self,
        items: Sequence[Item],
        operation: Callable[[Item], tuple[dict[str, Any], str]],
        name: Callable[[Item], str] = str,
    ) -> int:
        """Do it, and return the exit code: see :func:`overall`."""
        return overall(self.each(items, operation, name))

    def each(
        self,
        items: Sequence[Item],
        operation: Callable[[Item], tuple[dict[str, Any], str]],
        name: Callable[[Item], str] = str,
    ) -> list[ExitCode]:
        """Do it, tell of each item, and return their exit codes. The first Ctrl-C cancels what is under way."""
        codes: list[ExitCode] = []
        pool = ThreadPoolExecutor(max(1, min(self.jobs, len(items))), "fastxfer-cli")
        try:
            futures = {pool.submit(operation, item): item for item in items}
            waiting = set(futures)
            while waiting:
                # A timeout lets Ctrl-C through on every system.
                finished, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                codes += [self._report(future, name(futures[future])) for future in finished]
        except BaseException:
            self.cancel.cancel()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        return codes

    def in_turn(
        self, items: Sequence[Item], operation: Callable[[Item], ExitCode | None], name: Callable[[Item], str] = str
    ) -> list[ExitCode]:
        """Do it in this thread, one item after the other, which show themselves; only failures are told here."""
        codes = []
        for item in items:
            try:
                codes.append(operation(item) or ExitCode.OK)
            except BrokenPipeError:
                # Nobody reads what is shown any more.
                raise
            except Exception as error:
                codes.append(self._complain(error, name(item)))
        return codes

    def _report(self, future: Future[tuple[dict[str, Any], str]], name: str) -> ExitCode:
        error = future.exception()
        if error is None:
            document, text = future.result()
            self.output.result(document, text or None)
            return ExitCode.OK
        return self._complain(error, name)

    def _complain(self, error: BaseException, name: str) -> ExitCode:
        code = exit_code(error)
        if code is None:
            raise error
        if self.output.as_json:
            self.output.json_line(
                {"item": name, "error": describe(error), "type": type(error).__name__, "exit_code": int(code)}
            )
        else:
            message = describe(error)
            self.output.warn(message if name in message else f"{name}: {message}")
        return code


def overall(codes: Sequence[ExitCode]) -> ExitCode:
    """One exit code for several items: that of their errors where all failed alike, else 1 if any failed."""
    failures = [code for code in codes if code is not ExitCode.OK]
    if not failures:
        return ExitCode.OK
    return failures[0] if len(failures) == len(codes) and len(set(failures)) == 1 else ExitCode.FAILED


def check_names(items: Sequence[Item], name: Callable[[Item], str]) -> None:
    """UsageError where two of the files would get the same name, and one replace the other."""
    for found, count in Counter(map(name, items)).items():
        if count > 1:
            raise click.UsageError(f"{count} of the files would be saved as {found!r}")


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def rate(self, size: int) -> float:
        """*size* per second."""
        return size / max(self.seconds, 1e-9)
