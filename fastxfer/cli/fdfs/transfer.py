"""``fastxfer fdfs upload`` and ``download``."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click

from fastxfer.cli._display import TransferDisplay
from fastxfer.cli._errors import CommandFailed
from fastxfer.cli._exit_codes import ExitCode
from fastxfer.cli._output import Output, output_option
from fastxfer.cli._parameters import PAIR, SIZE
from fastxfer.cli._several import Several, Stopwatch, check_names
from fastxfer.cli.fdfs.connection import client_options
from fastxfer.fdfs import Client

jobs_option = click.option(
    "-j", "--jobs", type=click.IntRange(1, 256), default=4, show_default=True, help="How many at a time."
)


@click.command("upload")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--group", help="Store in this group; else the tracker chooses.")
@click.option("--store-path", type=click.IntRange(0, 255), help="Index of the store path to use.")
@click.option("--ext", "extension", help="Extension to give; else that of each file.")
@click.option("--meta", "metadata", type=PAIR, multiple=True, metavar="NAME=VALUE", help="Metadata (repeatable).")
@click.option("--appender", is_flag=True, help="Make files that can be appended to.")
@click.option("--slave-of", "master", metavar="FILE_ID", help="Make a slave of this file (with --prefix).")
@click.option("--prefix", help="What a slave's name has behind its master's, e.g. _200x200.")
@jobs_option
@client_options
@output_option
def upload(
    files: tuple[str, ...],
    group: str | None,
    store_path: int | None,
    extension: str | None,
    metadata: tuple[tuple[str, str], ...],
    appender: bool,
    master: str | None,
    prefix: str | None,
    jobs: int,
    client: Client,
    output: Output,
) -> int:
    """Upload FILEs and write their file IDs. FILE - is standard input."""
    if (master is None) != (prefix is None):
        raise click.UsageError("--slave-of and --prefix go together")
    if master is not None and (appender or group or store_path is not None or len(files) > 1):
        raise click.UsageError("a slave is one file, stored where its master is")
    several = Several(output, jobs)
    target: dict[str, Any] = {"group": group, "store_path": store_path}

    with TransferDisplay(output) as display:

        def one(path: str) -> tuple[dict[str, Any], str]:
            watch = Stopwatch()
            size = None if path == "-" else local_size(path)
            progress, ended = display.follow(os.path.basename(path), size)
            control: dict[str, Any] = {"progress": progress, "cancel": several.cancel}
            pairs = dict(metadata)
            try:
                if path == "-":
                    stream = sys.stdin.buffer
                    if master is not None:
                        with kept_on_disk(stream) as copy:
                            file_id = client.upload_slave_file(
                                master, prefix or "", copy, pairs, file_ext_name=extension or "", **control
                            )
                    else:
                        file_id = client.upload_stream(
                            stream, extension or "", pairs, appender=appender, **target, **control
                        )
                elif master is not None:
                    file_id = client.upload_slave_file(
                        master, prefix or "", path, pairs, file_ext_name=extension, **control
                    )
                else:
                    method = client.upload_appender_file if appender else client.upload_file
                    file_id = method(path, pairs, file_ext_name=extension, **target, **control)
            finally:
                ended()
            document = {"path": path, "file_id": file_id, "size": size, "seconds": round(watch.seconds, 6)}
            return document, file_id if len(files) == 1 else f"{file_id}\t{path}"

        return several.run(files, one)


@contextlib.contextmanager
def kept_on_disk(stream: BinaryIO) -> Iterator[str]:
    """The path of a temporary file with all that *stream* has, for operations that must know how much it is."""
    fd, path = tempfile.mkstemp(prefix="fastxfer-")
    try:
        with os.fdopen(fd, "wb") as file:
            shutil.copyfileobj(stream, file, 1 << 20)
        yield path
    finally:
        os.unlink(path)


def local_size(path: str) -> int:
    """Bytes of a local file; fails with code 7 where it cannot be one."""
    try:
        if os.path.isdir(path):
            raise CommandFailed(f"{path}: is a directory", ExitCode.LOCAL)
        return os.stat(path).st_size
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}", ExitCode.LOCAL) from None


@click.command("download")
@click.argument("file_ids", nargs=-1, required=True, metavar="FILE_ID...")
@click.option("-o", "--output-file", metavar="PATH", help="Where to save a single file; - is standard output.")
@click.option(
    "-d",
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Save files here, by the last part of their names.",
)
@click.option("--offset", type=SIZE, default=0, help="Begin here, bytes.")
@click.option("--length", type=SIZE, default=0, help="How many bytes; else to the end.")
@jobs_option
@client_options
@output_option
def download(
    file_ids: tuple[str, ...],
    output_file: str | None,
    directory: Path,
    offset: int,
    length: int,
    jobs: int,
    client: Client,
    output: Output,
) -> int:
    """Download files, whole and verified or not at all, and write where they were saved."""
    if output_file is not None and len(file_ids) > 1:
        raise click.UsageError("--output-file is for a single file; use --directory")
    if output_file == "-" and output.as_json:
        raise click.UsageError("standard output is either for the file or for --json")
    if output_file is None:
        check_names(file_ids, lambda file_id: file_id.rpartition("/")[2])
    several = Several(output, jobs)
    with TransferDisplay(output) as display:

        def one(file_id: str) -> tuple[dict[str, Any], str]:
            watch = Stopwatch()
            progress, ended = display.follow(file_id.rpartition("/")[2])
            control: dict[str, Any] = {
                "offset": offset,
                "length": length,
                "progress": progress,
                "cancel": several.cancel,
            }
            try:
                if output_file == "-":
                    size = client.download_to_stream(file_id, sys.stdout.buffer, **control)
                    sys.stdout.buffer.flush()
                    return {}, ""
                path = Path(output_file) if output_file else directory / file_id.rpartition("/")[2]
                client.download_to_file(file_id, path, **control)
                size = path.stat().st_size
            finally:
                ended()
            return {"file_id": file_id, "path": str(path), "size": size, "seconds": round(watch.seconds, 6)}, str(path)

        return several.run(file_ids, one)
