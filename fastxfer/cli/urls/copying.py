"""``fastxfer get`` and ``put``."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fastxfer.cli._display import TransferDisplay
from fastxfer.cli._errors import CommandFailed
from fastxfer.cli._exit_codes import ExitCode
from fastxfer.cli._output import Output, output_option
from fastxfer.cli._several import Several, Stopwatch, check_names, overall
from fastxfer.cli.urls.local_place import is_stream, write_all
from fastxfer.cli.urls.location import Location, found_location, local_path, parse_location
from fastxfer.cli.urls.opening import MOST_SEGMENTS, Places, place_options
from fastxfer.cli.urls.place import Moved, Moving
from fastxfer.cli.urls.standard_input import standard_input

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
    if recursive and no_clobber:
        raise click.UsageError("--no-clobber does not go with --recursive; use sync")
    if output_file is not None and output_file.endswith(("/", os.sep)):
        raise click.UsageError("--output-file names a directory; use --directory")
    several = Several(output, places.options.jobs)
    locations, codes = expand_all(places, several, sources)
    if output_file is not None and (len(locations) > 1 or recursive):
        raise click.UsageError("--output-file is for a single file; use --directory")
    if output_file in ("-", "/dev/stdout"):
        if output.as_json:
            raise click.UsageError("standard output is either for the file or for --json")
        return overall(codes + several.in_turn(locations, lambda location: to_stdout(places, location), _text))
    if output_file is not None and locations and locations[0].is_ftp and is_stream(output_file):

        def stream(location: Location) -> tuple[dict[str, Any], str]:
            watch = Stopwatch()
            size = 0
            with open(output_file, "ab", buffering=0) as file:
                for data in places.at(location).read(location.path):
                    write_all(file.fileno(), data)
                    size += len(data)
            return _document(location.text, Moved(output_file, size), watch), output_file

        return overall(codes + several.each(locations, stream, _text))
    if output_file is None:
        check_names(locations, _name)
    if recursive:
        trees, locations, refused = _directories(places, several, locations)
        codes += refused + several.in_turn(
            trees,
            lambda location: _copy_tree(
                places, location, parse_location(str(directory / _name(location))), output, resume, preserve
            ),
            _text,
        )
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
            return _document(location.text, moved, watch), moved.path

        return overall(codes + several.each(locations, one, _text))


def expand_all(places: Places, several: Several, texts: Sequence[str]) -> tuple[list[Location], list[ExitCode]]:
    """All that is meant, and the codes of what could not be found out."""
    locations: list[Location] = []

    def add(text: str) -> None:
        locations.extend(expand(places, parse_location(text)))

    return locations, [code for code in several.in_turn(texts, add) if code]


def expand(places: Places, location: Location) -> list[Location]:
    """The locations that a pattern means; CommandFailed where there is none."""
    if location.pattern is None:
        return [location]
    place = places.ftp_at(location)
    paths = place.glob(location.pattern)
    # As in a shell, what matches nothing may be the name of a file.
    if not paths and place.exists(location.path):
        paths = [location.path]
    if not paths:
        raise CommandFailed(f"{location.text}: nothing matches", ExitCode.NOT_FOUND)
    return [found_location(location, path) for path in paths]


def to_stdout(places: Places, location: Location) -> None:
    """Write a file to standard output."""
    for data in places.at(location).read(location.path):
        sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _directories(
    places: Places, several: Several, locations: Sequence[Location]
) -> tuple[list[Location], list[Location], list[ExitCode]]:
    """Which are directories, which are not, and the codes of those that could not be asked."""
    trees: list[Location] = []
    files: list[Location] = []

    def sort_in(location: Location) -> None:
        # What FastDFS is asked for recursively is refused there.
        is_tree = location.scheme == "fdfs" or _is_directory(places, location)
        (trees if is_tree else files).append(location)

    return trees, files, [code for code in several.in_turn(locations, sort_in, _text) if code]


def _copy_tree(
    places: Places, source: Location, target: Location, output: Output, resume: bool, preserve: bool
) -> ExitCode:
    """Copy a directory. What is there with the same size and time is left alone where an earlier attempt goes on."""
    from fastxfer.cli.urls.trees import sync_tree, tree_result

    settings: dict[str, Any] = {"compare": "newer" if resume else "always", "preserve_time": preserve or resume}
    return tree_result(output, sync_tree(places, source, target, output, **settings))


def _document(source: str, moved: Moved, watch: Stopwatch) -> dict[str, Any]:
    return {
        "source": source,
        "path": moved.path,
        "size": moved.size,
        "verified": moved.verified,
        "seconds": round(watch.seconds, 6),
    }


def _text(location: Location) -> str:
    return location.text


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
    keeps_names = where.scheme != "fdfs"
    listed = len(sources) > 1 or where.means_directory
    several = Several(output, places.options.jobs)
    files = [parse_location(text) for text in sources]
    codes: list[ExitCode] = []
    if recursive:
        trees, files, codes = _directories(places, several, files)
        if listed:
            check_names(trees + files, _name)
        codes += several.in_turn(
            trees,
            lambda source: _copy_tree(
                places,
                source,
                dataclasses.replace(where, path=place.join(where.path, _name(source)) if listed else where.path),
                output,
                resume,
                preserve,
            ),
            _text,
        )
    if not files:
        return overall(codes)
    into_directory = listed or _is_directory(places, where)
    piped = sources == ("-",)
    if piped and (resume or (into_directory and keeps_names)):
        why = "cannot be gone on with" if resume else "has no name: the URL must name the file"
        raise click.UsageError(f"standard input {why}")
    if into_directory and keeps_names and not recursive:
        check_names(files, lambda source: local_path(source).name)
    with TransferDisplay(output) as display:

        def one(location: Location) -> tuple[dict[str, Any], str]:
            watch = Stopwatch()
            source = local_path(location)
            progress, ended = display.follow(source.name, None if piped else _local_size(source))
            path = place.join(where.path, source.name) if into_directory else where.path
            how = Moving(resume, not no_clobber, preserve, verify, True, segments, progress, several.cancel)
            try:
                if piped:
                    moved = place.write(standard_input(several.cancel), where.path, how)
                else:
                    moved = place.upload(source, path, how)
            finally:
                ended()
            shown = moved.path if len(sources) == 1 else f"{moved.path}\t{location.text}"
            return _document(location.text, moved, watch), shown

        return overall(codes + several.each(files, one, _text))


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
