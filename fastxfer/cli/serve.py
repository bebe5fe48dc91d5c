"""``fastxfer serve``, ``fastxfer passwd`` and ``fastxfer cert``."""

from __future__ import annotations

import os
import socket
import typing
from pathlib import Path
from typing import Any

import click

from fastxfer.cli._errors import CommandFailed
from fastxfer.cli._exit_codes import ExitCode
from fastxfer.server.config import ServerConfig
from fastxfer.server.settings import Setting, build, load_toml, settings_of

_SETTINGS = {setting.flag.lstrip("-").replace("-", "_"): setting for setting in settings_of()}
_TAKEN = {"root"}


def _option(setting: Setting) -> click.Option:
    flag = setting.flag
    shown = "" if setting.default in (None, "", (), {}) else f" [default: {setting.default}]"
    text = setting.doc + shown
    if setting.kind is bool or setting.kind == bool | None:
        return click.Option([f"{flag}/--no-{flag[2:]}"], default=None, help=text)
    metavar = {int: "NUMBER", float: "SECONDS"}.get(typing.cast(type, setting.kind), "TEXT")
    return click.Option([flag], default=() if setting.many else None, multiple=setting.many, metavar=metavar, help=text)


class _ServeCommand(click.Command):
    """A command with one option per setting of the server."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params.extend(_option(setting) for name, setting in _SETTINGS.items() if name not in _TAKEN)


@click.command(cls=_ServeCommand)
@click.argument("directory", required=False, type=click.Path(file_okay=False, exists=True))
@click.option("--config", "config_file", type=click.Path(dir_okay=False, exists=True), help="TOML file with settings.")
@click.option("--web", is_flag=True, help="Serve HTTP too: short for --web-enabled.")
def serve(directory: str | None, config_file: str | None, web: bool, **options: Any) -> None:
    """Serve DIRECTORY (or the current one) by FTP and FTPS until interrupted.

    Every setting is a flag here, a name in the TOML file (``--tls-cert`` is ``cert`` in ``[tls]``) and a field of
    ``ServerConfig`` in Python. Flags go before the file. Example:

        fastxfer serve /srv/files --user alice --password-file secret --tls-cert server.pem --web
    """
    values = load_toml(config_file) if config_file else {}
    for name, value in options.items():
        if value is not None and value != ():
            _put(values, _SETTINGS[name].path, value)
    if directory is not None:
        values["root"] = directory
    if web:
        _put(values, ("web", "enabled"), True)
    config: ServerConfig = build(values)
    _check(config)
    _run(config)


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = value


def _check(config: ServerConfig) -> None:
    if not (config.user or config.users_file or config.anonymous or config.pam):
        raise click.UsageError("nobody could log in: give --user, --users-file, --anonymous or --pam")


def _run(config: ServerConfig) -> None:
    import dataclasses

    from fastxfer.server.process import inherited_listeners, run, run_workers
    from fastxfer.server.server import FtpServer

    listeners = inherited_listeners()
    if listeners:
        config = dataclasses.replace(
            config,
            listeners=tuple(
                dataclasses.replace(
                    listener,
                    host=config.host,
                    implicit_tls=listener.implicit_tls or config.implicit_tls,
                    proxy_protocol=config.proxy_protocol,
                    trusted_proxies=config.trusted_proxies,
                )
                for listener in listeners
            ),
        )

    def make(settings: ServerConfig) -> FtpServer:
        return FtpServer(config=settings)

    if config.workers > 1:
        run_workers(config, make, _announce)
    else:
        run(lambda: make(config), _announce)


def _announce(server: Any) -> None:
    scheme = "ftps" if server.config.effective_listeners()[0].implicit_tls else "ftp"
    for host, port in server.addresses:
        click.echo(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/", err=True)
    if server.web_port:
        secure = "s" if server.config.tls.cert else ""
        click.echo(f"http{secure}://{server.addresses[0][0]}:{server.web_port}/", err=True)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.argument("name")
@click.option("--delete", is_flag=True, help="Remove the user.")
@click.option("--password-file", type=click.File("r"), help="Read the password from a file (- for standard input).")
@click.option(
    "--option", "-o", "options", multiple=True, metavar="KEY=VALUE", help="root=/dir, permissions=list,read …"
)
def passwd(file: str, name: str, delete: bool, password_file: Any, options: tuple[str, ...]) -> None:
    """Set the password of user NAME in the users FILE (made if it is missing), or remove the user."""
    from fastxfer.server.usersfile import change_entry, hash_password

    if delete:
        if not Path(file).exists() or not change_entry(file, name, None):
            raise CommandFailed(f"{file}: no user {name!r}", ExitCode.NOT_FOUND)
        click.echo(f"removed {name}")
        return
    if password_file is not None:
        password = password_file.read().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if not password:
        raise click.UsageError("the password is empty")
    known = change_entry(file, name, hash_password(password), options)
    click.echo(f"{'changed' if known else 'added'} {name}")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--name", "names", multiple=True, help="Host name or address clients use; may be given several times.")
@click.option("--days", default=825, show_default=True, type=click.IntRange(1), help="Validity.")
def cert(file: str, names: tuple[str, ...], days: int) -> None:
    """Make a self-signed certificate with its key, both in FILE, to try TLS with."""
    from fastxfer.server.selfsigned import write_certificate

    chosen = names or tuple(dict.fromkeys((socket.gethostname(), "localhost", "127.0.0.1", "::1")))
    fingerprint = write_certificate(file, chosen, days)
    click.echo(f"{os.path.abspath(file)} for {', '.join(chosen)}\nSHA-256 {fingerprint}")
