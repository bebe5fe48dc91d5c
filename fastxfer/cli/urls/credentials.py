"""User names and passwords that do not stand on the command line: environment, netrc, or asked for."""

from __future__ import annotations

import netrc
import os
import sys
from pathlib import Path
from urllib.parse import unquote

import click

from fastxfer.cli._errors import CommandFailed
from fastxfer.cli._exit_codes import ExitCode
from fastxfer.cli.urls.location import Location
from fastxfer.net.address import parse_address

USER_VARIABLE = "FASTXFER_USER"
PASSWORD_VARIABLE = "FASTXFER_PASSWORD"


def credentials_for(location: Location, netrc_file: str | None) -> tuple[str | None, str | None]:
    """User and password for an FTP server; ``(None, None)`` is anonymous.

    The user comes from the URL, else from ``$FASTXFER_USER``, else from the netrc file; the password from the URL, else
    from ``$FASTXFER_PASSWORD``, else from the netrc file where it has this user, else it is asked for on a terminal.
    """
    host = parse_address(unquote(location.server), 21).host
    user = location.user or os.environ.get(USER_VARIABLE) or None
    password = location.password
    if password is None and user is not None:
        password = os.environ.get(PASSWORD_VARIABLE)
    if user is None or password is None:
        known_user, known_password = _from_netrc(host, netrc_file)
        if known_user is not None and user in (None, known_user):
            user, password = known_user, known_password
    if user is not None and password is None and user not in ("anonymous", "ftp") and sys.stdin.isatty():
        password = click.prompt(f"Password of {user} at {location.server}", hide_input=True, default="", err=True)
    return user, password


def _from_netrc(host: str, file: str | None) -> tuple[str | None, str | None]:
    named = file or os.environ.get("NETRC")
    path = Path(named or Path.home() / ".netrc")
    if file is None and not path.exists():
        return None, None
    try:
        # Of the file it looks for by itself, the module sees whether others may read the passwords in it.
        found = netrc.netrc(named).authenticators(host)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}", ExitCode.LOCAL) from None
    except netrc.NetrcParseError as error:
        raise CommandFailed(f"{path}: {error}", ExitCode.LOCAL) from None
    return (found[0] or None, found[2]) if found else (None, None)
