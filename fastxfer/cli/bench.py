"""``fastxfer bench``: what this machine and your servers reach together."""

from __future__ import annotations

import tempfile

import click
from rich.table import Table

from fastxfer.bench import Measurement, Meter, Target, Work
from fastxfer.cli._errors import CommandFailed
from fastxfer.cli._output import Output, output_option
from fastxfer.cli._parameters import SIZE, size_text
from fastxfer.cli.urls.credentials import credentials_for
from fastxfer.cli.urls.location import parse_location


@click.command()
@click.argument("url")
@click.option(
    "--size", "sizes", type=SIZE, multiple=True, metavar="SIZE", help="File size (repeatable). [default: 4k 1M]"
)
@click.option(
    "--count", type=click.IntRange(1), default=200, show_default=True, help="How often each operation is done."
)
@click.option(
    "--concurrency",
    "concurrencies",
    type=click.IntRange(1, 1000),
    multiple=True,
    metavar="NUMBER",
    help="Operations in flight (repeatable). [default: 1 8]",
)
@click.option("--client", type=click.Choice(["sync", "asyncio", "both"]), default="both", show_default=True)
@click.option("--ca-file", default="", metavar="FILE", help="Certificate authorities for ftpes and ftps, PEM.")
@click.option("--netrc", "netrc_file", metavar="FILE", help="Instead of ~/.netrc.")
@output_option
def bench(
    url: str,
    sizes: tuple[int, ...],
    count: int,
    concurrencies: tuple[int, ...],
    client: str,
    ca_file: str,
    netrc_file: str | None,
    output: Output,
) -> None:
    """Measure transfers with the servers of URL: fdfs://TRACKER, ftp://HOST/DIR, ftpes://… or ftps://….

    Files of random bytes are uploaded, downloaded and deleted again. User names and passwords for FTP are taken from
    the URL, from FASTXFER_USER and FASTXFER_PASSWORD, or from ~/.netrc. Rates depend on all that runs beside: compare
    only what one run has measured.
    """
    user = password = None
    if url.startswith(("ftp://", "ftpes://", "ftps://")):
        user, password = credentials_for(parse_location(url), netrc_file)
    try:
        target = Target(url, ca_file, user=user, password=password)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="URL") from None
    rows: list[tuple[str, Measurement]] = []
    clients = ["sync", "asyncio"] if client == "both" else [client]
    with tempfile.TemporaryDirectory(prefix="fastxfer-bench-") as folder:
        for size in sizes or (4096, 1 << 20):
            for concurrency in concurrencies or (1, 8):
                for name in clients:
                    work = Work(target.operations, size, count, concurrency, folder=folder)
                    found: list[Measurement] = []
                    try:
                        target.run(work, name, Meter(found.append))
                    except RuntimeError as error:
                        raise CommandFailed(str(error)) from error
                    rows += [(name, one) for one in found]
    if output.as_json:
        for name, one in rows:
            output.json_line({"client": name, **one.to_json()})
    else:
        output.result(None, _table(rows))
    failed = sum(one.failed for _, one in rows)
    if failed:
        first = next(one.error for _, one in rows if one.failed)
        raise CommandFailed(f"{failed} operations failed, the first one so: {first}")


def _table(rows: list[tuple[str, Measurement]]) -> Table:
    table = Table()
    for title in ("operation", "client"):
        table.add_column(title)
    for title in ("size", "in flight", "ops/s", "MB/s", "p50 µs", "p99 µs", "CPU ms/op"):
        table.add_column(title, justify="right")
    for name, found in rows:
        cpu = found.cpu_seconds
        table.add_row(
            found.op,
            name,
            size_text(found.size),
            str(found.concurrency),
            f"{found.rate:,.0f}",
            f"{found.megabytes_per_second:,.1f}" if found.bytes else "",
            "" if found.p50_us is None else f"{found.p50_us:,.0f}",
            "" if found.p99_us is None else f"{found.p99_us:,.0f}",
            "" if cpu is None or not found.operations else f"{cpu * 1e3 / found.operations:.3f}",
        )
    return table
