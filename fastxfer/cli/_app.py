"""The root of the command and its one place where exceptions become messages and exit codes."""

from __future__ import annotations

import json
import sys

import click

from fastxfer import __version__
from fastxfer.cli._errors import describe, exit_code
from fastxfer.cli._exit_codes import EXIT_CODE_HELP, ExitCode
from fastxfer.cli._lazy import LazyGroup
from fastxfer.cli._registry import COMMANDS


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    epilog=EXIT_CODE_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(__version__, prog_name="fastxfer")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Show the library's log.")
def app(log_level: str | None) -> None:
    """Move files over FastDFS and FTP/FTPS at the speed of the kernel."""
    if log_level:
        import logging

        logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def run(arguments: list[str]) -> int:
    """Run the command line and return the exit code."""
    try:
        result = app.main(arguments, prog_name="fastxfer", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("fastxfer: interrupted", err=True)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return ExitCode.OK
    except BaseException as error:
        code = exit_code(error)
        if code is None:
            raise
        _report(error, code, as_json="--json" in arguments)
        return code
    return result if isinstance(result, int) else ExitCode.OK


def _report(error: BaseException, code: ExitCode, *, as_json: bool) -> None:
    if as_json:
        document = {"error": describe(error), "type": type(error).__name__, "exit_code": int(code)}
        click.echo(json.dumps(document, ensure_ascii=False), err=True)
    else:
        from fastxfer.cli._output import complain

        complain(describe(error))


def _silence_stdout() -> None:
    """The reader of our output went away: keep the interpreter from complaining while it flushes at exit."""
    import os

    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
