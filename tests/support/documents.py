"""What stands in the documents: blocks of Python that can be run, and command lines that can be read."""

from __future__ import annotations

import asyncio
import re
import shlex
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|#)([^)\s]+)\)")
_COMMAND = re.compile(r"^    (fastxfer (?!DIR|COMMAND).*)$", re.MULTILINE)


def blocks(document: Path, language: str = "python") -> list[str]:
    """The fenced blocks of *language*, in their order."""
    return [code for name, code in _FENCE.findall(document.read_text("utf-8")) if name == language]


def commands(document: Path) -> list[list[str]]:
    """The indented lines that call the ``fastxfer`` command, as words, without that name."""
    return [shlex.split(line, comments=True)[1:] for line in _COMMAND.findall(document.read_text("utf-8"))]


def links(document: Path) -> list[str]:
    """The files that the document leads to, as it writes them."""
    return [link.partition("#")[0] for link in _LINK.findall(document.read_text("utf-8"))]


async def execute(code: str, names: dict[str, Any]) -> None:
    """Run *code*, which may await, with *names* known to it. A program that runs a loop itself gets a thread."""
    if "asyncio.run(" in code:
        await asyncio.to_thread(exec, compile(code, "example", "exec"), {"__name__": "__main__", **names})
        return
    body = textwrap.indent(code, "    ")
    module = dict(names)
    exec(compile(f"async def example():\n{body}", "example", "exec"), module)  # noqa: S102
    await module["example"]()
