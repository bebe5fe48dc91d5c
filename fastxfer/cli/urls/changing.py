"""``fastxfer rm``, ``mv`` and ``mkdir``."""

from __future__ import annotations

from typing import Any

import click

from fastxfer.cli._errors import CommandFailed
from fastxfer.cli._exit_codes import ExitCode
from fastxfer.cli._output import Output, output_option
from fastxfer.cli._several import Several, overall
from fastxfer.cli.urls.copying import EPILOG, expand
from fastxfer.cli.urls.location import Location, parse_location
from fastxfer.cli.urls.opening import Places, place_options


@click.command("rm", epilog=EPILOG)
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option("-r", "--recursive", is_flag=True, help="Directories and all that is in them.")
@click.option("-f", "--force", is_flag=True, help="What is not there is no error.")
@place_options
@output_option
def rm(urls: tuple[str, ...], recursive: bool, force: bool, places: Places, output: Output) -> int:
    """Remove files. FTP paths may hold the wildcards *, ? and []."""
    several = Several(output, places.options.jobs)
    locations: list[Location] = []

    def find(text: str) -> None:
        try:
            locations.extend(expand(places, parse_location(text)))
        except CommandFailed as error:
            if not force or error.code is not ExitCode.NOT_FOUND:
                raise

    codes = [code for code in several.in_turn(urls, find) if code]

    def one(location: Location) -> tuple[dict[str, Any], str]:
        place = places.at(location)
        removed = 1
        try:
            if recursive:
                removed = place.remove_tree(location.path)
            else:
                place.remove(location.path)
        except Exception as error:
            if not force or not is_missing(error):
                raise
            removed = 0
        return {"url": location.text, "removed": removed}, ""

    return overall(codes + several.each(locations, one, lambda location: location.text))


def is_missing(error: Exception) -> bool:
    """Whether it says that there is no such file."""
    from fastxfer.ftp import NotFoundError

    return isinstance(error, (FileNotFoundError, NotFoundError))


@click.command("mv", epilog=EPILOG)
@click.argument("source", metavar="URL")
@click.argument("target", metavar="URL")
@place_options
@output_option
def mv(source: str, target: str, places: Places, output: Output) -> None:
    """Rename or move within one place; into the target, where that is a directory."""
    old, new = parse_location(source), parse_location(target)
    if (old.scheme, old.server) != (new.scheme, new.server):
        raise click.UsageError("mv works within one place; use get or put, and rm")
    places.at(old).rename(old.path, new.path)
    output.result({"source": old.text, "target": new.text})


@click.command("mkdir", epilog=EPILOG)
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option("-p", "--parents", is_flag=True, help="Also those above; one that is there is no error.")
@place_options
@output_option
def mkdir(urls: tuple[str, ...], parents: bool, places: Places, output: Output) -> int:
    """Make directories."""

    def one(text: str) -> tuple[dict[str, Any], str]:
        location = parse_location(text)
        places.at(location).make_directory(location.path, parents=parents)
        return {"url": location.text}, ""

    return Several(output).run(urls, one)
