"""Where commands put their results: rich text for people, one JSON document for scripts.

Results go to standard output, progress and errors to standard error, so that output may be piped.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
from rich.console import Console

PIPED_WIDTH = 200
"""Columns of tables that no terminal's width limits."""
_STEERING = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in (*range(32), *range(127, 160), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
"""What moves a terminal's cursor, ends a line, or turns the direction of writing: escaped."""
_STEERING_TEXT = {code: text for code, text in _STEERING.items() if code not in (9, 10)}

Function = TypeVar("Function", bound=Callable[..., Any])


def harmless(text: str) -> str:
    """A name from elsewhere as it may be shown on a terminal, on one line."""
    return text.translate(_STEERING)


class Output:
    """The output of one run of a command."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = PIPED_WIDTH
        self.progress_console = Console(stderr=True, highlight=False)

    @property
    def live(self) -> bool:
        """Whether a moving display makes sense: a person looks at a terminal."""
        return not self.as_json and self.progress_console.is_terminal

    def result(self, document: Any, text: Any = None) -> None:
        """Show a result: *document* as JSON, or *text* (a string or anything rich can render)."""
        if self.as_json:
            self.json_line(document)
        elif text is not None:
            self.text(text) if isinstance(text, str) else self.console.print(text)

    def name(self, name: str) -> str:
        """A name of a file as it is shown: to a program as it is, to a person without what would steer the terminal."""
        return harmless(name) if self.console.is_terminal else name

    def text(self, text: str) -> None:
        """Write lines to standard output; what would steer a terminal is escaped on one."""
        click.echo(text.translate(_STEERING_TEXT) if self.console.is_terminal else text)

    def json_line(self, document: Any) -> None:
        """Write one JSON document as one line."""
        sys.stdout.write(json.dumps(document, ensure_ascii=False, default=str) + "\n")
        sys.stdout.flush()

    def raw(self, data: bytes) -> None:
        """Write raw bytes to standard output."""
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def warn(self, message: str) -> None:
        """Tell the user of something that did not stop the command."""
        complain(message)


def complain(message: str) -> None:
    """Tell of an error on standard error; what a server has said in it cannot steer a terminal."""
    click.echo(f"fastxfer: {message.translate(_STEERING_TEXT)}", err=True)


def output_option(function: Function) -> Function:
    """Give a command ``--json`` and pass it an ``output``."""

    @click.option("--json", "as_json", is_flag=True, help="Write results as JSON, one document a line.")
    @functools.wraps(function)
    def with_output(*arguments: Any, as_json: bool, **options: Any) -> Any:
        return function(*arguments, output=Output(as_json), **options)

    return with_output  # type: ignore[return-value]
