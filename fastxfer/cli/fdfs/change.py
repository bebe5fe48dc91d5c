"""Commands of ``fastxfer fdfs`` that change or remove files."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import click

from fastxfer.cli._display import TransferDisplay
from fastxfer.cli._output import Output, output_option
from fastxfer.cli._parameters import SIZE
from fastxfer.cli._several import Several
from fastxfer.cli.fdfs.connection import client_options
from fastxfer.cli.fdfs.transfer import jobs_option, kept_on_disk, local_size
from fastxfer.fdfs import Client


@click.command("delete")
@click.argument("file_ids", nargs=-1, required=True, metavar="FILE_ID...")
@click.option("--missing-ok", is_flag=True, help="A file that is not there is no error.")
@jobs_option
@client_options
@output_option
def delete(file_ids: tuple[str, ...], missing_ok: bool, jobs: int, client: Client, output: Output) -> int:
    """Delete files and their metadata. Slaves stay: delete them by themselves."""

    def one(file_id: str) -> tuple[dict[str, Any], str]:
        deleted = True
        try:
            client.delete_file(file_id)
        except FileNotFoundError:
            if not missing_ok:
                raise
            deleted = False
        return {"file_id": file_id, "deleted": deleted}, ""

    return Several(output, jobs).run(file_ids, one)


@click.command("append")
@click.argument("file_id")
@click.argument("file", metavar="FILE")
@client_options
@output_option
def append(file_id: str, file: str, client: Client, output: Output) -> None:
    """Add the bytes of FILE (- is standard input) at the end of an appender file."""
    with kept_on_disk(sys.stdin.buffer) if file == "-" else contextlib.nullcontext(file) as path:
        added = local_size(path)
        with TransferDisplay(output) as display:
            progress, ended = display.follow(file, added)
            client.append_file(file_id, path, progress=progress)
            ended()
    output.result({"file_id": file_id, "added": added})


@click.command("modify")
@click.argument("file_id")
@click.argument("offset", type=SIZE)
@click.argument("file", metavar="FILE")
@client_options
@output_option
def modify(file_id: str, offset: int, file: str, client: Client, output: Output) -> None:
    """Write the bytes of FILE (- is standard input) over those of an appender file from OFFSET on."""
    with kept_on_disk(sys.stdin.buffer) if file == "-" else contextlib.nullcontext(file) as path:
        written = local_size(path)
        with TransferDisplay(output) as display:
            progress, ended = display.follow(file, written)
            client.modify_file(file_id, offset, path, progress=progress)
            ended()
    output.result({"file_id": file_id, "offset": offset, "written": written})


@click.command("truncate")
@click.argument("file_id")
@click.argument("size", type=SIZE, default=0)
@client_options
@output_option
def truncate(file_id: str, size: int, client: Client, output: Output) -> None:
    """Make an appender file SIZE bytes long (default 0); one that grows is filled up with zeros."""
    client.truncate_file(file_id, size)
    output.result({"file_id": file_id, "size": size})


@click.command("regenerate")
@click.argument("file_id")
@client_options
@output_option
def regenerate(file_id: str, client: Client, output: Output) -> None:
    """Make a normal file of an appender file and write its new file ID; the old one is gone."""
    new_id = client.regenerate_appender_file(file_id)
    output.result({"old_file_id": file_id, "file_id": new_id}, new_id)
