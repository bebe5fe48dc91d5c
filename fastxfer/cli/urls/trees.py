"""Whole trees: copy, sync, mirror and verify between a local directory and another, local or on an FTP server."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import click

from fastxfer.cli._display import CountDisplay
from fastxfer.cli._errors import describe, exit_code
from fastxfer.cli._exit_codes import ExitCode
from fastxfer.cli._output import Output
from fastxfer.cli._parameters import size_text
from fastxfer.cli.urls.local_trees import sync_local, verify_local
from fastxfer.cli.urls.location import Location
from fastxfer.cli.urls.opening import Places
from fastxfer.ftp import AsyncClient, Item, TreeProgress, TreeReport
from fastxfer.net.progress import Progress

Operation = Callable[[AsyncClient, str, str, str, dict[str, Any]], Coroutine[Any, Any, TreeReport]]
"""Given the client, the local and the remote path, the direction, and the callbacks."""


def sync_tree(
    places: Places,
    source: Location,
    target: Location,
    output: Output,
    *,
    both: bool = False,
    verbose: bool = False,
    **settings: Any,
) -> TreeReport:
    """Make one directory like the other; *settings* are those of :meth:`fastxfer.ftp.AsyncClient.sync`."""
    if source.is_local and target.is_local:
        if both or settings.pop("journal", None) is not None:
            raise click.UsageError("--both and --journal are for FTP")
        return sync_local(source.path, target.path, on_item=_shower(output, verbose), **settings)

    async def work(
        client: AsyncClient, local: str, remote: str, direction: str, callbacks: dict[str, Any]
    ) -> TreeReport:
        way = "both" if both else direction
        return await client.sync(local, remote, way, parallel=places.options.jobs, **settings, **callbacks)

    return run_on_ftp(places, source, target, output, work, verbose=verbose)


def verify_tree(
    places: Places, source: Location, target: Location, output: Output, *, checksum: bool, **settings: Any
) -> TreeReport:
    """Compare two directories or files; *settings* are those of :meth:`fastxfer.ftp.AsyncClient.verify`."""
    if source.is_local and target.is_local:
        on_item = _shower(output, False)
        return verify_local(source.path, target.path, checksum=checksum, on_item=on_item, **settings)

    async def work(
        client: AsyncClient, local: str, remote: str, direction: str, callbacks: dict[str, Any]
    ) -> TreeReport:
        del callbacks["progress"]
        parallel = places.options.jobs
        return await client.verify(local, remote, checksum=checksum, parallel=parallel, **settings, **callbacks)

    return run_on_ftp(places, source, target, output, work)


def run_on_ftp(
    places: Places, source: Location, target: Location, output: Output, operation: Operation, *, verbose: bool = False
) -> TreeReport:
    """Run an operation on a tree between a local directory and an FTP server, with a live display."""
    if source.is_local and target.is_ftp:
        direction, local, remote = "up", source, target
    elif source.is_ftp and target.is_local:
        direction, local, remote = "down", target, source
    elif "fdfs" in (source.scheme, target.scheme):
        raise click.UsageError("FastDFS keeps no directories: fastxfer fdfs put uploads a directory's files")
    else:
        raise click.UsageError("one side must be a local path")
    with CountDisplay(output) as display:
        task = display.phase(direction, None)

        def show(progress: Progress) -> None:
            assert isinstance(progress, TreeProgress)
            rate = f"{size_text(progress.transferred)}, {size_text(progress.rate)}/s"
            display.show(task, progress.files_done, rate)

        callbacks: dict[str, Any] = {
            "on_item": _shower(output, verbose),
            "progress": TreeProgress(show) if output.live else None,
        }
        return places.ftp_at(remote).tree(
            lambda client: operation(client, local.path, remote.path, direction, callbacks)
        )


def _shower(output: Output, verbose: bool) -> Callable[[Item], None]:
    return lambda item: show_item(output, item, verbose=verbose)


def show_item(output: Output, item: Item, *, verbose: bool) -> None:
    """Every item as JSON; for people, failures, and all that was done where they ask for it."""
    if output.as_json:
        output.json_line(item_document(item))
    elif not item.ok:
        why = describe(item.error) if item.error is not None else item.reason or item.action
        output.warn(f"{item.remote or item.local}: {why}")
    elif verbose and item.action not in ("skip", "match"):
        output.text(f"{item.action}\t{output.name(item.remote or item.local)}")


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
