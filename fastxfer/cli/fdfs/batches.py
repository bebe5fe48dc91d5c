"""``fastxfer fdfs put`` and ``get``: whole directories, and whole lists of files."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from fastxfer.cli._display import CountDisplay
from fastxfer.cli._errors import describe, exit_code
from fastxfer.cli._exit_codes import ExitCode
from fastxfer.cli._output import Output, output_option
from fastxfer.cli._parameters import size_text
from fastxfer.cli.fdfs.connection import client_options
from fastxfer.fdfs import BatchProgress, BatchResult, Client

T = TypeVar("T")
ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
jobs_option = click.option(
    "-j", "--jobs", type=click.IntRange(1, 1024), default=16, show_default=True, help="How many at a time."
)
journal_option = click.option(
    "--journal", type=click.Path(dir_okay=False), help="Remember what is done, so that the same command can go on."
)


@click.command("put")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--list", "list_file", metavar="FILE", help="Write the list of files here instead of standard output.")
@click.option("--group", help="Store in this group; else the tracker chooses.")
@click.option("--appender", is_flag=True, help="Make files that can be appended to.")
@click.option("--hidden", is_flag=True, help="Also files and directories whose names begin with a dot.")
@jobs_option
@journal_option
@client_options
@output_option
def put(
    directory: Path,
    list_file: str | None,
    group: str | None,
    appender: bool,
    hidden: bool,
    jobs: int,
    journal: str | None,
    client: Client,
    output: Output,
) -> int:
    """Upload the files below DIRECTORY and write a list of file IDs and paths that ``get`` can read.

    A line is the file ID, a tab, and the path below DIRECTORY; or, with --json, a document with both.
    """
    with contextlib.ExitStack() as stack:
        lines = (
            stack.enter_context(open(list_file, "a", encoding="utf-8", errors="surrogateescape"))
            if list_file
            else sys.stdout
        )

        def tell(result: BatchResult[str]) -> dict[str, Any]:
            path = os.path.relpath(result.item, directory)
            document = {"file_id": result.value, "path": path, "skipped": result.skipped}
            if result.ok:
                lines.write((json.dumps(document) if output.as_json else f"{result.value}\t{escape(path)}") + "\n")
                # At once: whatever ends this process, no file ID of a stored file is lost with it.
                lines.flush()
            return {"path": path}

        return run(
            output,
            "put",
            lambda progress: client.upload_many(
                files_below(directory, hidden=hidden),
                appender=appender,
                group=group,
                concurrency=jobs,
                journal=journal,
                progress=progress,
            ),
            tell,
        )


@click.command("get")
@click.argument("list_file", metavar="LIST")
@click.option(
    "-d",
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Save the files below this; default: the current directory.",
)
@jobs_option
@journal_option
@client_options
@output_option
def get(list_file: str, directory: Path, jobs: int, journal: str | None, client: Client, output: Output) -> int:
    """Download the files in LIST (- is standard input), as ``put`` writes it.

    A line without a path is saved under the last part of its file ID. Paths that lead out of the directory are refused.
    """
    with contextlib.ExitStack() as stack:
        lines: Iterable[str] = (
            sys.stdin
            if list_file == "-"
            else stack.enter_context(open(list_file, encoding="utf-8", errors="surrogateescape"))
        )

        def tell(result: BatchResult[Any]) -> dict[str, Any]:
            file_id, path = result.item
            if result.ok and output.as_json:
                output.json_line({"file_id": file_id, "path": str(path), "skipped": result.skipped})
            return {"file_id": file_id, "path": str(path)}

        return run(
            output,
            "get",
            lambda progress: client.download_many(
                read_list(lines, directory), concurrency=jobs, journal=journal, progress=progress
            ),
            tell,
        )


def run(
    output: Output,
    name: str,
    batch: Callable[[Callable[[BatchProgress], object]], Iterator[BatchResult[T]]],
    tell: Callable[[BatchResult[T]], dict[str, Any]],
) -> int:
    """Take the results of a batch, tell of each, and return the exit code."""
    latest = BatchProgress()
    codes: set[ExitCode] = set()
    with CountDisplay(output) as display:
        task = display.phase(name, None)

        def show(progress: BatchProgress) -> None:
            nonlocal latest
            latest = progress
            display.show(task, progress.done, f"{size_text(progress.byte_rate)}/s  {progress.rate:.0f} files/s")

        results = batch(show)
        with contextlib.closing(results):  # type: ignore[type-var]  # it is a generator
            for result in results:
                about = tell(result)
                if result.error is not None:
                    codes.add(_report(output, result.error, about))
    document = {
        "summary": True,
        "done": latest.done - latest.failed,
        "failed": latest.failed,
        "skipped": latest.skipped,
        "bytes": latest.bytes,
        "seconds": round(latest.elapsed, 6),
    }
    text = f"{latest.done - latest.failed} files ({latest.skipped} done before), {size_text(latest.bytes)}"
    text += f" in {latest.elapsed:.2f} s"
    if output.as_json:
        output.json_line(document)
    else:
        click.echo(text + (f"; {latest.failed} failed" if latest.failed else ""), err=True)
    if not codes:
        return ExitCode.OK
    return codes.pop() if len(codes) == 1 and latest.failed == latest.done else ExitCode.FAILED


def _report(output: Output, error: Exception, about: dict[str, Any]) -> ExitCode:
    code = exit_code(error)
    if code is None:
        raise error
    if output.as_json:
        failure = {"error": describe(error), "type": type(error).__name__, "exit_code": int(code)}
        output.json_line({**about, **failure})
    else:
        output.warn(f"{about['path']}: {describe(error)}")
    return code


def files_below(directory: Path, *, hidden: bool) -> Iterator[str]:
    """The regular files below a directory, links not followed, as they are found."""
    for folder, folders, names in os.walk(directory):
        folders[:] = sorted(name for name in folders if hidden or not name.startswith("."))
        for name in sorted(names):
            path = os.path.join(folder, name)
            if (hidden or not name.startswith(".")) and os.path.isfile(path) and not os.path.islink(path):
                yield path


def read_list(lines: Iterable[str], directory: Path) -> Iterator[tuple[str, Path]]:
    """File IDs and where to save them; UsageError, with its number, for a line that makes no sense."""
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if not text or text.startswith("#"):
            continue
        try:
            file_id, path = _entry(text)
        except ValueError as error:
            raise click.UsageError(f"line {number}: {error}") from None
        if file_id:
            yield file_id, directory / path


def _entry(text: str) -> tuple[str, str]:
    """A line of a list; an empty file ID for a JSON document that tells of something else."""
    if text.startswith("{"):
        document = json.loads(text)
        file_id, path = str(document.get("file_id") or ""), str(document.get("path") or "")
    else:
        file_id, _, escaped = text.partition("\t")
        path = unescape(escaped)
    path = path or file_id.rpartition("/")[2]
    parts = path.replace("\\", "/").split("/")
    if os.path.isabs(path) or os.path.splitdrive(path)[0] or ".." in parts or "\0" in path:
        raise ValueError(f"the path {path!r} leads out of the directory")
    return file_id, path


def escape(path: str) -> str:
    """A path that fits on one line."""
    return "".join(ESCAPES.get(character, character) for character in path)


def unescape(text: str) -> str:
    """The inverse of :func:`escape`."""
    parts = text.split("\\\\")
    for escaped, character in (("\\t", "\t"), ("\\n", "\n"), ("\\r", "\r")):
        parts = [part.replace(escaped, character) for part in parts]
    return "\\".join(parts)
