"""``fastxfer sync``, ``mirror`` and ``verify``."""

from __future__ import annotations

from typing import Any

import click

from fastxfer.cli._exit_codes import ExitCode
from fastxfer.cli._output import Output, output_option
from fastxfer.cli.urls.copying import EPILOG
from fastxfer.cli.urls.location import parse_location
from fastxfer.cli.urls.opening import Places, place_options
from fastxfer.cli.urls.trees import sync_tree, tree_result, verify_tree

COMPARISONS = ("newer", "exact", "size", "newer-only", "checksum", "always")
_FILTERS = (
    click.option("--include", multiple=True, metavar="PATTERN", help="Only files like this (repeatable)."),
    click.option("--exclude", multiple=True, metavar="PATTERN", help="No files or directories like this (repeatable)."),
)
_SYNC = (
    click.option(
        "--compare",
        type=click.Choice(COMPARISONS),
        default="newer",
        show_default=True,
        help="When a file that is there is moved all the same.",
    ),
    click.option("--dry-run", is_flag=True, help="Only tell what would be done."),
    click.option("--follow-links", is_flag=True, help="Local symbolic links are what they point to."),
    click.option("--journal", type=click.Path(dir_okay=False), help="Remember what is done, to go on after a stop."),
    click.option("--stop-on-error", is_flag=True, help="Do not go on after an error."),
    click.option("-v", "--verbose", is_flag=True, help="Tell of every file."),
    *_FILTERS,
)


def with_options(options: tuple[Any, ...], function: Any) -> Any:
    for option in reversed(options):
        function = option(function)
    return function


def sync_options(function: Any) -> Any:
    return with_options(_SYNC, function)


def filter_options(function: Any) -> Any:
    return with_options(_FILTERS, function)


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    settings = dict(given)
    settings["keep_going"] = not settings.pop("stop_on_error")
    return settings


@click.command("sync", epilog=EPILOG)
@click.argument("source")
@click.argument("target")
@click.option("--both", is_flag=True, help="Both ways: what is missing is copied, of what differs the newer.")
@click.option("--delete", is_flag=True, help="Remove from TARGET what SOURCE does not have.")
@sync_options
@place_options
@output_option
def sync(source: str, target: str, both: bool, delete: bool, places: Places, output: Output, **given: Any) -> int:
    """Make the directory TARGET like SOURCE. At least one is a local path, the other may be an FTP URL."""
    if both and delete:
        raise click.UsageError("--both and --delete do not go together")
    where = parse_location(source), parse_location(target)
    return tree_result(output, sync_tree(places, *where, output, both=both, delete=delete, **_settings(given)))


@click.command("mirror", epilog=EPILOG)
@click.argument("source")
@click.argument("target")
@click.option("--no-delete", is_flag=True, help="Leave alone what SOURCE does not have.")
@sync_options
@place_options
@output_option
def mirror(source: str, target: str, no_delete: bool, places: Places, output: Output, **given: Any) -> int:
    """Make the directory TARGET a copy of SOURCE, and remove what SOURCE does not have."""
    where = parse_location(source), parse_location(target)
    return tree_result(output, sync_tree(places, *where, output, delete=not no_delete, **_settings(given)))


@click.command("verify", epilog=EPILOG)
@click.argument("source")
@click.argument("target")
@click.option("--checksum", is_flag=True, help="Compare contents, not only sizes.")
@filter_options
@place_options
@output_option
def verify(source: str, target: str, checksum: bool, places: Places, output: Output, **given: Any) -> int:
    """Compare two trees, or two files: by size, or by content with --checksum. Exit code 6 where they differ."""
    where = parse_location(source), parse_location(target)
    report = verify_tree(places, *where, output, checksum=checksum, **given)
    code = tree_result(output, report)
    differing = [item for item in report.failures if item.action in ("differ", "missing", "extra")]
    return ExitCode.MISMATCH if code and differing else code
