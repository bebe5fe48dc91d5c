"""Command groups whose commands are imported when they are first used."""

from __future__ import annotations

import importlib
from typing import Any

import click

from fastxfer.cli._registry import Table


class LazyGroup(click.Group):
    """A group that knows its commands by a table of import paths."""

    def __init__(self, *arguments: Any, table: Table, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self._table, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._table:
            return super().get_command(ctx, cmd_name)
        module_name, _, attribute = self._table[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module_name), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, so that ``--help`` imports none of them."""
        rows = [(name, self._table[name][1]) for name in sorted(self._table)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
