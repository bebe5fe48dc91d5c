"""The HTTP interface against nginx's static files and a plain aiohttp handler."""

from __future__ import annotations

from benchmarks.macro.scenario import KIB, MIB, Load, Scenario

HTTP = (
    Scenario(
        name="http-small",
        title="HTTP: files of 4 KiB, 8 connections",
        family="http",
        ops=("get", "put"),
        full=(Load(4 * KIB, 4000, 8),),
        short=(Load(4 * KIB, 800, 8),),
    ),
    Scenario(
        name="http-bulk",
        title="HTTP: files of 256 MiB, one at a time",
        family="http",
        ops=("get", "put"),
        full=(Load(256 * MIB, 4),),
        short=(Load(64 * MIB, 2),),
    ),
)
