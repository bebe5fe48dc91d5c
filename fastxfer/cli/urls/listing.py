"""``fastxfer ls``, ``tree``, ``stat`` and ``cat``."""

from __future__ import annotations

import datetime
import stat as stat_module
from collections.abc import Iterator
from typing import Any

import click
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from fastxfer.cli._errors import CommandFailed
from fastxfer.cli._output import Output, output_option
from fastxfer.cli._parameters import size_text
from fastxfer.cli._several import Several, overall
from fastxfer.cli.urls.copying import EPILOG, expand_all, to_stdout
from fastxfer.cli.urls.location import Location, parse_location
from fastxfer.cli.urls.opening import Places, place_options
from fastxfer.cli.urls.place import Listed, Place

TYPE_BITS = {"dir": stat_module.S_IFDIR, "link": stat_module.S_IFLNK, "file": stat_module.S_IFREG}


def time_text(modified: float | None) -> str:
    if modified is None:
        return ""
    return datetime.datetime.fromtimestamp(modified).strftime("%Y-%m-%d %H:%M")


def mode_text(entry: Listed) -> str:
    kind = TYPE_BITS.get(entry.kind, 0)
    return stat_module.filemode(kind | entry.mode) if entry.mode is not None else entry.kind


@click.command("ls", epilog=EPILOG)
@click.argument("urls", nargs=-1, metavar="[URL]...")
@click.option("-l", "--long", is_flag=True, help="With mode, size and time.")
@place_options
@output_option
def ls(urls: tuple[str, ...], long: bool, places: Places, output: Output) -> int:
    """List directories, or show files. Default: the current local directory."""
    several = Several(output)
    locations, codes = expand_all(places, several, urls or (".",))

    def one(location: Location) -> None:
        show(output, list(entries_at(places.at(location), location)), long=long)

    return overall(codes + several.in_turn(locations, one, lambda location: location.text))


def entries_at(place: Place, location: Location) -> Iterator[Listed]:
    """What is in a directory, or the file itself."""
    if location.scheme == "fdfs" and not location.path:
        return place.entries("")
    entry = place.stat(location.path)
    return place.entries(location.path) if entry.kind == "dir" else iter([entry])


def show(output: Output, entries: list[Listed], *, long: bool) -> None:
    if output.as_json:
        for entry in entries:
            output.json_line(entry.document())
    elif long:
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for _ in range(3):
            table.add_column(no_wrap=True)
        table.columns[1].justify = "right"
        table.add_column(overflow="fold")
        for entry in entries:
            size = "" if entry.size is None else str(entry.size)
            link = f" -> {entry.extra['target']}" if entry.extra and "target" in entry.extra else ""
            table.add_row(mode_text(entry), size, time_text(entry.modified), escape(output.name(entry.name + link)))
        output.console.print(table)
    else:
        for entry in entries:
            output.text(output.name(entry.name) + ("/" if entry.kind == "dir" else ""))


@click.command("tree", epilog=EPILOG)
@click.argument("url", default=".")
@click.option("--depth", type=click.IntRange(1), help="How many levels to show.")
@place_options
@output_option
def tree(url: str, depth: int | None, places: Places, output: Output) -> None:
    """Show a directory and all that is in it. With --json one document a line, directories before what is in them."""
    location = parse_location(url)
    place = places.at(location)
    # Some servers list a file as a directory that holds it, and what is not there as an empty one.
    if location.is_ftp and place.stat(location.path).kind == "file":
        raise CommandFailed(f"{location.text}: not a directory")
    root = Tree(escape(output.name(location.text)))
    totals = {"dir": 0, "file": 0, "bytes": 0}

    def add(branch: Tree, path: str, shown: str, level: int) -> None:
        for entry in place.entries(path):
            name = f"{shown}/{entry.name}".lstrip("/")
            if output.as_json:
                output.json_line({**entry.document(), "path": name})
            totals["dir" if entry.is_directory else "file"] += 1
            totals["bytes"] += entry.size or 0 if entry.kind == "file" else 0
            label = escape(output.name(entry.name))
            if entry.kind == "file" and entry.size is not None:
                label += f"  [dim]{size_text(entry.size)}[/]"
            below = branch.add(f"[bold]{label}[/]" if entry.is_directory else label)
            if entry.kind == "dir" and (depth is None or level < depth):
                add(below, place.join(path, entry.name), name, level + 1)

    add(root, location.path, "", 1)
    if not output.as_json:
        output.console.print(root)
        click.echo(f"{totals['dir']} directories, {totals['file']} files, {size_text(totals['bytes'])}")


@click.command("stat", epilog=EPILOG)
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@place_options
@output_option
def stat(urls: tuple[str, ...], places: Places, output: Output) -> int:
    """Show type, size, time and mode of files and directories."""

    def one(text: str) -> tuple[dict[str, Any], str]:
        location = parse_location(text)
        document = {"url": location.text, **places.at(location).stat(location.path).document()}
        lines = [f"{name:>9}  {value}" for name, value in document.items() if value is not None]
        return document, "\n".join(lines)

    return Several(output).run(urls, one)


@click.command("cat", epilog=EPILOG)
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@place_options
def cat(urls: tuple[str, ...], places: Places) -> int:
    """Write files to standard output, one after the other."""
    several = Several(Output())
    locations, codes = expand_all(places, several, urls)

    def one(location: Location) -> None:
        to_stdout(places, location)

    return overall(codes + several.in_turn(locations, one, lambda location: location.text))
