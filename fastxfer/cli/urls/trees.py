"""Whole trees: copy, sync, mirror and verify between a local directory and an FTP server."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import click

from fastxfer.cli._display import CountDisplay
from fastxfer.cli._errors import describe, exit_code
from fastxfer.cli._exit_codes import ExitCode
from fastxfer.cli._output import Output
from fastxfer.cli._parameters import size_text
from fastxfer.cli.urls.location import Location
from fastxfer.cli.urls.opening import Places
from fastxfer.ftp import AsyncClient, Item, TreeProgress, TreeReport
from fastxfer.net.progress import Progress

Operation = Callable[[AsyncClient, str, str, str, dict[str, Any]], Coroutine[Any, Any, TreeReport]]
"""Given the client, the local and the remote path, the direction, and the callbacks."""


def run_tree(
    places: Places,
    source: Location,
    target: Location,
    output: Output,
    operation: Operation,
    *,
    verbose: bool = False,
    with_progress: bool = True,
) -> TreeReport:
    """Run an operation on a tree between a local directory and an FTP server, with a live display."""
    if source.is_local and target.is_ftp:
        direction, local, remote = "up", source, target
    elif source.is_ftp and target.is_local:
        direction, local, remote = "down", target, source
    elif "fdfs" in (source.scheme, target.scheme):
        raise click.UsageError("FastDFS keeps no directories: fastxfer fdfs put uploads a directory's files")
    else:
        raise click.UsageError("one side must be a local path and the other an FTP URL")
    with CountDisplay(output) as display:
        task = display.phase(direction, None)

        def show(progress: Progress) -> None:
            assert isinstance(progress, TreeProgress)
            rate = f"{size_text(progress.transferred)}, {size_text(progress.rate)}/s"
            display.show(task, progress.files_done, rate)

        callbacks: dict[str, Any] = {"on_item": lambda item: show_item(output, item, verbose=verbose)}
        if with_progress:
            callbacks["progress"] = TreeProgress(show) if output.live else None
        return places.ftp_at(remote).tree(
            lambda client: operation(client, local.path, remote.path, direction, callbacks)
        )


def show_item(output: Output, item: Item, *, verbose: bool) -> None:
    """Every item as JSON; for people, failures, and all that was done where they ask for it."""
    if output.as_json:
        output.json_line(item_document(item))
    elif not item.ok:
        why = describe(item.error) if item.error is not None else item.action
        output.warn(f"{item.remote or item.local}: {why}")
    elif verbose and item.action not in ("skip", "match"):
        click.echo(f"{item.action}\t{item.remote or item.local}")


def item_document(item: Item) -> dict[str, Any]:
    return {
        "action": item.action,
        "local": item.local,
        "remote": item.remote,
        "ok": item.ok,
        "size": item.size,
        "error": None if item.error is None else describe(item.error),
        "reason": item.reason,
    }


def copy_tree(
    places: Places, source: Location, target: Location, output: Output, *, resume: bool, preserve: bool
) -> TreeReport:
    """Copy a directory; with *resume*, what is there already with the same size and time is left alone."""

    async def copy(
        client: AsyncClient, local: str, remote: str, direction: str, callbacks: dict[str, Any]
    ) -> TreeReport:
        return await client.sync(
            local,
            remote,
            direction,
            compare="newer" if resume else "always",
            preserve_time=preserve or resume,
            **callbacks,
        )

    return run_tree(places, source, target, output, copy)


def tree_result(output: Output, report: TreeReport) -> ExitCode:
    """Show the sum, and return the exit code."""
    counts = ", ".join(f"{count} {action}" for action, count in sorted(report.actions.items())) or "nothing to do"
    text = f"{counts}; {size_text(report.bytes)} in {report.seconds:.2f} s"
    if report.dry_run:
        text = f"would be done: {text}"
    if report.failed:
        text += f"; {report.failed} failed"
    document = {
        "summary": True,
        "actions": dict(report.actions),
        "failed": report.failed,
        "bytes": report.bytes,
        "seconds": round(report.seconds, 6),
        "dry_run": report.dry_run,
    }
    output.result(document, text)
    if report.ok:
        return ExitCode.OK
    codes = {exit_code(item.error) or ExitCode.FAILED for item in report.failures if item.error is not None}
    alone = sum(report.actions.values()) == 0 and len(codes) == 1 and len(report.failures) == report.failed
    return codes.pop() if alone else ExitCode.FAILED
