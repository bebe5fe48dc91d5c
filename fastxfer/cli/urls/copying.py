"""``fastxfer get`` and ``put``."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import click

from fastxfer.cli._display import TransferDisplay
from fastxfer.cli._errors import CommandFailed
from fastxfer.cli._exit_codes import ExitCode
from fastxfer.cli._output import Output, output_option
from fastxfer.cli._several import Several, Stopwatch, check_names
from fastxfer.cli.urls.location import Location, local_path, parse_location
from fastxfer.cli.urls.opening import MOST_SEGMENTS, Places, place_options
from fastxfer.cli.urls.place import Moving, has_magic

EPILOG = (
    "User names and passwords are taken from the URL, from FASTXFER_USER and FASTXFER_PASSWORD, or from ~/.netrc; "
    "a password that is missing is asked for on a terminal. Paths in FTP URLs are absolute."
)
_MOVING = (
    click.option("-r", "--recursive", is_flag=True, help="Directories and all that is in them."),
    click.option("-c", "--continue", "resume", is_flag=True, help="Go on where an earlier attempt stopped."),
    click.option("-n", "--no-clobber", is_flag=True, help="Do not replace what is there."),
    click.option("-p", "--preserve", is_flag=True, help="Keep modification times."),
    click.option("--verify", is_flag=True, help="Compare checksums where the server has them."),
    click.option(
        "-s",
        "--segments",
        type=click.IntRange(1, MOST_SEGMENTS),
        default=1,
        help="Connections for each large file.",
    ),
)


def moving_options(function: Any) -> Any:
    for option in reversed(_MOVING):
        function = option(function)
    return function


@click.command("get", epilog=EPILOG)
@click.argument("sources", nargs=-1, required=True, metavar="URL...")
@click.option("-o", "--output-file", metavar="PATH", help="Save a single file as this; - is standard output.")
@click.option("-d", "--directory", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Save here.")
@moving_options
@place_options
@output_option
def get(
    sources: tuple[str, ...],
    output_file: str | None,
    directory: Path,
    recursive: bool,
    resume: bool,
    no_clobber: bool,
    preserve: bool,
    verify: bool,
    segments: int,
    places: Places,
    output: Output,
) -> int:
    """Download files, each whole or not at all. FTP paths may hold the wildcards *, ? and []."""
    if resume and segments > 1:
        raise click.UsageError("--continue and --segments do not go together")
    locations = [found for text in sources for found in expand(places, parse_location(text))]
    if output_file is not None and (len(locations) > 1 or recursive):
        raise click.UsageError("--output-file is for a single file; use --directory")
    if output_file == "-":
        if output.as_json:
            raise click.UsageError("standard output is either for the file or for --json")
        for data in places.at(locations[0]).read(locations[0].path):
            sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return ExitCode.OK
    if output_file is None:
        check_names(locations, _name)
    several = Several(output, places.options.jobs)
    if recursive:
        if no_clobber:
            raise click.UsageError("--no-clobber does not go with --recursive; use sync")
        from fastxfer.cli.urls.trees import sync_tree, tree_result

        # What is there already with the same size and time is left alone where an earlier attempt goes on.
        tree_settings: dict[str, Any] = {
            "compare": "newer" if resume else "always",
            "preserve_time": preserve or resume,
        }
        code = ExitCode.OK
        for location in locations:
            target = directory / _name(location)
            report = sync_tree(places, location, parse_location(str(target)), output, **tree_settings)
            code = max(code, tree_result(output, report))
        return code

    with TransferDisplay(output) as display:

        def one(location: Location) -> tuple[dict[str, Any], str]:
            place = places.at(location)
            watch = Stopwatch()
            target = Path(output_file) if output_file else directory / _name(location)
            progress, ended = display.follow(target.name)
            how = Moving(resume, not no_clobber, preserve, verify, True, segments, progress, several.cancel)
            try:
                moved = place.download(location.path, target, how)
            finally:
                ended()
            return {
                "source": location.text,
                "path": moved.path,
                "size": moved.size,
                "verified": moved.verified,
                "seconds": round(watch.seconds, 6),
            }, moved.path

        return several.run(locations, one, lambda location: location.text)


def expand(places: Places, location: Location) -> list[Location]:
    """The locations that a pattern means; CommandFailed where there is none."""
    if not location.is_ftp or not has_magic(location.path):
        return [location]
    paths = places.at(location).glob(location.path)
    if not paths:
        raise CommandFailed(f"{location.text}: nothing matches", ExitCode.NOT_FOUND)
    base = location.text.partition("://")[2].partition("/")[0]
    return [dataclasses.replace(location, text=f"{location.scheme}://{base}{path}", path=path) for path in paths]


def _name(location: Location) -> str:
    name = location.path.rstrip("/").rpartition("/")[2]
    if not name or name in (".", ".."):
        raise click.UsageError(f"{location.text} has no name to save it under; use --output-file or name a file")
    return name


@click.command("put", epilog=EPILOG)
@click.argument("sources", nargs=-1, required=True, metavar="PATH...")
@click.argument("target", metavar="URL")
@moving_options
@place_options
@output_option
def put(
    sources: tuple[str, ...],
    target: str,
    recursive: bool,
    resume: bool,
    no_clobber: bool,
    preserve: bool,
    verify: bool,
    segments: int,
    places: Places,
    output: Output,
) -> int:
    """Upload files to URL: a directory if it ends in a slash, is one, or several files go there.

    PATH - is standard input. Missing directories are made. To FastDFS (fdfs://TRACKER/ or fdfs://TRACKER/GROUP) the
    file IDs are written.
    """
    where = parse_location(target)
    if segments > 1 and where.scheme != "fdfs":
        raise click.UsageError("--segments is for downloads, and for uploads to FastDFS")
    place = places.at(where)
    if recursive:
        from fastxfer.cli.urls.trees import sync_tree, tree_result

        # What is there already with the same size and time is left alone where an earlier attempt goes on.
        tree_settings: dict[str, Any] = {
            "compare": "newer" if resume else "always",
            "preserve_time": preserve or resume,
        }
        code = ExitCode.OK
        for text in sources:
            source = parse_location(text)
            path = place.join(where.path, _name(source)) if where.means_directory or len(sources) > 1 else where.path
            below = dataclasses.replace(where, path=path)
            report = sync_tree(places, source, below, output, **tree_settings)
            code = max(code, tree_result(output, report))
        return code
    into_directory = len(sources) > 1 or where.means_directory or _is_directory(places, where)
    if sources == ("-",):
        if into_directory and where.scheme != "fdfs":
            raise click.UsageError("standard input has no name: the URL must name the file")
        moved = place.write(sys.stdin.buffer, where.path)
        output.result({"source": "-", "path": moved.path, "size": moved.size}, moved.path)
        return ExitCode.OK
    if into_directory and where.scheme != "fdfs":
        check_names(sources, lambda text: local_path(parse_location(text)).name)
    several = Several(output, places.options.jobs)
    with TransferDisplay(output) as display:

        def one(text: str) -> tuple[dict[str, Any], str]:
            watch = Stopwatch()
            source = local_path(parse_location(text))
            size = _local_size(source)
            progress, ended = display.follow(source.name, size)
            path = place.join(where.path, source.name) if into_directory else where.path
            how = Moving(resume, not no_clobber, preserve, verify, True, segments, progress, several.cancel)
            try:
                moved = place.upload(source, path, how)
            finally:
                ended()
            return {
                "source": text,
                "path": moved.path,
                "size": moved.size,
                "verified": moved.verified,
                "seconds": round(watch.seconds, 6),
            }, moved.path if len(sources) == 1 else f"{moved.path}\t{text}"

        return several.run(sources, one)


def _is_directory(places: Places, where: Location) -> bool:
    if where.scheme == "fdfs":
        return False
    if where.is_local:
        return os.path.isdir(where.path)
    return places.ftp_at(where).run(lambda client: client.is_directory(where.path))


def _local_size(path: Path) -> int:
    try:
        if path.is_dir():
            raise CommandFailed(f"{path}: is a directory (use --recursive)", ExitCode.LOCAL)
        return path.stat().st_size
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}", ExitCode.LOCAL) from None
