"""Which cluster a command talks to, and how."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from fastxfer.fdfs import Client, ClientConfig, read_client_conf
from fastxfer.fdfs.types import TRACKER_DEFAULT_PORT
from fastxfer.net.address import parse_address

Function = TypeVar("Function", bound=Callable[..., Any])

DEFAULT_TRACKER = f"127.0.0.1:{TRACKER_DEFAULT_PORT}"


def client_options(function: Function) -> Function:
    """Give a command the options that name the cluster, and pass it a ``client``."""

    @click.option(
        "-t",
        "--tracker",
        "trackers",
        multiple=True,
        metavar="HOST[:PORT]",
        help=f"A tracker (repeatable). Default: $FASTXFER_TRACKERS, or {DEFAULT_TRACKER}.",
    )
    @click.option(
        "--conf",
        type=click.Path(dir_okay=False),
        envvar="FASTXFER_FDFS_CONF",
        show_envvar=True,
        help="A client.conf to read.",
    )
    @click.option("--connect-timeout", type=click.FloatRange(0, min_open=True), help="Seconds.")
    @click.option("--network-timeout", type=click.FloatRange(0, min_open=True), help="Seconds without a byte moving.")
    @click.option("--retries", type=click.IntRange(1), help="How often an operation is tried in all.")
    @functools.wraps(function)
    def with_client(
        *arguments: Any,
        trackers: tuple[str, ...],
        conf: str | None,
        connect_timeout: float | None,
        network_timeout: float | None,
        retries: int | None,
        **options: Any,
    ) -> Any:
        settings: dict[str, Any] = {
            "connect_timeout": connect_timeout,
            "network_timeout": network_timeout,
            "retry_count": retries,
            "max_conns": max(10, options.get("jobs") or 0),
        }
        settings = {name: value for name, value in settings.items() if value is not None}
        with Client(config_of(trackers, conf, settings)) as client:
            return function(*arguments, client=client, **options)

    return with_client  # type: ignore[return-value]


def config_of(trackers: tuple[str, ...], conf: str | None, settings: dict[str, Any]) -> ClientConfig:
    """The configuration that the options and the environment describe; --tracker goes before all else."""
    if not trackers and conf:
        return read_client_conf(conf, **settings)
    wanted = trackers or tuple(
        text for text in os.environ.get("FASTXFER_TRACKERS", DEFAULT_TRACKER).replace(",", " ").split() if text
    )
    try:
        addresses = [str(parse_address(text, TRACKER_DEFAULT_PORT)) for text in wanted]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--tracker") from None
    return ClientConfig(tracker_addrs=addresses, **settings)
