"""Commands of ``fastxfer fdfs`` that look at files."""

from __future__ import annotations

import datetime
from typing import Any

import click
from rich.table import Table

from fastxfer.cli._exit_codes import ExitCode
from fastxfer.cli._output import Output, output_option
from fastxfer.cli._parameters import PAIR, size_text
from fastxfer.cli._several import Several
from fastxfer.cli.fdfs.connection import client_options
from fastxfer.fdfs import Client, FileId, MetadataFlag, build_url, parse_file_id


def parts(file_id: FileId) -> dict[str, Any]:
    """What a file ID tells by itself."""
    kinds = {"slave": file_id.slave, "appender": file_id.appender, "trunk": file_id.trunk}
    return {
        "group": file_id.group,
        "filename": file_id.filename,
        "store_path": file_id.store_path_index,
        "kind": next((kind for kind, holds in kinds.items() if holds), "normal"),
        "source": file_id.source_ip if file_id.source_ip is not None else file_id.storage_id,
        "created": datetime.datetime.fromtimestamp(file_id.created, datetime.timezone.utc).isoformat(),
        "size": file_id.size,
        "crc32": None if file_id.crc32 is None else f"{file_id.crc32:08x}",
        "extension": file_id.extension,
    }


def show_fields(output: Output, document: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in document.items():
        if value is not None:
            shown = f"{value} ({size_text(value)})" if name == "size" and value >= 1024 else str(value)
            table.add_row(name, shown)
    output.result(document, table)


@click.command("parse")
@click.argument("file_ids", nargs=-1, required=True, metavar="FILE_ID...")
@output_option
def parse(file_ids: tuple[str, ...], output: Output) -> None:
    """Take file IDs apart without asking a server."""
    for file_id in file_ids:
        show_fields(output, {"file_id": file_id, **parts(parse_file_id(file_id))})


@click.command("info")
@click.argument("file_ids", nargs=-1, required=True, metavar="FILE_ID...")
@client_options
@output_option
def info(file_ids: tuple[str, ...], client: Client, output: Output) -> int:
    """Show what the server says of files: size, time, CRC-32, source; and their kind."""

    def one(file_id: str) -> tuple[dict[str, Any], str]:
        told = client.get_file_info(file_id)
        document = {
            "file_id": file_id,
            "kind": parts(parse_file_id(file_id))["kind"],
            "size": told.file_size,
            "crc32": f"{told.crc32:08x}",
            "time": told.create_time.astimezone().isoformat(),
            "source": told.source_ip_addr,
        }
        if not output.as_json:
            show_fields(output, document)
        return document, ""

    return Several(output).run(file_ids, one)


@click.command("exists")
@click.argument("file_id")
@client_options
@output_option
def exists(file_id: str, client: Client, output: Output) -> int:
    """Exit with 0 where the file exists, with 3 where the servers say that it does not."""
    there = client.file_exists(file_id)
    output.result({"file_id": file_id, "exists": there})
    return ExitCode.OK if there else ExitCode.NOT_FOUND


@click.command("meta")
@click.argument("file_id")
@click.argument("pairs", nargs=-1, type=PAIR, metavar="[NAME=VALUE]...")
@click.option("--merge", is_flag=True, help="Add to the metadata there is; else it is replaced.")
@click.option("--clear", is_flag=True, help="Remove all metadata.")
@client_options
@output_option
def meta(
    file_id: str, pairs: tuple[tuple[str, str], ...], merge: bool, clear: bool, client: Client, output: Output
) -> None:
    """Show the metadata of a file, or set it where NAME=VALUE is given."""
    if clear and (pairs or merge):
        raise click.UsageError("--clear goes with nothing else")
    if merge and not pairs:
        raise click.UsageError("--merge needs something to merge")
    if clear:
        client.set_metadata(file_id, {}, MetadataFlag.OVERWRITE)
    elif pairs:
        client.set_metadata(file_id, dict(pairs), MetadataFlag.MERGE if merge else MetadataFlag.OVERWRITE)
    else:
        found = client.get_metadata(file_id)
        output.result(found, "\n".join(f"{name}={value}" for name, value in found.items()) or None)


@click.command("url")
@click.argument("file_id")
@click.option("--base", required=True, help="Scheme and host of the web server, e.g. http://files.example.")
@click.option("--key", envvar="FASTXFER_FDFS_TOKEN_KEY", show_envvar=True, help="Secret key: adds a token.")
@click.option("--timestamp", type=int, help="Seconds since 1970 for the token; default: now.")
@click.option("--filename", help="Name under which browsers save it.")
@output_option
def url(file_id: str, base: str, key: str | None, timestamp: int | None, filename: str | None, output: Output) -> None:
    """Build the web address of a file behind a web server with FastDFS's module."""
    address = build_url(file_id, base, secret_key=key, timestamp=timestamp, filename=filename)
    output.result({"file_id": file_id, "url": address}, address)
