"""The ``fastxfer`` command. It needs the ``cli`` extra: ``pip install 'fastxfer[cli]'``."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

__all__ = ["main"]

_INSTALL_HINT = (
    "fastxfer: the command line needs the package {name!r}, which is not installed.\n"
    "Install it with: pip install 'fastxfer[cli]'\n"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with *arguments* (default: those of the process) and exit with its code.

    Raises:
        SystemExit: always; the codes are those of :class:`fastxfer.cli._exit_codes.ExitCode`.
    """
    try:
        import click
        import rich
    except ModuleNotFoundError as error:
        sys.stderr.write(_INSTALL_HINT.format(name=error.name))
        raise SystemExit(2) from None
    del click, rich
    from fastxfer.cli._app import run

    for stream in (sys.stdout, sys.stderr):
        # Names of files need not be valid in any encoding; they go out as the bytes they are.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")
    raise SystemExit(run(list(sys.argv[1:] if arguments is None else arguments)))
