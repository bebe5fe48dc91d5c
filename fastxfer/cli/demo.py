"""``fastxfer demo``: a directory through a FastDFS node and back, verified."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from fastxfer.cli._demo_run import DemoRun, LocalFile, Phase, find_files
from fastxfer.cli._display import CountDisplay
from fastxfer.cli._errors import CommandFailed
from fastxfer.cli._exit_codes import ExitCode
from fastxfer.cli._output import Output, output_option
from fastxfer.cli._parameters import size_text
from fastxfer.fdfs import Client, ClientConfig


@click.command("demo")
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("-j", "--threads", type=click.IntRange(1, 256), default=4, show_default=True, help="Transfers at a time.")
@click.option("--limit", type=click.IntRange(1), help="Take only the first so many files.")
@click.option(
    "-t", "--tracker", "trackers", multiple=True, metavar="HOST:PORT", help="Use this cluster; else a node is started."
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Let the node keep its data here and do not delete the files; fastxfer node can serve them later.",
)
@output_option
def demo(
    path: Path | None, threads: int, limit: int | None, trackers: tuple[str, ...], keep: Path | None, output: Output
) -> int:
    """Upload the files in PATH, download them, verify every byte, delete them, and show how fast that was.

    Default PATH: the files of Python's standard library. The node is a process of its own on free loopback ports.
    """
    if trackers and keep:
        raise click.UsageError("--keep is for the node that the demo starts, not for a cluster")
    root = path or Path(os.__file__).parent
    files = find_files(root, limit)
    if not files:
        raise click.UsageError(f"there is no file in {root}")
    with cluster(trackers, keep) as addresses:
        config = ClientConfig(tracker_addrs=addresses, max_conns=max(10, threads))
        with Client(config) as client, CountDisplay(output) as display:
            run = DemoRun(client, files, threads, display)
            run.upload()
            run.download()
            if not keep:
                run.delete()
    report(output, root, files, run)
    if run.mismatches:
        return ExitCode.MISMATCH
    return ExitCode.FAILED if run.errors else ExitCode.OK


@contextlib.contextmanager
def cluster(trackers: tuple[str, ...], keep: Path | None) -> Iterator[list[str]]:
    """The cluster to use: that of the trackers given, or a node of our own, in a temporary directory unless kept."""
    if trackers:
        yield list(trackers)
        return
    with contextlib.ExitStack() as stack:
        directory = keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="fastxfer-demo-"))
        yield stack.enter_context(node_process(directory))


@contextlib.contextmanager
def node_process(directory: str | Path) -> Iterator[list[str]]:
    """A node in a process of its own, so that client and servers do not share an interpreter; it ends with this one."""
    command = [sys.executable, "-m", "fastxfer", "node", str(directory), "--json", "--until-stdin-ends"]
    command += ["--tracker-port", "0", "--storage-port", "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise CommandFailed("the node could not be started")
            yield json.loads(line)["trackers"]
        finally:
            process.stdin.close()
            process.wait()


def report(output: Output, root: Path, files: list[LocalFile], run: DemoRun) -> None:
    """The table, or its content as JSON."""
    for message in run.mismatches + run.errors:
        output.warn(message)
    verified = not run.mismatches and not run.errors
    document: dict[str, Any] = {
        "path": str(root),
        "files": len(files),
        "bytes": sum(file.size for file in files),
        "threads": run.threads,
        "verified": verified,
        "mismatches": run.mismatches,
        "errors": run.errors,
        "phases": [phase.document() for phase in run.phases],
    }
    output.result(document, table(run.phases, f"{root}, {run.threads} threads"))
    if not output.as_json:
        output.console.print(
            "[green]every byte came back as it was sent[/]" if verified else "[red]not everything went well[/]"
        )


def table(phases: list[Phase], title: str) -> Table:
    shown = Table(title=title, title_justify="left")
    for heading in ("", "files", "bytes", "seconds", "MB/s", "files/s", "p50", "p99"):
        shown.add_column(heading, justify="right" if heading else "left")
    for phase in phases:
        shown.add_row(
            phase.name,
            str(phase.files),
            size_text(phase.bytes) if phase.bytes else "",
            f"{phase.seconds:.2f}",
            f"{phase.megabytes_per_second:.1f}" if phase.bytes else "",
            f"{phase.files_per_second:.0f}",
            f"{phase.percentile(50) * 1000:.2f} ms",
            f"{phase.percentile(99) * 1000:.2f} ms",
        )
    return shown
